//! COPY in binary form: the fastest way for many rows.

use std::pin::pin;

use deadpool_postgres::Transaction;
use postgres_types::{ToSql, Type};
use tokio_postgres::binary_copy::BinaryCopyInWriter;

use crate::{Error, Result};

/// Copies rows into a table, as a part of the transaction. `target` is `table (column, ...)`; `types` are the columns' own.
///
/// # Errors
/// As PostgreSQL judges the rows; the transaction is then to be given up.
pub async fn copy_rows<const COLUMNS: usize>(
    transaction: &Transaction<'_>,
    target: &str,
    types: &[Type; COLUMNS],
    rows: impl Iterator<Item = [&(dyn ToSql + Sync); COLUMNS]>,
) -> Result<u64> {
    let what = format!("copy into {target}");
    let failed = Error::doing(&what);
    let sink = transaction.copy_in(&format!("COPY {target} FROM STDIN BINARY")).await.map_err(&failed)?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, types));
    for row in rows {
        writer.as_mut().write(&row).await.map_err(&failed)?;
    }
    writer.finish().await.map_err(&failed)
}
