//! The words of a process's life: what happens to it, and what is to be done about it.

use std::time::Duration;

use muster_model::ProcessState;

use super::outcome::Said;

/// What happens to a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The keeper was asked to spawn it.
    Asked,
    /// The keeper spawned it.
    Spawned,
    /// It will never run.
    NotStarted(String),
    /// It is left for a person to start: everything is as it would have found it.
    SetUp(Said),
    /// It said hello on the agent's socket.
    Connected,
    /// Its connection closed.
    Disconnected,
    /// It answered a ping.
    Pong {
        /// Which.
        n: u64,
        /// Iterations so far.
        iterations: u64,
    },
    /// Its pulses block it: its iterations need not change.
    Blocked,
    /// It said how it ended.
    Done(Said),
    /// It is gone.
    Exited(Option<i32>),
    /// It is logged that its machine goes away: what becomes of it until then is nobody's business.
    Away,
    /// Its machine did not go away, and why that is known now.
    Back(String),
    /// It is to stop.
    Stop {
        /// After this it is killed.
        grace: Duration,
        /// Why.
        reason: String,
    },
    /// It is to end at once.
    Kill(String),
    /// Time passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Say start.
    SendStart,
    /// Say ping.
    SendPing(u64),
    /// Say stop.
    SendStop {
        /// What is left of its grace.
        grace: Duration,
    },
    /// Kill it and all that it started; repeated until it is gone.
    Kill,
    /// Say its new state.
    Report {
        /// The state.
        state: ProcessState,
        /// Why.
        reason: String,
    },
    /// It is gone and nothing more will be heard: conclude it.
    Conclude,
}
