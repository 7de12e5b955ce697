//! Fetching the rows of an answer, no more than it may have.

use muster_proto::v1::{Column, ReportReply, Row};
use muster_store::{Client, Error, Result};
use postgres_types::ToSql;

use super::{ROWS_MAX, cut_note};

/// Rows of a statement, and whether there were more than [`ROWS_MAX`].
pub(super) struct Fetched {
    pub(super) rows: Vec<tokio_postgres::Row>,
    cut: bool,
}

/// Runs a statement that has no limit of its own.
pub(super) async fn fetch(
    client: &Client,
    doing: &str,
    statement: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Fetched> {
    let limited = format!("{statement} LIMIT {}", ROWS_MAX + 1);
    let mut rows = client.query(&limited, parameters).await.map_err(Error::doing(doing))?;
    let cut = rows.len() > ROWS_MAX;
    rows.truncate(ROWS_MAX);
    Ok(Fetched { rows, cut })
}

impl Fetched {
    /// The answer: each row as `cells` says it, with a note where it was cut.
    pub(super) fn answer(
        &self,
        title: String,
        columns: Vec<Column>,
        cells: impl FnMut(&tokio_postgres::Row) -> Row,
    ) -> ReportReply {
        let notes = self.cut.then(cut_note).into_iter().collect();
        ReportReply { title, columns, rows: self.rows.iter().map(cells).collect(), notes }
    }
}
