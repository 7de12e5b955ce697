//! Brings a spool to its stream: the oldest batch, until it is acknowledged, then the next. One is outstanding at a time.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use crate::connection::Connection;
use crate::disk::spool::Spool;
use crate::metrics;

/// Least pause after a failure.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// Greatest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// An idle sender looks at its spool this often, although it is told of every batch.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// A spool that is written by the agent and emptied by its sender.
#[derive(Debug, Clone)]
pub(crate) struct SharedSpool {
    spool: Arc<Mutex<Spool>>,
    /// Told of every batch.
    pub appended: Arc<Notify>,
}

impl SharedSpool {
    /// Shares a spool.
    pub(crate) fn new(spool: Spool) -> Self {
        Self { spool: Arc::new(Mutex::new(spool)), appended: Arc::new(Notify::new()) }
    }

    /// The spool, for a moment.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().expect("no holder of the spool panics")
    }
}

/// Sends for as long as the agent lives. `up` is true while hello is done: nothing is said before it.
pub(crate) fn start(connection: Connection, spool: SharedSpool, subject: String, mut up: watch::Receiver<bool>) {
    tokio::spawn(async move {
        let bus = connection.bus().await;
        let mut pause = PAUSE_MIN;
        loop {
            if up.wait_for(|up| *up).await.is_err() {
                return;
            }
            let Some((number, batch)) = next(&spool) else {
                let _ = tokio::time::timeout(LOOK_AGAIN, spool.appended.notified()).await;
                continue;
            };
            match bus.store(&subject, &message_id(&subject, number, &batch), batch).await {
                Ok(_) => {
                    spool.lock().acknowledge(number);
                    pause = PAUSE_MIN;
                }
                Err(error) => {
                    ::metrics::counter!(metrics::SEND_FAILURES).increment(1);
                    tracing::debug!(%error, number, "a batch was not acknowledged: sending it again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    });
}

fn next(spool: &SharedSpool) -> Option<(u64, Bytes)> {
    let next = spool.lock().next();
    next.unwrap_or_else(|error| {
        tracing::error!(%error, "the spool can not be read");
        None
    })
}

/// The same for the same bytes, so that a batch that landed without our knowing is stored once.
fn message_id(subject: &str, number: u64, batch: &[u8]) -> String {
    format!("{subject}-{number}-{}", &blake3::hash(batch).to_hex()[..16])
}
