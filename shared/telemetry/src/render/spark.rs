//! Sparklines: how a column of a table over time went, in one line of text.

use muster_proto::v1::ReportReply;

use super::chart::{Chart, charts};
use super::value::{Unit, decimal_or_bytes};

/// Signs of one line at most; more moments are drawn together.
const SIGNS_MAX: usize = 60;
const SIGNS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A line for each chart over time, under a table; empty where there is none.
pub(super) fn lines(reply: &ReportReply) -> String {
    let charts: Vec<Chart> = charts(reply).into_iter().filter(|chart| chart.is_line).collect();
    let width = charts.iter().map(|chart| chart.name.chars().count()).max().unwrap_or(0);
    charts.iter().filter_map(|chart| line(chart, width)).collect()
}

fn line(chart: &Chart, width: usize) -> Option<String> {
    let (least, most) = chart.range()?;
    let unit = Unit::of_cell(&chart.column, chart.unit.as_deref());
    let (name, signs) = (&chart.name, signs(chart, least, most));
    let (least, most) = (decimal_or_bytes(least, unit), decimal_or_bytes(most, unit));
    Some(format!("{name:<width$}  {signs}  {least} to {most}\n"))
}

fn signs(chart: &Chart, least: f64, most: f64) -> String {
    let each = chart.points.len().div_ceil(SIGNS_MAX).max(1);
    let mean = |points: &[(String, Option<f64>)]| {
        let known: Vec<f64> = points.iter().filter_map(|(_, value)| *value).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    };
    let sign = |value: Option<f64>| match value {
        None => ' ',
        Some(_) if most <= least => SIGNS[0],
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of 1 times seven")]
        Some(value) => SIGNS[((value - least) / (most - least) * 7.0).round().clamp(0.0, 7.0) as usize],
    };
    chart.points.chunks(each).map(|points| sign(mean(points))).collect()
}
