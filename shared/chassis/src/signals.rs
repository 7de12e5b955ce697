//! SIGTERM and SIGINT: the first asks for a clean stop, the second, or the end of the grace, ends the process.

use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long a clean stop may take.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(10);
/// Exit code of a process that did not stop cleanly.
const EXIT_UNCLEAN: i32 = 1;

/// Both signals that ask for a stop.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Begins to listen, and cancels `stop` at the first signal. Must be called inside the runtime.
pub(crate) fn cancel_on_signal(stop: CancellationToken) -> anyhow::Result<()> {
    let listen = |kind| signal(kind).context("listen for signals");
    let mut signals =
        StopSignals { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? };
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!(grace = ?STOP_GRACE, "stopping");
        stop.cancel();
        match tokio::time::timeout(STOP_GRACE, signals.next()).await {
            Ok(()) => tracing::warn!("asked twice to stop: ending at once"),
            Err(_) => tracing::warn!("did not stop within its grace: ending at once"),
        }
        std::process::exit(EXIT_UNCLEAN);
    });
    Ok(())
}
