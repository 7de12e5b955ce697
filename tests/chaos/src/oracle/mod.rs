//! The oracle: what must hold of everything that was gathered. Facts in, violations out; nothing is asked of anybody.
//!
//! Each file judges one thing, and has a test that it finds its violation.

mod answers;
mod logs;
#[cfg(test)]
pub(crate) mod made_up;
mod pool;
mod processes;
mod reservations;
mod sizes;

use std::fmt;
use std::time::Duration;

use crate::facts::Facts;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What.
    pub what: String,
    /// When, where it has a time: since the beginning of the run.
    pub at: Option<Duration>,
}

impl Violation {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), at: None }
    }

    pub(crate) fn at(what: impl Into<String>, at: Duration) -> Self {
        Self { what: what.into(), at: Some(at) }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "at {:.2} s: {}", at.as_secs_f64(), self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Judges everything.
#[must_use]
pub fn judge(facts: &Facts) -> Vec<Violation> {
    let judges = [logs::judge, answers::judge, processes::judge, reservations::judge, pool::judge, sizes::judge];
    judges.iter().flat_map(|judge| judge(facts)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_in_which_everything_held_has_no_violation() {
        assert_eq!(judge(&made_up::good()), []);
    }
}
