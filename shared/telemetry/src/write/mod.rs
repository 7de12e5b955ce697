//! Writing: one transaction that moves the position and stores what came before it, or nothing at all.

mod census;
mod compaction;
mod logs;
mod partitions;
mod plans;
mod reports;
mod retention;
mod rollup;
mod rows;
mod samples;
mod streams;

pub use census::{known_series, series_counts};
pub use compaction::{Compacted, Compaction, compact};
pub use partitions::{closed_hours, partition_name};
pub use retention::{Emptied, reinitialise, retain, retained_tables, retentions, set_retention};
pub use rollup::{Rollup, closed_days, roll_up};
pub use samples::KnownLayouts;
pub use streams::{archive_head, archive_page, last_batches, load_offset};

use muster_store::{Error, Result, Store, Transaction};

use crate::records::{Offset, Records};

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored, and the position moved.
    Committed,
    /// The position was not where it was expected: another writer was here. Nothing was stored.
    Moved,
}

/// Stores `records` and moves the position from `from` to `to`, or does neither.
///
/// # Errors
/// After [`Error::Unavailable`] it is unknown whether it was stored: read the position back.
pub async fn commit(
    store: &Store,
    known: &mut KnownLayouts,
    from: &Offset,
    to: u64,
    records: &Records,
) -> Result<Outcome> {
    samples::make_partitions(store, known, &records.hours()).await?;
    let mut client = store.client().await?;
    let outcome = transact(&mut client, known, from, to, records).await;
    match outcome {
        Ok(Outcome::Committed) => known.learn(records),
        // A connection in an unknown state is not used again.
        Err(_) => Store::discard(client),
        Ok(Outcome::Moved) => {}
    }
    outcome
}

async fn transact(
    client: &mut muster_store::Client,
    known: &KnownLayouts,
    from: &Offset,
    to: u64,
    records: &Records,
) -> Result<Outcome> {
    let transaction = client.transaction().await.map_err(Error::doing("begin a transaction"))?;
    // First, because it locks the row: a second writer waits here, and then finds the position moved.
    if !streams::move_offset(&transaction, from, to, records.stored).await? {
        transaction.rollback().await.map_err(Error::doing("give up a transaction"))?;
        return Ok(Outcome::Moved);
    }
    write(&transaction, known, from, records).await?;
    if records.archived.is_empty() {
        // Whoever shortens a log believes the archive. Anything else stays in its stream, so a PostgreSQL that dies may forget its newest
        // transactions: it forgets the position with them, and they are read again.
        let set = transaction.batch_execute("SET LOCAL synchronous_commit = off").await;
        set.map_err(Error::doing("set how a transaction is committed"))?;
    }
    transaction.commit().await.map_err(Error::doing("commit"))?;
    Ok(Outcome::Committed)
}

async fn write(transaction: &Transaction<'_>, known: &KnownLayouts, from: &Offset, records: &Records) -> Result<()> {
    streams::write_batches(transaction, from, &records.batches).await?;
    streams::write_rejects(transaction, from, &records.rejects).await?;
    streams::write_gaps(transaction, from, &records.gaps).await?;
    census::write_bounds(transaction, &records.bounds).await?;
    samples::write_layouts(transaction, known, &records.layouts).await?;
    samples::write_samples(transaction, &records.samples).await?;
    samples::write_totals(transaction, &records.samples).await?;
    reports::write_reports(transaction, &records.reports).await?;
    logs::write_archive(transaction, &from.stream, &records.archived).await?;
    logs::write_events(transaction, &from.stream, &records.events).await?;
    logs::write_runs(transaction, &records.runs).await?;
    logs::write_jobs(transaction, &records.jobs).await?;
    logs::write_processes(transaction, &records.processes).await?;
    logs::write_states(transaction, &records.states).await?;
    plans::write_tasks(transaction, &records.tasks).await
}
