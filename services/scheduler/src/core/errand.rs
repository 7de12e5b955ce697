//! Errands: processes that a test has started on other machines of its job. Each is a job of its own, and ends with who asked for it.
//!
//! Responsible for what who asked is told, and for the end of an errand with its process: both follow from what the log says anyway, so they are
//! part of the fold. Not for who may ask (`decide/errands.rs`).

use std::sync::Arc;

use muster_ledger::At;
use muster_model::{Dpid, JobNumber, MachineId, ProcessId, ProcessNumber, ProcessState, Verdict};

use super::apply::stop_processes;
use super::event::{ErrandRefused, JobStarted, StopRequested};
use super::job::{Job, StopReason};
use super::state::State;

/// The process whose errand a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrandOf {
    /// Who asked for it; in whichever attempt it is now.
    pub id: ProcessId,
    /// Name of the errand.
    pub name: Arc<str>,
    /// It goes on when that process has ended.
    pub detached: bool,
}

/// An errand, as the process that asked for it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    /// Where, as asked for.
    pub machine: String,
    /// The process, or why it could not be started.
    pub started: Result<Dpid, String>,
    /// It goes on when who asked for it has ended.
    pub detached: bool,
    /// How it ended; none while it lives.
    pub end: Option<ErrandEnd>,
}

/// How an errand ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrandEnd {
    /// Its final state.
    pub state: ProcessState,
    /// What it says.
    pub verdict: Verdict,
    /// Exit status, as wait(2) gives it, when it is known.
    pub exit_status: Option<i32>,
    /// Why, for people.
    pub reason: String,
}

impl Errand {
    /// The job of an errand that lives.
    #[must_use]
    pub fn lives_as(&self) -> Option<JobNumber> {
        let dpid = self.started.as_ref().ok().filter(|_| self.end.is_none())?;
        Some(dpid.job)
    }

    /// Bytes that it takes on the wire, at most.
    pub(super) fn size(&self, name: &str) -> usize {
        let refused = self.started.as_ref().map_or_else(String::len, |_| 0);
        64 + name.len() + self.machine.len() + refused + self.end.as_ref().map_or(0, |end| end.reason.len())
    }
}

impl Job {
    /// Whether processes of the job may have errands on a machine: one of those that it was placed on.
    #[must_use]
    pub fn may_use(&self, machine: &MachineId) -> bool {
        self.parts.contains_key(machine)
    }
}

/// Jobs of living errands that end with a process.
pub(super) fn bound_to(state: &State, dpid: Dpid) -> Vec<JobNumber> {
    let errands = state.processes.get(&dpid).into_iter().flat_map(|process| process.errands.values());
    errands.filter(|errand| !errand.detached).filter_map(Errand::lives_as).collect()
}

/// Who has a process as its errand, while that is known.
pub(super) fn asked_by(state: &State, job: JobNumber) -> Option<&ErrandOf> {
    let of = state.jobs.get(&job)?.spec.errand_of.as_ref()?;
    (of.id.run == state.run).then_some(of)
}

/// A job began that is an errand. Who asked for it may have ended meanwhile.
pub(super) fn began(state: &mut State, started: &JobStarted, at: &At<'_>) {
    let Some(of) = &started.spec.errand_of else { return };
    let Some(placement) = started.placements.first() else { return };
    let errand = Errand {
        machine: placement.machine.to_string(),
        started: Ok(Dpid { job: started.spec.job, process: placement.first }),
        detached: of.detached,
        end: None,
    };
    let lives = tell(state, of.id.dpid, &of.name, errand, at);
    if !lives && !of.detached {
        stop(state, started.spec.job, at);
    }
}

/// It could not be started.
pub(super) fn refused(state: &mut State, refused: &ErrandRefused, at: &At<'_>) {
    let errand =
        Errand { machine: refused.machine.clone(), started: Err(refused.why.clone()), detached: false, end: None };
    tell(state, refused.id.dpid, &refused.name, errand, at);
}

/// A process has ended: its errands end with it, and who has it as an errand is told.
pub(super) fn ended(state: &mut State, dpid: Dpid, at: &At<'_>) {
    for job in bound_to(state, dpid) {
        stop(state, job, at);
    }
    let Some(process) = state.processes.get(&dpid).filter(|_| dpid.process == ProcessNumber(1)) else { return };
    let end = ErrandEnd {
        state: process.state,
        verdict: process.verdict,
        exit_status: process.exit_status,
        reason: process.reason.clone(),
    };
    let Some(of) = asked_by(state, dpid.job).cloned() else { return };
    let asking = state.processes.get_mut(&of.id.dpid);
    if let Some(errand) = asking.and_then(|asking| asking.errands.get_mut(&*of.name)) {
        errand.end = Some(end);
        reorder_live(state, of.id.dpid, at);
    }
}

/// Notes what became of an errand; whether who asked for it lives.
fn tell(state: &mut State, dpid: Dpid, name: &str, errand: Errand, at: &At<'_>) -> bool {
    let Some(process) = state.processes.get_mut(&dpid).filter(|process| !process.state.is_final()) else {
        return false;
    };
    process.errands.insert(name.to_owned(), errand);
    state.reorder(dpid, at.position);
    true
}

fn reorder_live(state: &mut State, dpid: Dpid, at: &At<'_>) {
    if state.processes.get(&dpid).is_some_and(|process| !process.state.is_final()) {
        state.reorder(dpid, at.position);
    }
}

fn stop(state: &mut State, job: JobNumber, at: &At<'_>) {
    let Some(grace) = state.jobs.get(&job).map(|job| job.spec.module.stop_grace) else { return };
    let stop = StopRequested { job, processes: Vec::new(), grace, reason: StopReason::Errand };
    stop_processes(state, &stop, at);
}
