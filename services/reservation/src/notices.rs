//! Telling people: one attempt for each letter, at most once in the life of this leader.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::config::Config;
use crate::core::{Input, Letter};
use crate::letter::written;
use crate::metrics;

/// Attempts that are remembered.
const MADE_MAX: usize = 1_024;

/// Attempts that were made: an effect that is wanted again, before what came of it is decided, is not performed again.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    made: Mutex<VecDeque<Made>>,
}

#[derive(Debug, Clone)]
struct Made {
    id: String,
    attempts: u32,
    failed: Option<String>,
}

impl Notices {
    /// Makes an attempt, and says what came of it.
    pub(crate) async fn tell(&self, config: &Config, letter: &Letter) -> Input {
        let message = written(letter, &config.log_in);
        let failed = match self.known(&message.id, letter.attempts) {
            Some(made) => made.failed,
            None => {
                let failed = config.ways.tell(&letter.target, &message).await.err();
                self.remember(Made { id: message.id, attempts: letter.attempts, failed: failed.clone() });
                metrics::noticed(failed.is_none());
                log(letter, failed.as_deref());
                failed
            }
        };
        Input::Noticed {
            id: letter.id,
            notice: letter.notice,
            recipient: letter.recipient,
            attempts: letter.attempts,
            deadline: letter.deadline,
            failed,
        }
    }

    fn known(&self, id: &str, attempts: u32) -> Option<Made> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.iter().find(|made| made.id == id && made.attempts == attempts).cloned()
    }

    fn remember(&self, attempt: Made) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.truncate(MADE_MAX - 1);
        made.push_front(attempt);
    }
}

fn log(letter: &Letter, failed: Option<&str>) {
    let (reservation, notice, recipient) = (letter.id.0, letter.notice, letter.recipient);
    match failed {
        None => tracing::info!(reservation, ?notice, ?recipient, "somebody was told"),
        Some(reason) => {
            tracing::warn!(
                reservation,
                ?notice,
                ?recipient,
                attempts = letter.attempts + 1,
                reason,
                "somebody could not be told"
            );
        }
    }
}
