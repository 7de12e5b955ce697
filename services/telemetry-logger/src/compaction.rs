//! Compaction: hours of hot rows that are complete become chunks, the oldest first; days of chunks that are over are rolled up; then what is
//! older than the retention goes. Beside the writers, who never wait for it for long.
//!
//! Any number of replicas run it: a lock in PostgreSQL lets one of them work. What fails is tried again with the next look.

use muster_bus::streams::TEL;
use muster_store::{Error, Store};
use muster_telemetry::write::{self, Compaction, Rollup};
use tokio_util::sync::CancellationToken;

use crate::config::{COMPACTION_GRACE, COMPACTION_INTERVAL};
use crate::metrics;

/// Runs until `stop`. It never ends the service: hot rows are read like chunks, and only take more room.
pub(crate) async fn run(store: &Store, stop: &CancellationToken) {
    while stop.run_until_cancelled(look(store)).await.is_some() {
        if stop.run_until_cancelled(tokio::time::sleep(COMPACTION_INTERVAL)).await.is_none() {
            return;
        }
    }
}

async fn look(store: &Store) {
    let hours = match write::closed_hours(store, TEL, COMPACTION_GRACE).await {
        Ok(hours) => hours,
        Err(error) => return complain(&error),
    };
    for (done, hour) in hours.iter().enumerate() {
        metrics::waiting_hours(hours.len() - done);
        match write::compact(store, *hour).await {
            Ok(Compaction::Done(compacted)) => {
                metrics::compacted(compacted.samples, compacted.took);
                tracing::info!(
                    partition = compacted.partition,
                    samples = compacted.samples,
                    chunks = compacted.chunks,
                    hot_bytes = compacted.hot_bytes,
                    bytes = compacted.bytes,
                    took = ?compacted.took,
                    "an hour is compacted"
                );
            }
            Ok(Compaction::Gone) => {}
            Ok(Compaction::Busy) => return,
            Err(error) => complain(&error),
        }
    }
    metrics::waiting_hours(0);
    if let Err(error) = roll_up(store).await {
        complain(&error);
    }
    match write::retain(store).await {
        Ok(0) => {}
        Ok(gone) => tracing::info!(gone, "partitions and rows went that are older than the retention"),
        Err(error) => complain(&error),
    }
}

async fn roll_up(store: &Store) -> Result<(), Error> {
    for day in write::closed_days(store, TEL, COMPACTION_GRACE).await? {
        match write::roll_up(store, day).await? {
            Rollup::Done(series, took) => tracing::info!(day, series, ?took, "a day is rolled up"),
            Rollup::Known => {}
            Rollup::Busy => return Ok(()),
        }
    }
    Ok(())
}

fn complain(error: &Error) {
    match error {
        Error::Unavailable { .. } | Error::TimedOut { .. } => {
            tracing::warn!(%error, "compaction, rollup or retention waits for now")
        }
        Error::Broken { .. } | Error::Unfit { .. } => tracing::error!(%error, "compaction, rollup or retention failed"),
    }
}
