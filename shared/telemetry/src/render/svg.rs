//! Charts as SVG, drawn with the colours of whatever they stand in. No scripts, and nothing from elsewhere.

use std::fmt::Write as _;

use muster_proto::v1::ReportReply;

use super::chart::{Chart, charts};
use super::value::{Unit, decimal_or_bytes};
use super::xml::escaped;

const WIDTH: f64 = 720.0;
/// Of a chart over time.
const LINE_HEIGHT: f64 = 180.0;
/// Of one bar.
const BAR_HEIGHT: f64 = 18.0;
/// For titles and labels.
const TOP: f64 = 28.0;
const BOTTOM: f64 = 22.0;
const LEFT: f64 = 90.0;
const LABELS: f64 = 220.0;
const RIGHT: f64 = 90.0;

/// Colours for a light and a dark surrounding.
pub(super) const STYLE: &str = "\
.chart{color:#1f2328;background:#fff}.chart text{font:12px system-ui,sans-serif;fill:currentColor}.chart .title{font-weight:600}\
.chart .axis{stroke:currentColor;stroke-opacity:.3}.chart .line{fill:none;stroke:#0969da;stroke-width:1.6}.chart .bar,.chart .dot{fill:#0969da}\
@media(prefers-color-scheme:dark){.chart{color:#e6edf3;background:#0d1117}.chart .line{stroke:#58a6ff}.chart .bar,.chart .dot{fill:#58a6ff}}";

/// All charts of an answer under each other, as a picture of its own.
pub(super) fn render(reply: &ReportReply) -> String {
    let charts = charts(reply);
    let height = TOP + charts.iter().map(height_with_gap).sum::<f64>();
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <style>{STYLE}</style>\n<text class=\"title\" x=\"8\" y=\"18\">{}</text>\n",
        escaped(&reply.title)
    );
    let mut top = TOP;
    for chart in &charts {
        let _ = write!(text, "<g transform=\"translate(0 {top})\">\n{}</g>\n", inner(chart));
        top += height_with_gap(chart);
    }
    if charts.is_empty() {
        text.push_str("<text x=\"8\" y=\"40\">nothing to draw</text>\n");
    }
    text.push_str("</svg>\n");
    text
}

/// Each chart as an element of its own, for a page.
pub(super) fn elements(reply: &ReportReply) -> Vec<String> {
    let element = |chart: &Chart| {
        let (height, label) = (height(chart), escaped(&chart.name));
        format!(
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"{label}\">\n{}</svg>\n",
            inner(chart)
        )
    };
    charts(reply).iter().map(element).collect()
}

fn height_with_gap(chart: &Chart) -> f64 {
    height(chart) + 12.0
}

fn height(chart: &Chart) -> f64 {
    let inside = if chart.is_line { LINE_HEIGHT } else { BAR_HEIGHT * count(chart.points.len()) };
    TOP + inside + BOTTOM
}

fn inner(chart: &Chart) -> String {
    let mut text = format!("<text class=\"title\" x=\"8\" y=\"18\">{}</text>\n", escaped(&chart.name));
    let Some((least, most)) = chart.range() else { return text };
    let unit = Unit::of_cell(&chart.column, chart.unit.as_deref());
    let scale = Scale { least: least.min(0.0), most: most.max(0.0) };
    if chart.is_line {
        lines(&mut text, chart, scale, unit)
    } else {
        bars(&mut text, chart, scale, unit)
    }
    text
}

/// From the least to the greatest value, with 0 in it.
#[derive(Debug, Clone, Copy)]
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    /// The place of a value, 0 to 1.
    fn part(self, value: f64) -> f64 {
        if self.most > self.least { (value - self.least) / (self.most - self.least) } else { 0.0 }
    }
}

fn lines(text: &mut String, chart: &Chart, scale: Scale, unit: Unit) {
    let (left, right, bottom) = (LEFT, WIDTH - 16.0, TOP + LINE_HEIGHT);
    let last = count(chart.points.len().saturating_sub(1)).max(1.0);
    let x = |place: usize| left + (right - left) * count(place) / last;
    let y = |value: f64| bottom - LINE_HEIGHT * scale.part(value);
    let _ = writeln!(text, "<path class=\"axis\" d=\"M{left} {TOP}V{bottom}H{right}\" fill=\"none\"/>");
    for value in [scale.least, scale.most] {
        let (y, shown) = (y(value) + 4.0, decimal_or_bytes(value, unit));
        let _ =
            writeln!(text, "<text x=\"{}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", left - 6.0, escaped(&shown));
    }
    let mut path = String::new();
    let mut pen_is_up = true;
    for (place, (_, value)) in chart.points.iter().enumerate() {
        let Some(value) = value else {
            pen_is_up = true;
            continue;
        };
        let _ = write!(path, "{}{:.1} {:.1}", if pen_is_up { 'M' } else { 'L' }, x(place), y(*value));
        pen_is_up = false;
    }
    let _ = writeln!(text, "<path class=\"line\" d=\"{path}\"/>");
    let label = |text: &mut String, place: usize, anchor: &str| {
        let shown = chart.points.get(place).map_or("", |point| point.0.as_str());
        let (x, y) = (x(place), bottom + 16.0);
        let _ = writeln!(text, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>", escaped(shown));
    };
    label(text, 0, "start");
    label(text, chart.points.len().saturating_sub(1), "end");
}

fn bars(text: &mut String, chart: &Chart, scale: Scale, unit: Unit) {
    let (left, right) = (LABELS, WIDTH - RIGHT);
    let x = |value: f64| left + (right - left) * scale.part(value);
    for (place, (label, value)) in chart.points.iter().enumerate() {
        let top = TOP + BAR_HEIGHT * count(place);
        let base = top + BAR_HEIGHT - 5.0;
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{}</text>",
            left - 6.0,
            escaped(&shortened(label))
        );
        let Some(value) = value else { continue };
        let (from, to) = (x(0.0).min(x(*value)), x(0.0).max(x(*value)));
        let (width, height) = ((to - from).max(1.0), BAR_HEIGHT - 4.0);
        let _ = writeln!(
            text,
            "<rect class=\"bar\" x=\"{from:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{height}\"/>"
        );
        let shown = decimal_or_bytes(*value, unit);
        let _ = writeln!(text, "<text x=\"{:.1}\" y=\"{base}\">{}</text>", to + 4.0, escaped(&shown));
    }
}

/// Labels have this many signs at most.
fn shortened(label: &str) -> String {
    const SIGNS: usize = 32;
    if label.chars().count() <= SIGNS {
        label.to_owned()
    } else {
        label.chars().take(SIGNS - 1).chain(['…']).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is drawn")]
fn count(number: usize) -> f64 {
    number as f64
}
