//! Rendering: the answer of the report service as text.

mod chart;
mod csv;
mod html;
mod json;
mod spark;
mod svg;
mod table;
mod value;
pub(crate) mod xml;

use muster_proto::v1::ReportReply;

/// How an answer is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people: aligned, with units that can be read.
    Table,
    /// The same, with sparklines under a table over time.
    Terminal,
    /// One object: title, columns, rows as objects, notes.
    Json,
    /// Header and rows.
    Csv,
    /// A page that opens without a network.
    Html,
    /// Its charts alone.
    Svg,
}

/// Lays out an answer; ends with a line feed.
#[must_use]
pub fn render(reply: &ReportReply, format: Format) -> String {
    match format {
        Format::Table => table::render(reply),
        Format::Terminal => table::render(reply) + &spark::lines(reply),
        Format::Json => json::render(reply),
        Format::Csv => csv::render(reply),
        Format::Html => html::render(reply),
        Format::Svg => svg::render(reply),
    }
}

#[cfg(test)]
mod tests;
