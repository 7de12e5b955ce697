//! What a benchmark prints: medians and spreads over its rounds.

use std::fmt::Write;

use anyhow::Context;
use serde::Serialize;

use super::{Row, Target};

/// One row over all rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) name: String,
    value: f64,
    least: f64,
    greatest: f64,
    unit: &'static str,
    reference: Option<f64>,
    reference_name: &'static str,
    ratio: Option<f64>,
    target: Option<String>,
    met: Option<bool>,
}

impl Summary {
    /// Its target, if any, is reached by the median.
    pub(crate) fn is_met(&self) -> bool {
        self.met.unwrap_or(true)
    }
}

/// Medians and spreads, in the order of the first round.
pub(crate) fn summarise(rounds: &[Vec<Row>]) -> Vec<Summary> {
    let Some(first) = rounds.first() else { return Vec::new() };
    first.iter().map(|row| summarise_row(row, rounds)).collect()
}

fn summarise_row(row: &Row, rounds: &[Vec<Row>]) -> Summary {
    let same: Vec<&Row> = rounds.iter().flatten().filter(|other| other.name == row.name).collect();
    let values = sorted(same.iter().map(|row| row.value));
    let references = sorted(same.iter().filter_map(|row| row.reference));
    let value = values[values.len() / 2];
    let reference = references.get(references.len() / 2).copied();
    let ratio = reference.map(|reference| value / reference);
    let met = row.target.map(|target| match target {
        Target::AtLeast(least) => value >= least,
        Target::AtMost(most) => value <= most,
        Target::RatioAtLeast(least) => ratio.is_some_and(|ratio| ratio >= least),
        Target::RatioAtMost(most) => ratio.is_some_and(|ratio| ratio <= most),
    });
    let target = row.target.map(|target| match target {
        Target::AtLeast(least) => format!(">= {}", number(least)),
        Target::AtMost(most) => format!("<= {}", number(most)),
        Target::RatioAtLeast(least) => format!("ratio >= {}", number(least)),
        Target::RatioAtMost(most) => format!("ratio <= {}", number(most)),
    });
    Summary {
        name: row.name.clone(),
        value,
        least: values[0],
        greatest: values[values.len() - 1],
        unit: row.unit,
        reference,
        reference_name: row.reference_name,
        ratio,
        target,
        met,
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Three significant digits, or whole above a thousand.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// A table for people.
pub(crate) fn text(rows: &[Summary]) -> String {
    let mut out = String::new();
    let head = ["what", "value", "spread", "unit", "reference", "ratio", "target", "met"];
    let mut lines: Vec<[String; 8]> = vec![head.map(str::to_owned)];
    for row in rows {
        lines.push([
            row.name.clone(),
            number(row.value),
            format!("{}..{}", number(row.least), number(row.greatest)),
            row.unit.to_owned(),
            row.reference.map_or_else(String::new, |value| format!("{} ({})", number(value), row.reference_name)),
            row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            row.target.clone().unwrap_or_default(),
            row.met.map_or_else(String::new, |met| if met { "yes" } else { "NO" }.to_owned()),
        ]);
    }
    let widths: Vec<usize> =
        (0..8).map(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or(0)).collect();
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(out, "{}", cells.join("  ").trim_end());
    }
    out
}

/// One JSON array.
pub(crate) fn json(rows: &[Summary]) -> anyhow::Result<String> {
    serde_json::to_string_pretty(rows).context("encode the results")
}
