//! How a process ended: the table of docs/architecture.md, "Ends". Trouble of the infrastructure is never a failure of the product.

use muster_model::{ProcessState, Verdict, describe_exit};

/// What a module said at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// What it says of the product.
    pub verdict: Verdict,
    /// Why, for people.
    pub reason: String,
}

/// All that is known when a process is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    /// What it said, if anything.
    pub said: Option<Said>,
    /// Status as wait(2) gives it; none when whoever knew it is gone.
    pub status: Option<i32>,
    /// It was told to stop, and why.
    pub stop: Option<String>,
    /// It was killed by us, and why.
    pub kill: Option<String>,
}

/// The end of a process as it is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    /// finished or dead.
    pub state: ProcessState,
    /// What it says of the product.
    pub verdict: Verdict,
    /// Status as wait(2) gives it.
    pub status: Option<i32>,
    /// Why, for people.
    pub reason: String,
}

impl End {
    /// The end of a process that never ran.
    pub(crate) fn never_ran(reason: &str) -> Self {
        Self { state: ProcessState::Dead, verdict: Verdict::Error, status: None, reason: reason.into() }
    }

    /// An end of which only the state was written down.
    pub(crate) fn forgotten(state: ProcessState) -> Self {
        let reason = "how it ended was not written down".into();
        Self { state, verdict: Verdict::Error, status: None, reason }
    }

    /// The end of a process that was told to stop before it began.
    pub(crate) fn stopped_before(reason: &str) -> Self {
        let reason = format!("{reason}: stopped before it began");
        Self { state: ProcessState::Finished, verdict: Verdict::None, status: None, reason }
    }
}

/// Judges an end.
pub(crate) fn judge(ending: Ending) -> End {
    let status = ending.status;
    let (said_verdict, said_reason) = match ending.said {
        Some(said) => (Some(said.verdict), said.reason),
        None => (None, String::new()),
    };
    // A process that failed and could still say so has found something; anything else that ends badly is an error.
    let dead_verdict = if said_verdict == Some(Verdict::Fail) { Verdict::Fail } else { Verdict::Error };
    if let Some(kill) = ending.kill {
        return End { state: ProcessState::Dead, verdict: dead_verdict, status, reason: join(&kill, &said_reason) };
    }
    let stop = ending.stop.unwrap_or_default();
    match (status, said_verdict) {
        (None | Some(0), Some(verdict)) => {
            End { state: ProcessState::Finished, verdict, status, reason: join(&stop, &said_reason) }
        }
        (Some(0), None) if !stop.is_empty() => {
            End { state: ProcessState::Finished, verdict: Verdict::None, status, reason: stop }
        }
        (Some(0), None) => dead(status, Verdict::Error, "exited with 0 without saying done"),
        (None, None) => dead(status, Verdict::Error, "its exit status is not known"),
        (Some(raw), _) => dead(status, dead_verdict, &join(&describe_exit(raw), &said_reason)),
    }
}

fn dead(status: Option<i32>, verdict: Verdict, reason: &str) -> End {
    End { state: ProcessState::Dead, verdict, status, reason: reason.into() }
}

/// Two reasons as one text.
fn join(first: &str, second: &str) -> String {
    match (first.is_empty(), second.is_empty()) {
        (_, true) => first.into(),
        (true, false) => second.into(),
        (false, false) => format!("{first}: {second}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds one row: what was said, status, stopped, killed -> state, verdict.
    fn check(
        said: Option<Verdict>,
        status: Option<i32>,
        stop: bool,
        kill: bool,
        state: ProcessState,
        verdict: Verdict,
    ) {
        let end = judge(Ending {
            said: said.map(|verdict| Said { verdict, reason: String::new() }),
            status,
            stop: stop.then(|| "stopped".to_owned()),
            kill: kill.then(|| "past its grace".to_owned()),
        });
        assert_eq!((end.state, end.verdict), (state, verdict), "{said:?} {status:?} stop={stop} kill={kill}");
        assert_eq!(end.status, status);
    }

    #[test]
    fn ends_follow_the_table() {
        use ProcessState::{Dead, Finished};
        use Verdict::{Error, Fail, None as Nothing, Pass, Skip};
        let (zero, one, killed) = (Some(0), Some(1 << 8), Some(9));
        check(Some(Pass), zero, false, false, Finished, Pass);
        check(Some(Fail), zero, false, false, Finished, Fail);
        check(Some(Skip), zero, true, false, Finished, Skip);
        check(None, zero, true, false, Finished, Nothing);
        check(None, zero, false, false, Dead, Error);
        check(None, one, false, false, Dead, Error);
        check(Some(Fail), one, false, false, Dead, Fail);
        check(Some(Pass), one, true, false, Dead, Error);
        check(None, killed, false, false, Dead, Error);
        check(Some(Pass), killed, true, true, Dead, Error);
        check(Some(Fail), killed, true, true, Dead, Fail);
        check(Some(Pass), None, false, false, Finished, Pass);
        check(None, None, true, false, Dead, Error);
    }
}
