//! For people: aligned columns, numbers flush right. What is the same zero everywhere is left out of wide tables, and named.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use muster_proto::v1::{ReportReply, Row, cell::Value};

use super::value::{Unit, printable, readable};

/// A table with more columns leaves out those in which every number is 0.
const COLUMNS_WIDE: usize = 10;

pub(super) fn render(reply: &ReportReply) -> String {
    let mut text = printable(&reply.title);
    text.push('\n');
    let (shown, hidden) = choose_columns(reply);
    text.push_str(&lay_out(reply, &shown));
    if !hidden.is_empty() {
        let names: Vec<&str> = hidden.iter().map(|column| reply.columns[*column].name.as_str()).collect();
        text.push_str(&format!("all 0: {}\n", names.join(", ")));
    }
    for note in &reply.notes {
        text.push_str(&printable(note));
        text.push('\n');
    }
    text
}

fn choose_columns(reply: &ReportReply) -> (Vec<usize>, Vec<usize>) {
    let is_zero = |row: &Row, column: usize| match row.cells.get(column).and_then(|cell| cell.value.as_ref()) {
        Some(Value::Integer(integer)) => *integer == 0,
        Some(Value::Number(number)) => *number == 0.0,
        Some(Value::Text(_)) | None => false,
    };
    let wide = reply.columns.len() > COLUMNS_WIDE && !reply.rows.is_empty();
    let hide =
        |column: &usize| wide && reply.columns[*column].numeric && reply.rows.iter().all(|row| is_zero(row, *column));
    (0..reply.columns.len()).partition(|column| !hide(column))
}

fn lay_out(reply: &ReportReply, shown: &[usize]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(shown.iter().map(|column| Cell::new(&reply.columns[*column].name)));
    let unit_column = reply.columns.iter().position(|column| column.name == "unit");
    for row in &reply.rows {
        let unit = unit_column.and_then(|column| row.cells.get(column)).map(|cell| readable(cell, Unit::Other));
        let cells = shown.iter().map(|column| {
            let unit = unit_of(&reply.columns[*column].name, unit.as_deref());
            row.cells.get(*column).map_or_else(String::new, |cell| readable(cell, unit))
        });
        table.add_row(cells.collect::<Vec<_>>());
    }
    for (place, column) in shown.iter().enumerate() {
        if let Some(laid) = table.column_mut(place) {
            laid.set_padding((0, 2));
            if reply.columns[*column].numeric {
                laid.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table.to_string().lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// A column counts what its name says, or what the row's own `unit` says.
fn unit_of(column: &str, row_unit: Option<&str>) -> Unit {
    match (Unit::of_column(column), row_unit, column) {
        (Unit::Other, Some("bytes"), "rate_per_second") => Unit::BytesPerSecond,
        (Unit::Other, Some("bytes"), "total" | "min" | "avg" | "p50" | "p95" | "p99" | "max") => Unit::Bytes,
        (unit, _, _) => unit,
    }
}
