//! An answer as an Apache Parquet file: one row group, one column for each of the table, each with values or nothing.

use std::sync::Arc;

use anyhow::Context as _;
use muster_proto::v1::{ReportReply, cell::Value};
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};

/// The file.
///
/// # Errors
/// Never for answers that are made of cells; the writer says otherwise.
pub(crate) fn parquet(reply: &ReportReply) -> anyhow::Result<Vec<u8>> {
    let columns: Vec<Values> = (0..reply.columns.len()).map(|place| Values::of(reply, place)).collect();
    let names = reply.columns.iter().map(|column| column.name.as_str());
    let schema = schema(names.zip(&columns)).context("describe the table")?;
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(WriterProperties::builder().build()))?;
    let mut group = file.next_row_group()?;
    for values in &columns {
        let mut column = group.next_column()?.context("find the next column")?;
        values.write(&mut column)?;
        column.close()?;
    }
    group.close()?;
    file.into_inner().context("end the file")
}

/// The values of a column that are there, and where.
enum Values {
    Texts(Vec<ByteArray>, Vec<i16>),
    Integers(Vec<i64>, Vec<i16>),
    Numbers(Vec<f64>, Vec<i16>),
}

impl Values {
    /// A numeric column is one of whole numbers where all are.
    fn of(reply: &ReportReply, place: usize) -> Self {
        let cells: Vec<Option<&Value>> =
            reply.rows.iter().map(|row| row.cells.get(place).and_then(|cell| cell.value.as_ref())).collect();
        let is_numeric = reply.columns[place].numeric && !cells.iter().any(|cell| matches!(cell, Some(Value::Text(_))));
        let is_whole = !cells.iter().any(|cell| matches!(cell, Some(Value::Number(_))));
        let there: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
        let known = cells.into_iter().flatten();
        match (is_numeric, is_whole) {
            (true, true) => Self::Integers(known.filter_map(integer).collect(), there),
            (true, false) => Self::Numbers(known.filter_map(number).collect(), there),
            (false, _) => Self::Texts(known.map(|value| ByteArray::from(text(value).into_bytes())).collect(), there),
        }
    }

    fn physical(&self) -> (Physical, Option<LogicalType>) {
        match self {
            Self::Texts(..) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Self::Integers(..) => (Physical::INT64, None),
            Self::Numbers(..) => (Physical::DOUBLE, None),
        }
    }

    fn write(&self, column: &mut SerializedColumnWriter<'_>) -> parquet::errors::Result<usize> {
        match self {
            Self::Texts(values, there) => column.typed::<ByteArrayType>().write_batch(values, Some(there), None),
            Self::Integers(values, there) => column.typed::<Int64Type>().write_batch(values, Some(there), None),
            Self::Numbers(values, there) => column.typed::<DoubleType>().write_batch(values, Some(there), None),
        }
    }
}

fn schema<'a>(columns: impl Iterator<Item = (&'a str, &'a Values)>) -> parquet::errors::Result<TypePtr> {
    let field = |(name, values): (&str, &Values)| {
        let (physical, logical) = values.physical();
        let field = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
        field.with_logical_type(logical).build().map(Arc::new)
    };
    let fields = columns.map(field).collect::<parquet::errors::Result<Vec<_>>>()?;
    Type::group_type_builder("muster").with_fields(fields).build().map(Arc::new)
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(integer) => Some(*integer),
        Value::Text(_) | Value::Number(_) => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(integer) => Some(*integer as f64),
        Value::Number(number) => Some(*number),
        Value::Text(_) => None,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Integer(integer) => integer.to_string(),
        Value::Number(number) => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use muster_proto::v1::{Cell, Column, Row};
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;

    #[test]
    fn a_reader_finds_columns_values_and_what_is_missing() {
        let column = |name: &str, numeric| Column { name: name.into(), numeric };
        let row = |text: &str, count: Option<i64>, level: Option<f64>| Row {
            cells: vec![
                Cell { value: Some(Value::Text(text.into())) },
                Cell { value: count.map(Value::Integer) },
                Cell { value: level.map(Value::Number) },
            ],
        };
        let reply = ReportReply {
            columns: vec![column("module", false), column("n", true), column("rate_per_second", true)],
            rows: vec![row("high-io", Some(7), None), row("tcp", None, Some(0.5))],
            ..Default::default()
        };
        let file = parquet(&reply).expect("it is written");
        let reader = SerializedFileReader::new(bytes::Bytes::from(file)).expect("it is read");
        let told: Vec<String> =
            reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row").to_string()).collect();
        assert_eq!(
            told,
            ["{module: \"high-io\", n: 7, rate_per_second: null}", "{module: \"tcp\", n: null, rate_per_second: 0.5}",]
        );
    }
}
