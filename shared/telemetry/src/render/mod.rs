//! Rendering: the answer of the report service as text.

mod csv;
mod json;
mod table;
mod value;

use muster_proto::v1::ReportReply;

/// How an answer is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people: aligned, with units that can be read.
    Table,
    /// One object: title, columns, rows as objects, notes.
    Json,
    /// Header and rows.
    Csv,
}

/// Lays out an answer; ends with a line feed.
#[must_use]
pub fn render(reply: &ReportReply, format: Format) -> String {
    match format {
        Format::Table => table::render(reply),
        Format::Json => json::render(reply),
        Format::Csv => csv::render(reply),
    }
}

#[cfg(test)]
mod tests;
