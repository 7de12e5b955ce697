//! A page that stands for itself: charts and the table, for a light and a dark surrounding. It asks nobody for anything, which its own
//! policy forbids it.

use std::fmt::Write as _;

use muster_proto::v1::{Column, ReportReply, Row};

use super::svg;
use super::value::{Unit, readable};
use super::xml::escaped;

const STYLE: &str = "\
:root{color-scheme:light dark}body{margin:24px;font:14px system-ui,sans-serif;color:#1f2328;background:#fff}\
h1{font-size:20px}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
th,td{padding:3px 12px 3px 0;text-align:left;white-space:pre-wrap;border-bottom:1px solid #d0d7de}th{position:sticky;top:0;background:#fff}\
.number{text-align:right}.notes{color:#59636e}.charts{display:flex;flex-wrap:wrap;gap:16px;margin:16px 0}.charts svg{max-width:100%;height:auto}\
@media(prefers-color-scheme:dark){body,th{color:#e6edf3;background:#0d1117}th,td{border-color:#30363d}.notes{color:#9198a1}}";

pub(super) fn render(reply: &ReportReply) -> String {
    let title = escaped(&reply.title);
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}{}</style>\n</head>\n<body>\n<h1>{title}</h1>\n",
        svg::STYLE
    );
    for note in &reply.notes {
        let _ = writeln!(text, "<p class=\"notes\">{}</p>", escaped(note));
    }
    let charts = svg::elements(reply);
    if !charts.is_empty() {
        let _ = write!(text, "<div class=\"charts\">\n{}</div>\n", charts.concat());
    }
    text.push_str("<table>\n<thead><tr>");
    for column in &reply.columns {
        let _ = write!(text, "<th{}>{}</th>", class(column), escaped(&column.name));
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    let unit = reply.columns.iter().position(|column| column.name == "unit");
    reply.rows.iter().for_each(|row| write_row(&mut text, &reply.columns, row, unit));
    text.push_str("</tbody>\n</table>\n</body>\n</html>\n");
    text
}

fn write_row(text: &mut String, columns: &[Column], row: &Row, unit: Option<usize>) {
    let own = unit.and_then(|place| row.cells.get(place)).map(|cell| readable(cell, Unit::Other));
    text.push_str("<tr>");
    for (column, cell) in columns.iter().zip(&row.cells) {
        let shown = readable(cell, Unit::of_cell(&column.name, own.as_deref()));
        let _ = write!(text, "<td{}>{}</td>", class(column), escaped(&shown));
    }
    text.push_str("</tr>\n");
}

fn class(column: &Column) -> &'static str {
    if column.numeric { " class=\"number\"" } else { "" }
}
