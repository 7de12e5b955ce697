//! Questions to the agent that are answered later: said again on each new connection until they are.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use muster_module_protocol::AgentMessage;

/// A question.
#[derive(Debug)]
struct Asked {
    /// As it is said.
    line: Vec<u8>,
    answer: Option<AgentMessage>,
}

/// Questions that wait, by what they are about.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    asked: Mutex<BTreeMap<String, Asked>>,
    changed: Condvar,
}

impl Asks {
    fn asked(&self) -> MutexGuard<'_, BTreeMap<String, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a question; one about the same is given up.
    pub(crate) fn begin(&self, about: &str, line: Vec<u8>) {
        self.asked().insert(about.to_owned(), Asked { line, answer: None });
    }

    /// What is not answered yet.
    pub(crate) fn unanswered(&self) -> Vec<Vec<u8>> {
        self.asked().values().filter(|asked| asked.answer.is_none()).map(|asked| asked.line.clone()).collect()
    }

    /// The agent answers.
    pub(crate) fn answer(&self, about: &str, answer: &AgentMessage) {
        if let Some(asked) = self.asked().get_mut(about) {
            asked.answer = Some(answer.clone());
        }
        self.wake();
    }

    /// Whoever waits looks again.
    pub(crate) fn wake(&self) {
        // Who is about to wait has looked already, and holds this until it waits.
        let _held = self.asked();
        self.changed.notify_all();
    }

    /// Waits for the answer, or until it is to be given up.
    pub(crate) fn wait(&self, about: &str, gives_up: impl Fn() -> bool) -> Option<AgentMessage> {
        let waiting = |asked: &mut BTreeMap<String, Asked>| {
            !gives_up() && asked.get(about).is_some_and(|asked| asked.answer.is_none())
        };
        let mut asked = self.changed.wait_while(self.asked(), waiting).unwrap_or_else(PoisonError::into_inner);
        asked.remove(about).and_then(|asked| asked.answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_said_again_until_it_is_answered() {
        let asks = Asks::default();
        asks.begin("start/a", b"line".to_vec());
        assert_eq!(asks.unanswered(), [b"line"]);
        let kept = AgentMessage::Kept;
        asks.answer("start/b", &kept);
        asks.answer("start/a", &kept);
        assert!(asks.unanswered().is_empty());
        assert_eq!(asks.wait("start/a", || false), Some(kept));
        asks.begin("start/a", b"line".to_vec());
        assert_eq!(asks.wait("start/a", || true), None, "a stop was asked for");
        assert!(asks.unanswered().is_empty(), "who gave up asks no more");
    }
}
