//! For other programs: one object. A cell without a value is null.

use muster_proto::v1::{Cell, ReportReply, Row, cell};
use serde_json::{Map, Value, json};

pub(super) fn render(reply: &ReportReply) -> String {
    let names: Vec<&str> = reply.columns.iter().map(|column| column.name.as_str()).collect();
    let rows: Vec<Value> = reply.rows.iter().map(|row| object(&names, row)).collect();
    let whole = json!({"title": reply.title, "columns": names, "rows": rows, "notes": reply.notes});
    format!("{whole:#}\n")
}

fn object(names: &[&str], row: &Row) -> Value {
    let fields = names.iter().zip(&row.cells).map(|(name, cell)| ((*name).to_owned(), value(cell)));
    Value::Object(fields.collect::<Map<_, _>>())
}

fn value(cell: &Cell) -> Value {
    match &cell.value {
        None => Value::Null,
        Some(cell::Value::Text(text)) => json!(text),
        Some(cell::Value::Number(number)) => json!(number),
        Some(cell::Value::Integer(integer)) => json!(integer),
    }
}
