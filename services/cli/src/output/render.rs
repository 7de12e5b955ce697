//! Laying a table out. Pure: it makes text from a table.

use comfy_table::{CellAlignment, presets};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::{Cell, Column, Format, Shown, Table};
use crate::times::Viewer;

/// Units that stand at the end of a column's name for programs; people see them at the values.
const SUFFIXES: [&str; 3] = ["_seconds", "_bytes", "_time"];

/// How tables are laid out.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// The form.
    pub(crate) format: Format,
    /// Who looks.
    pub(crate) viewer: Viewer,
}

impl Layout {
    /// The table as text, ending with a line feed unless it is empty.
    ///
    /// # Errors
    /// Never for tables that are made of cells; serializers say otherwise.
    pub(crate) fn render(&self, table: &Table) -> anyhow::Result<String> {
        match self.format {
            Format::Table if table.upright => Ok(upright(table, &self.viewer)),
            Format::Table => Ok(listing(table, &self.viewer)),
            Format::Json => Ok(serde_json::to_string_pretty(&Rows(table))? + "\n"),
            Format::Csv => csv_text(table),
            Format::Html => Ok(muster_telemetry::render(&table.reply(), muster_telemetry::Format::Html)),
            Format::Svg => Ok(muster_telemetry::render(&table.reply(), muster_telemetry::Format::Svg)),
            Format::Parquet => anyhow::bail!("a Parquet file is no text: use json or csv here"),
        }
    }
}

/// One row as programs see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// What the key column says.
    pub(crate) name: String,
    /// Each field, by its name.
    pub(crate) fields: Vec<(String, String)>,
}

impl Table {
    /// Rows by a column.
    pub(crate) fn records(&self, key: &str) -> Vec<Record> {
        let of_row = |row: &Vec<Cell>| {
            let fields = seen(self, Reader::Programs).map(|(at, column)| (column.name.to_string(), row[at].for_csv()));
            let fields: Vec<(String, String)> = fields.collect();
            let name = fields.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone()).unwrap_or_default();
            Record { name, fields }
        };
        self.rows.iter().map(of_row).collect()
    }
}

/// Who reads a table.
#[derive(Clone, Copy)]
enum Reader {
    People,
    Programs,
}

/// Columns that programs see, with their places.
pub(super) fn seen_by_programs(table: &Table) -> impl Iterator<Item = (usize, &Column)> {
    seen(table, Reader::Programs)
}

/// Columns that a reader sees, with their places.
fn seen(table: &Table, reader: Reader) -> impl Iterator<Item = (usize, &Column)> {
    let told = |at: usize| table.rows.iter().any(|row| row[at] != Cell::None);
    table.columns.iter().enumerate().filter(move |(at, column)| match (column.shown, reader) {
        (Shown::Everywhere, _) | (Shown::People, Reader::People) | (Shown::Programs, Reader::Programs) => true,
        (Shown::PeopleIfTold, Reader::People) => told(*at),
        (Shown::People | Shown::PeopleIfTold, Reader::Programs) | (Shown::Programs, Reader::People) => false,
    })
}

fn title(column: &Column) -> String {
    let name = column.name.as_ref();
    let bare = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    bare.replace('_', " ")
}

fn listing(table: &Table, viewer: &Viewer) -> String {
    let mut text = comfy_table::Table::new();
    text.load_style(presets::NOTHING);
    text.set_header(seen(table, Reader::People).map(|(_, column)| title(column)));
    for row in &table.rows {
        text.add_row(seen(table, Reader::People).map(|(at, _)| row[at].for_people(viewer)));
    }
    for (place, (at, _)) in seen(table, Reader::People).enumerate() {
        let Some(laid_out) = text.column_mut(place) else { continue };
        laid_out.set_padding((0, 2));
        let mut known = table.rows.iter().map(|row| &row[at]).filter(|cell| **cell != Cell::None);
        if known.next().is_some_and(Cell::is_numeric) {
            laid_out.set_cell_alignment(CellAlignment::Right);
        }
    }
    trimmed(&text.to_string())
}

fn upright(table: &Table, viewer: &Viewer) -> String {
    let width = seen(table, Reader::People).map(|(_, column)| title(column).chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (number, row) in table.rows.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        for (at, column) in seen(table, Reader::People) {
            let line = format!("{:<width$}  {}", title(column), row[at].for_people(viewer));
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}

/// Without blanks at the ends of lines.
fn trimmed(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn csv_text(table: &Table) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(seen(table, Reader::Programs).map(|(_, column)| column.name.as_ref()))?;
    for row in &table.rows {
        writer.write_record(seen(table, Reader::Programs).map(|(at, _)| row[at].for_csv()))?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

/// All rows as an array of objects, in the order of the columns.
struct Rows<'a>(&'a Table);

struct OneRow<'a>(&'a Table, &'a [Cell]);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.0.rows.len()))?;
        for row in &self.0.rows {
            rows.serialize_element(&OneRow(self.0, row))?;
        }
        rows.end()
    }
}

impl Serialize for OneRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        for (at, column) in seen(self.0, Reader::Programs) {
            object.serialize_entry(column.name.as_ref(), &self.1[at])?;
        }
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::tz::TimeZone;
    use muster_model::PoolTime;

    use super::*;

    const NOON: PoolTime = PoolTime(1_763_640_000_000_000_000);

    fn sample() -> Table {
        let mut table = Table::new(vec![
            Column::new("dpid"),
            Column::people("state"),
            Column::new("iterations"),
            Column::new("age_seconds"),
            Column::new("placed_time"),
            Column::programs("resources"),
        ]);
        let resources = Cell::List(vec!["disk-sda".into(), "cpu0".into()]);
        table.push(vec![
            Cell::text("00010001"),
            Cell::text("running"),
            Cell::Integer(7),
            Cell::Span(Duration::from_millis(1500)),
            Cell::Time(NOON),
            resources,
        ]);
        table.push(vec![
            Cell::text("00010002"),
            Cell::text("dead\nand gone"),
            Cell::Integer(12_345),
            Cell::None,
            Cell::None,
            Cell::List(vec![]),
        ]);
        table
    }

    fn rendered(format: Format, table: &Table) -> String {
        let viewer = Viewer { now: NOON, zone: TimeZone::UTC };
        Layout { format, viewer }.render(table).unwrap()
    }

    #[test]
    fn people_see_aligned_columns_without_control_characters() {
        insta::assert_snapshot!(rendered(Format::Table, &sample()));
    }

    #[test]
    fn programs_see_stable_fields_in_json() {
        insta::assert_snapshot!(rendered(Format::Json, &sample()));
    }

    #[test]
    fn programs_see_a_header_and_seconds_in_csv() {
        insta::assert_snapshot!(rendered(Format::Csv, &sample()));
    }

    #[test]
    fn an_upright_table_shows_all_cells_of_a_row() {
        insta::assert_snapshot!(rendered(Format::Table, &sample().upright()));
    }

    #[test]
    fn people_see_a_column_of_trouble_only_where_there_is_some() {
        let mut table = Table::new(vec![Column::new("dpid"), Column::if_told("stalled"), Column::programs("gang")]);
        table.push(vec![Cell::text("00010001"), Cell::None, Cell::Integer(1)]);
        assert_eq!(rendered(Format::Table, &table), "dpid\n00010001\n");
        table.push(vec![Cell::text("00010002"), Cell::Span(Duration::from_secs(61)), Cell::Integer(1)]);
        assert_eq!(rendered(Format::Table, &table), "dpid      stalled\n00010001        -\n00010002    1m01s\n");
        assert_eq!(rendered(Format::Csv, &table), "dpid,gang\n00010001,1\n00010002,1\n");
    }

    #[test]
    fn an_empty_table_keeps_its_header_and_is_an_empty_array() {
        let table = Table::new(vec![Column::new("machine"), Column::new("health")]);
        assert_eq!(rendered(Format::Table, &table), "machine  health\n");
        assert_eq!(rendered(Format::Json, &table), "[]\n");
        assert_eq!(rendered(Format::Csv, &table), "machine,health\n");
    }
}
