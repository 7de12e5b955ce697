//! Says once when a process stalls, and once when it moves again or is over. What is stalled is the core's to say.

use std::collections::BTreeSet;
use std::time::Duration;

use muster_ledger::Handle;
use muster_model::ProcessId;

use crate::core::JobCore;
use crate::metrics;

/// How often it is looked: agents say pings as often.
const INTERVAL: Duration = Duration::from_secs(1);

/// Watches until leadership ends.
pub(crate) async fn watch(handle: Handle<JobCore>) {
    let mut before = BTreeSet::<ProcessId>::new();
    loop {
        let Ok(now) = handle.query(|view| view.observed.stalled(view.state)).await else { return };
        let begun = now.difference(&before);
        metrics::stalled(begun.clone().count());
        begun.for_each(|process| tracing::warn!(%process, "a process is stalled: its iterations do not change"));
        before.difference(&now).for_each(|process| tracing::info!(%process, "a process is not stalled any more"));
        before = now;
        tokio::time::sleep(INTERVAL).await;
    }
}
