//! Cells as text.

use muster_proto::v1::{Cell, cell::Value};

/// A cell as it is, for other programs; empty when it has no value.
pub(super) fn exact(cell: &Cell) -> String {
    match &cell.value {
        None => String::new(),
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Integer(integer)) => integer.to_string(),
        Some(Value::Number(number)) => number.to_string(),
    }
}

/// A cell for people: `unit` is what the number counts.
pub(super) fn readable(cell: &Cell, unit: Unit) -> String {
    let (number, whole) = match &cell.value {
        None => return "-".into(),
        Some(Value::Text(text)) if text.is_empty() => return "-".into(),
        Some(Value::Text(text)) => return printable(text),
        #[expect(clippy::cast_precision_loss, reason = "for people; three digits are shown")]
        Some(Value::Integer(integer)) => (*integer as f64, true),
        Some(Value::Number(number)) => (*number, false),
    };
    match unit {
        Unit::Bytes => bytes(number),
        Unit::BytesPerSecond => format!("{}/s", bytes(number)),
        Unit::Other if whole => format!("{number:.0}"),
        Unit::Other => decimal(number),
    }
}

/// What the numbers of a cell count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Bytes.
    Bytes,
    /// Bytes in each second.
    BytesPerSecond,
    /// Anything else.
    Other,
}

impl Unit {
    /// By the suffix of a column's name.
    pub(super) fn of_column(name: &str) -> Self {
        if name.ends_with("_bytes_per_second") {
            Self::BytesPerSecond
        } else if name.ends_with("_bytes") {
            Self::Bytes
        } else {
            Self::Other
        }
    }

    /// Of a cell, by its column and what the row's own `unit` says.
    pub(super) fn of_cell(column: &str, row_unit: Option<&str>) -> Self {
        match (Self::of_column(column), row_unit, column) {
            (Self::Other, Some("bytes"), "rate_per_second") => Self::BytesPerSecond,
            (Self::Other, Some("bytes/s"), "value" | "median" | "median_before" | "median_after") => {
                Self::BytesPerSecond
            }
            (Self::Other, Some("bytes"), "value" | "median" | "median_before" | "median_after") => Self::Bytes,
            (Self::Other, Some("bytes"), "total" | "min" | "avg" | "max" | "p50" | "p95" | "p99") => Self::Bytes,
            (unit, _, _) => unit,
        }
    }
}

/// A number for people: `unit` is what it counts.
pub(super) fn decimal_or_bytes(number: f64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => bytes(number),
        Unit::BytesPerSecond => format!("{}/s", bytes(number)),
        Unit::Other if number == number.trunc() => format!("{number:.0}"),
        Unit::Other => decimal(number),
    }
}

/// Bytes with three digits and a binary prefix.
pub(super) fn bytes(number: f64) -> String {
    const PREFIXES: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut scaled, mut prefix) = (number, 0);
    while scaled.abs() >= 1023.5 && prefix + 1 < PREFIXES.len() {
        scaled /= 1024.0;
        prefix += 1;
    }
    let decimals = if prefix == 0 || scaled.abs() >= 100.0 {
        0
    } else if scaled.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{scaled:.decimals$} {}", PREFIXES[prefix])
}

/// A number with as many decimals as its size deserves.
fn decimal(number: f64) -> String {
    let size = number.abs();
    let decimals = if size >= 1000.0 || size == 0.0 {
        0
    } else if size >= 1.0 {
        2
    } else {
        6
    };
    let text = format!("{number:.decimals$}");
    if decimals == 6 { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Text without control characters: what agents say must not move anybody's cursor.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
