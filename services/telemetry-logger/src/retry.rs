//! Waiting for what is away, with growing pauses, for as long as it takes.

use std::time::Duration;

use muster_store::Error;
use tokio_util::sync::CancellationToken;

use crate::config::{RETRY_MAX, RETRY_MIN};

/// Growing pauses; says once that something is away, and once that it is back.
#[derive(Debug)]
pub(crate) struct Pause {
    next: Duration,
    said: bool,
}

impl Pause {
    pub(crate) fn new() -> Self {
        Self { next: RETRY_MIN, said: false }
    }

    /// Waits after a failure; false when `stop` came meanwhile.
    pub(crate) async fn after(
        &mut self,
        error: &(dyn std::fmt::Display + Sync),
        what: &str,
        stop: &CancellationToken,
    ) -> bool {
        if self.said {
            tracing::debug!(what, %error, "still away");
        } else {
            tracing::warn!(what, %error, "away for now, trying again");
            self.said = true;
        }
        let pause = self.next;
        self.next = (self.next * 2).min(RETRY_MAX);
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    /// What failed worked again.
    pub(crate) fn over(&mut self, what: &str) {
        if self.said {
            tracing::info!(what, "back again");
        }
        *self = Self::new();
    }
}

/// Tries until PostgreSQL is there; none when `stop` came first.
///
/// # Errors
/// What only a person can help with.
pub(crate) async fn until_available<T, F>(
    stop: &CancellationToken,
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> Result<Option<T>, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut pause = Pause::new();
    loop {
        match attempt().await {
            Ok(value) => {
                pause.over(what);
                return Ok(Some(value));
            }
            Err(error @ (Error::Unavailable { .. } | Error::TimedOut { .. })) => {
                if !pause.after(&error, what, stop).await {
                    return Ok(None);
                }
            }
            Err(error @ (Error::Broken { .. } | Error::Unfit { .. })) => return Err(error),
        }
    }
}
