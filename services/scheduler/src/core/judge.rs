//! What a task came to, by its processes: done, failed by the product, or in the way of it by the infrastructure (decision 20).

use muster_model::{Dpid, JobNumber, ProcessState, Verdict};

use super::job::{Process, StopReason};
use super::plan::Task;
use super::state::State;

/// What one process came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// It lives.
    Lives,
    /// It ended well.
    Well,
    /// It ended well because a person stopped it.
    Stopped,
    /// It failed: what it tests did, or the test.
    Failed,
    /// It was not ended by itself, and nobody knows what it would have come to.
    Trouble,
}

/// What the processes of a task came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Judged {
    /// How many live.
    pub(super) live: u32,
    /// The first that failed, and how.
    pub(super) failed: Option<String>,
    /// The first that the infrastructure ended, and how.
    pub(super) trouble: Option<String>,
    /// That is the cause, and not stopped for another's sake.
    has_cause: bool,
    /// A person stopped one.
    pub(super) is_stopped: bool,
    /// The worst verdict.
    pub(super) verdict: Verdict,
}

/// What a process came to. A known exit status is an answer: it is never tried again, unless it was told to stop for the
/// infrastructure's sake and does not say that the product failed.
pub(super) fn came(process: &Process) -> Came {
    if !process.state.is_final() {
        return Came::Lives;
    }
    if process.verdict == Verdict::Fail {
        return Came::Failed;
    }
    if process.state == ProcessState::Lost {
        return Came::Trouble;
    }
    match process.stop.as_ref().map(|stop| stop.reason) {
        Some(
            StopReason::Draining
            | StopReason::Protected
            | StopReason::Gang
            | StopReason::Boot
            | StopReason::Prepared
            | StopReason::Task,
        ) => return Came::Trouble,
        Some(StopReason::Limit) if process.exit_status.is_some() => return Came::Failed,
        Some(StopReason::Limit | StopReason::User | StopReason::Errand) | None => {}
    }
    let is_stopped = process.stop.is_some();
    match process.state {
        ProcessState::Dead if process.exit_status.is_none() && is_stopped && process.verdict == Verdict::None => {
            stopped_before_it_began(process)
        }
        ProcessState::Dead if process.exit_status.is_none() => Came::Trouble,
        ProcessState::Dead => Came::Failed,
        _ if process.verdict == Verdict::Error => Came::Failed,
        _ if is_stopped => Came::Stopped,
        _ => Came::Well,
    }
}

/// A person did not want it; a limit ended what no agent had begun.
fn stopped_before_it_began(process: &Process) -> Came {
    match process.stop.as_ref().map(|stop| stop.reason) {
        Some(StopReason::User) => Came::Stopped,
        _ => Came::Trouble,
    }
}

/// What a task came to.
pub(super) fn judge(state: &State, job: JobNumber, task: &Task) -> Judged {
    let mut judged = Judged::default();
    for range in &task.ranges {
        let first = Dpid { job, process: range.first };
        for (dpid, process) in
            state.processes.range(first..).take_while(|(dpid, _)| dpid.job == job && range.has(dpid.process))
        {
            judged.add(*dpid, process);
        }
    }
    judged
}

impl Judged {
    fn add(&mut self, dpid: Dpid, process: &Process) {
        let told = || format!("{dpid} on {} is {}: {}", process.machine, process.state, why(process));
        match came(process) {
            Came::Lives => self.live += 1,
            Came::Well => {}
            Came::Stopped => self.is_stopped = true,
            Came::Failed => drop(self.failed.get_or_insert_with(told)),
            Came::Trouble => {
                // What was stopped for another's sake is not the cause.
                let is_cause = process.stop.as_ref().is_none_or(|stop| stop.reason != StopReason::Task);
                if self.trouble.is_none() || (is_cause && !self.has_cause) {
                    (self.trouble, self.has_cause) = (Some(told()), is_cause);
                }
            }
        }
        if process.state.is_final() {
            self.verdict = worst(self.verdict, process.verdict);
        }
    }
}

/// Why a process ended, in words.
fn why(process: &Process) -> String {
    let limit = process.stop.as_ref().is_some_and(|stop| stop.reason == StopReason::Limit);
    match (limit, process.reason.as_str()) {
        (true, "") => "the time of its task is over".into(),
        (true, reason) => format!("the time of its task is over, {reason}"),
        (false, "") => format!("verdict {}", process.verdict),
        (false, reason) => reason.to_owned(),
    }
}

/// Of two verdicts the one that matters more: fail, error, skip, pass.
fn worst(one: Verdict, other: Verdict) -> Verdict {
    let rank = |verdict| match verdict {
        Verdict::Fail => 4,
        Verdict::Error => 3,
        Verdict::Skip => 2,
        Verdict::Pass => 1,
        Verdict::None => 0,
    };
    if rank(other) > rank(one) { other } else { one }
}
