//! A table of ours as an answer of the report service, for the forms that those have.

use muster_proto::v1::{self, cell::Value};

use super::render::seen_by_programs;
use super::{Cell, Table};

impl Table {
    /// As programs see it.
    pub(crate) fn reply(&self) -> v1::ReportReply {
        let places: Vec<usize> = seen_by_programs(self).map(|(at, _)| at).collect();
        let is_numeric = |at: usize| {
            let mut known = self.rows.iter().map(|row| &row[at]).filter(|cell| !matches!(cell, Cell::None)).peekable();
            known.peek().is_some() && known.all(Cell::is_numeric)
        };
        let numeric: Vec<bool> = places.iter().map(|at| is_numeric(*at)).collect();
        let columns = seen_by_programs(self).zip(&numeric);
        let columns =
            columns.map(|((_, column), numeric)| v1::Column { name: column.name.to_string(), numeric: *numeric });
        let row = |row: &Vec<Cell>| {
            let cells = places.iter().zip(&numeric).map(|(at, numeric)| v1::Cell { value: value(&row[*at], *numeric) });
            v1::Row { cells: cells.collect() }
        };
        let rows = self.rows.iter().map(row).collect();
        v1::ReportReply { title: "muster".into(), columns: columns.collect(), rows, notes: Vec::new() }
    }
}

fn value(cell: &Cell, numeric: bool) -> Option<Value> {
    Some(match cell {
        Cell::None => return None,
        Cell::Integer(number) | Cell::Bytes(number) if numeric => match i64::try_from(*number) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Number(*number as f64),
        },
        Cell::Signed(number) if numeric => Value::Integer(*number),
        Cell::Number(number) if numeric => Value::Number(*number),
        Cell::Span(span) if numeric => Value::Number(span.as_secs_f64()),
        cell => Value::Text(cell.for_csv()),
    })
}
