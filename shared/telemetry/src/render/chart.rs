//! What of an answer can be drawn: lines over time where its rows are moments, else bars for its rows. Pure.

use std::collections::BTreeMap;

use muster_proto::v1::{Cell, ReportReply, Row, cell::Value};

/// Charts of one answer; the others are in the table.
const CHARTS_MAX: usize = 24;
/// Bars of one chart; the others are in the table.
const BARS_MAX: usize = 40;
/// The column of moments.
const TIME: &str = "time";
/// Of performance only these are drawn: the rest says the same in other words.
const TELLING: [&str; 5] = ["rate_per_second", "avg", "p50", "p99", "max"];
/// Columns of numbers that name or count rather than measure.
const NAMES: [&str; 9] =
    ["after_seconds", "run", "job", "attempt", "process", "trigger", "peers", "exit_status", "last_seq"];

/// One chart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chart {
    /// What is drawn.
    pub(super) name: String,
    /// The column, which says the unit.
    pub(super) column: String,
    /// Where the rows say a unit of their own.
    pub(super) unit: Option<String>,
    /// Lines over time, or bars.
    pub(super) is_line: bool,
    /// Labels and values; none where nothing is known.
    pub(super) points: Vec<(String, Option<f64>)>,
}

impl Chart {
    /// Least and greatest value; none without values.
    pub(super) fn range(&self) -> Option<(f64, f64)> {
        let values = || self.points.iter().filter_map(|(_, value)| *value);
        Some((values().min_by(f64::total_cmp)?, values().max_by(f64::total_cmp)?))
    }
}

/// The charts of an answer; none where nothing differs.
pub(super) fn charts(reply: &ReportReply) -> Vec<Chart> {
    let is_line = reply.columns.first().is_some_and(|column| column.name == TIME);
    let texts: Vec<usize> = places(reply, false).filter(|place| !(is_line && *place == 0)).collect();
    let numbers = measured(reply);
    let unit = reply.columns.iter().position(|column| column.name == "unit");
    let metric = reply.columns.iter().position(|column| column.name == "metric");
    let mut groups = BTreeMap::<String, Vec<&Row>>::new();
    for row in &reply.rows {
        let key = match (is_line, metric) {
            (true, _) => texts
                .iter()
                .map(|place| text(row, *place))
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join(" "),
            (false, Some(metric)) => text(row, metric),
            (false, None) => String::new(),
        };
        groups.entry(key).or_default().push(row);
    }
    let mut charts = Vec::new();
    for (key, rows) in &groups {
        for place in &numbers {
            let column = reply.columns[*place].name.clone();
            let name = if key.is_empty() { column.clone() } else { format!("{key} {column}") };
            let label = |row: &Row| if is_line { text(row, 0) } else { label(row, &texts, metric) };
            let most = if is_line { usize::MAX } else { BARS_MAX };
            let points = rows.iter().take(most).map(|row| (label(row), number(row, *place))).collect();
            let unit = unit.and_then(|unit| rows.first().map(|row| text(row, unit)));
            charts.push(Chart { name, column, unit, is_line, points });
        }
    }
    charts.retain(tells);
    charts.truncate(CHARTS_MAX);
    charts
}

/// A chart of nothing, of one moment, or of zeros tells nothing.
fn tells(chart: &Chart) -> bool {
    let known = chart.points.iter().filter(|(_, value)| value.is_some()).count();
    let is_flat = chart.range().is_none_or(|(least, most)| least == 0.0 && most == 0.0);
    !is_flat && known >= if chart.is_line { 2 } else { 1 }
}

fn places(reply: &ReportReply, numeric: bool) -> impl Iterator<Item = usize> + '_ {
    reply.columns.iter().enumerate().filter(move |(_, column)| column.numeric == numeric).map(|(place, _)| place)
}

/// Columns of what was measured.
fn measured(reply: &ReportReply) -> Vec<usize> {
    let name = |place: &usize| reply.columns[*place].name.as_str();
    let telling: Vec<usize> = places(reply, true).filter(|place| TELLING.contains(&name(place))).collect();
    if telling.iter().any(|place| name(place) == TELLING[0]) {
        return telling;
    }
    places(reply, true).filter(|place| !NAMES.contains(&name(place))).collect()
}

/// What names a row of bars: its first texts, without the metric, its kind and its unit.
fn label(row: &Row, texts: &[usize], metric: Option<usize>) -> String {
    let before = |place: &&usize| metric.is_none_or(|metric| **place < metric);
    let words = texts.iter().filter(before).take(3).map(|place| text(row, *place)).filter(|text| !text.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

fn cell(row: &Row, place: usize) -> Option<&Value> {
    row.cells.get(place).and_then(|cell: &Cell| cell.value.as_ref())
}

fn text(row: &Row, place: usize) -> String {
    match cell(row, place) {
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Integer(integer)) => integer.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        None => String::new(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is drawn")]
fn number(row: &Row, place: usize) -> Option<f64> {
    match cell(row, place)? {
        Value::Integer(integer) => Some(*integer as f64),
        Value::Number(number) => number.is_finite().then_some(*number),
        Value::Text(_) => None,
    }
}
