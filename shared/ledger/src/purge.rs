//! Shortening a log: what is archived, a day old and below two snapshots is purged; and of many snapshots some go.

use std::time::Duration;

use muster_bus::{Bucket, BusError};
use muster_model::{Lineage, PoolTime, Position};
use muster_proto::v1::Envelope;
use prost::Message;

use crate::archive::{self, ArchivedHead};
use crate::chain;
use crate::log::Log;
use crate::snapshot::{list, name};

/// The stream is purged of messages older than this, if they are archived and below two snapshots.
const PURGE_AGE_MIN: Duration = Duration::from_secs(24 * 3600);
/// Snapshots of a log that are kept at most.
const KEPT_MAX: usize = 24;

/// Purges what is archived, older than a day and below two snapshots; and the snapshots below those.
///
/// # Errors
/// When the server does not answer.
pub(crate) async fn purge(log: &Log, lineage: Lineage, now: PoolTime) -> Result<(), BusError> {
    let positions = list(log).await?;
    let ours: Vec<_> = positions.iter().copied().filter(|position| position.lineage == lineage).collect();
    let Some((_, below)) = ours.split_last() else { return Ok(()) };
    let Ok(Some(archived)) = archive::head(log).await else { return Ok(()) };
    if archived.position.lineage == lineage && !is_archived(log, &archived).await? {
        tracing::error!(
            log = log.name,
            position = %archived.position,
            "the archive's newest message is not in the log, which is not shortened: look which of them is damaged"
        );
        return Ok(());
    }
    let mut base = None;
    for position in below.iter().rev().filter(|position| **position <= archived.position) {
        let Some(payload) = log.message(position.sequence.0).await? else { continue };
        let Ok(envelope) = Envelope::decode(payload) else { continue };
        if now.since(PoolTime(envelope.time_ns)) >= PURGE_AGE_MIN {
            base = Some(*position);
            break;
        }
    }
    let Some(base) = base else { return Ok(()) };
    let stream = log.bus.jetstream().get_stream_no_info(log.name).await;
    let stream = stream.map_err(|error| failed("open the stream", &error))?;
    // The message at the snapshot stays: the chain is checked from it.
    stream.purge().sequence(base.sequence.0).await.map_err(|error| failed("purge the stream", &error))?;
    for position in positions.iter().filter(|position| **position < base) {
        log.bus.delete_object(Bucket::Snapshots, &name(log, *position)).await?;
    }
    tracing::info!(log = log.name, position = %base, "log shortened");
    Ok(())
}

/// Whether the archive's newest message is the log's.
async fn is_archived(log: &Log, archived: &ArchivedHead) -> Result<bool, BusError> {
    let found = log.message(archived.position.sequence.0).await?;
    Ok(found.is_some_and(|payload| chain::hash(&payload) == archived.hash))
}

/// Deletes snapshots between the oldest, to which the log can be shortened one day, and the newest two.
///
/// # Errors
/// When the server does not answer.
pub(crate) async fn thin(log: &Log, lineage: Lineage) -> Result<(), BusError> {
    let mut positions = list(log).await?;
    positions.retain(|position| position.lineage == lineage);
    while let Some(index) = superfluous(&positions) {
        log.bus.delete_object(Bucket::Snapshots, &name(log, positions.remove(index))).await?;
    }
    Ok(())
}

/// The snapshot that is missed least when there are too many: its neighbours are the closest.
fn superfluous(positions: &[Position]) -> Option<usize> {
    if positions.len() <= KEPT_MAX {
        return None;
    }
    let gap = |index: &usize| positions[index + 1].sequence.0 - positions[index - 1].sequence.0;
    (1..positions.len() - 2).min_by_key(gap)
}

fn failed(what: &str, reason: &dyn std::fmt::Display) -> BusError {
    BusError::Failed { what: what.into(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_and_the_newest_two_are_kept_and_the_others_thin_out_evenly() {
        let mut positions: Vec<_> = Vec::new();
        for sequence in 1..=1_000 {
            positions.push(Position::new(1, sequence));
            while let Some(index) = superfluous(&positions) {
                positions.remove(index);
            }
        }
        let kept: Vec<u64> = positions.iter().map(|position| position.sequence.0).collect();
        assert_eq!(kept.len(), KEPT_MAX);
        assert_eq!((kept[0], &kept[KEPT_MAX - 2..]), (1, &[999, 1_000][..]));
        let widest = kept.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(widest < Some(200), "{kept:?}");
    }
}
