//! Short ways to make columns and cells.

use muster_proto::v1::{Cell, Column, cell::Value};

pub(super) fn text_column(name: &str) -> Column {
    Column { name: name.into(), numeric: false }
}

pub(super) fn number_column(name: &str) -> Column {
    Column { name: name.into(), numeric: true }
}

pub(super) fn text(value: impl Into<String>) -> Cell {
    Cell { value: Some(Value::Text(value.into())) }
}

pub(super) fn integer(value: i64) -> Cell {
    Cell { value: Some(Value::Integer(value)) }
}

/// A number, or nothing.
pub(super) fn number(value: Option<f64>) -> Cell {
    Cell { value: value.map(Value::Number) }
}

/// A whole number, or nothing.
pub(super) fn maybe_integer(value: Option<i64>) -> Cell {
    Cell { value: value.map(Value::Integer) }
}
