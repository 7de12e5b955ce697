//! For spreadsheets: header and rows, RFC 4180. Title and notes are left out.

use muster_proto::v1::ReportReply;

use super::value::exact;

pub(super) fn render(reply: &ReportReply) -> String {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    let header = reply.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
    let rows = reply.rows.iter().map(|row| row.cells.iter().map(exact).collect());
    for record in std::iter::once(header).chain(rows) {
        writer.write_record(&record).expect("memory takes every record");
    }
    let bytes = writer.into_inner().expect("memory needs no flush");
    String::from_utf8(bytes).expect("text in, text out")
}
