//! Streams that a rebuilt log has followed, and that are no logs: one that was lost with it, and made again, counts on from where it was.
//!
//! A position in such a stream has no lineage. If the stream began at 1 again, its reader would wait for what comes after the old
//! position, and would pass over all that is stored until then.

use std::collections::BTreeMap;

use muster_bus::{Bus, BusError};
use muster_proto::v1::Entry;
use muster_proto::v1::cause::Kind;

use crate::LedgerError;

/// Notes how far entries have followed streams that are no logs.
pub(super) fn note(followed: &mut BTreeMap<String, u64>, entries: &[Entry]) {
    for cause in entries.iter().filter_map(|entry| entry.cause.as_ref()?.kind.as_ref()) {
        let (stream, position) = match cause {
            Kind::Followed(followed) => (&followed.stream, followed.position),
            Kind::Rejected(rejected) => (&rejected.stream, rejected.position),
            Kind::Genesis(_) | Kind::LeaderStarted(_) | Kind::Command(_) | Kind::Own(_) => continue,
        };
        let position = position.unwrap_or_default();
        if position.lineage == 0 {
            let known = followed.entry(stream.clone()).or_default();
            *known = (*known).max(position.sequence);
        }
    }
}

/// Makes every stream that ends below its followed position go on above it. One that holds something already is left as it is: what it
/// holds would be lost.
pub(super) async fn raise(bus: &Bus, followed: &BTreeMap<String, u64>) -> Result<(), LedgerError> {
    for (stream, position) in followed {
        let Some(state) = bus.stream_state(stream).await?.filter(|state| state.last < *position) else { continue };
        let is_empty = state.last == 0 || state.first > state.last;
        if !is_empty {
            tracing::error!(
                stream,
                position,
                last = state.last,
                "a stream that was made again holds messages already: what comes up to the old position is passed over"
            );
            continue;
        }
        let what = format!("let the stream {stream} go on above {position}");
        let failed = |reason: String| BusError::Failed { what: what.clone(), reason };
        let opened = bus.jetstream().get_stream_no_info(stream).await.map_err(|error| failed(error.to_string()))?;
        // Purging an empty stream up to a sequence is how a server is told to count from there.
        opened.purge().sequence(position + 1).await.map_err(|error| failed(error.to_string()))?;
        tracing::info!(stream, position, "a stream that was made again goes on above what was followed of it");
    }
    Ok(())
}
