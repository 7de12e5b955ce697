//! Plans: where tasks stand, how that rolls up into steps and into the job, and what a failed step does.

use std::fmt;

/// Where a task stands; a step, and a plan, by what their tasks are. Of those that are not queued the first is the most significant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum TaskState {
    /// It waits for its step, or for machines.
    #[default]
    Queued,
    /// Its processes are placed.
    Running,
    /// It did not end well. Final.
    Failed,
    /// It was not tried, or not to its end. Final.
    Skipped,
    /// It ended well. Final.
    Completed,
}

impl TaskState {
    /// All states, in order.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Failed, Self::Skipped, Self::Completed];

    /// Nothing follows.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Failed | Self::Skipped | Self::Completed => true,
            Self::Queued | Self::Running => false,
        }
    }

    /// The word for people and machines alike.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Completed => "completed",
        }
    }

    /// Tasks into their step, and steps into their plan: only queued is queued, some queued is running, else the most significant.
    #[must_use]
    pub fn roll_up(states: impl IntoIterator<Item = Self>) -> Self {
        let (mut some_queued, mut others) = (false, None);
        for state in states {
            match state {
                Self::Queued => some_queued = true,
                other => others = Some(others.map_or(other, |most: Self| most.min(other))),
            }
        }
        match (some_queued, others) {
            (_, None) => Self::Queued,
            (true, Some(_)) => Self::Running,
            (false, Some(most)) => most,
        }
    }

    /// The same for the whole job, where skipped reads failed.
    #[must_use]
    pub fn roll_up_job(steps: impl IntoIterator<Item = Self>) -> Self {
        match Self::roll_up(steps) {
            Self::Skipped => Self::Failed,
            other => other,
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What follows where a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnFailure {
    /// Steps that have not begun are skipped.
    #[default]
    Stop,
    /// The plan goes on as if the step had completed.
    Continue,
    /// As stop, and the tasks that failed keep their machines.
    Checkout,
}

impl OnFailure {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Stop, Self::Continue, Self::Checkout];

    /// The word for people and machines alike.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Continue => "continue",
            Self::Checkout => "checkout",
        }
    }
}

impl fmt::Display for OnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::TaskState::{self, Completed, Failed, Queued, Running, Skipped};

    #[test]
    fn every_rule_of_the_roll_up() {
        for (states, step, job) in [
            (&[Queued][..], Queued, Queued),
            (&[Queued, Queued], Queued, Queued),
            (&[Queued, Running], Running, Running),
            (&[Queued, Completed], Running, Running),
            (&[Queued, Failed], Running, Running),
            (&[Queued, Skipped], Running, Running),
            (&[Running], Running, Running),
            (&[Running, Failed, Skipped, Completed], Running, Running),
            (&[Failed], Failed, Failed),
            (&[Completed, Skipped, Failed], Failed, Failed),
            (&[Skipped], Skipped, Failed),
            (&[Completed, Skipped], Skipped, Failed),
            (&[Completed], Completed, Completed),
            (&[Completed, Completed], Completed, Completed),
        ] {
            assert_eq!(TaskState::roll_up(states.iter().copied()), step, "{states:?}");
            assert_eq!(TaskState::roll_up_job(states.iter().copied()), job, "{states:?} as a job");
        }
    }

    /// Written from the sentence of the design alone, by counting.
    fn oracle(states: &[TaskState]) -> &'static str {
        let count = |wanted: TaskState| states.iter().filter(|state| **state == wanted).count();
        if count(Queued) == states.len() {
            return "queued";
        }
        if count(Queued) > 0 {
            return "running";
        }
        let order = [(Running, "running"), (Failed, "failed"), (Skipped, "skipped"), (Completed, "completed")];
        order.into_iter().find(|(state, _)| count(*state) > 0).map_or("queued", |(_, word)| word)
    }

    proptest! {
        #[test]
        fn the_roll_up_is_what_the_sentence_says(states in prop::collection::vec(0..5_usize, 0..12)) {
            let states: Vec<TaskState> = states.into_iter().map(|index| TaskState::ALL[index]).collect();
            prop_assert_eq!(TaskState::roll_up(states.iter().copied()).as_str(), oracle(&states));
            let job = if oracle(&states) == "skipped" { "failed" } else { oracle(&states) };
            prop_assert_eq!(TaskState::roll_up_job(states).as_str(), job);
        }
    }
}
