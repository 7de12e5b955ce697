//! A new run of the system.

use muster_ledger::Decision;
use muster_model::{PoolTime, Refusal, RefusalCode};

use super::super::JobCore;
use super::super::event::Event;
use super::super::input::Reply;
use super::super::limits::NAMED_MAX;
use super::super::state::State;
use super::answered;

/// Begins a new run; refused while anything runs, because DPIDs would mean two things.
pub(super) fn new_run(state: &State) -> Result<Decision<JobCore>, Refusal> {
    let running = || state.jobs.iter().filter(|(_, job)| job.ended == PoolTime::NEVER);
    let count = running().count();
    if count == 0 {
        let run = state.run.next();
        return Ok(answered(vec![Event::RunStarted(run)], Reply::RunStarted(run)));
    }
    let named = running().take(NAMED_MAX).map(|(number, job)| {
        format!("{number} ({}, {} of {} processes)", job.spec.module.name, job.by_state.live(), job.processes)
    });
    let mut list = named.collect::<Vec<_>>().join(", ");
    if count > NAMED_MAX {
        list.push_str(&format!(" and {} more", count - NAMED_MAX));
    }
    let (noun, verb) = if count == 1 { ("job", "runs") } else { ("jobs", "run") };
    let why = format!("{noun} {list} still {verb}");
    let next = "`muster stop --all`, and try again when all have ended";
    Err(Refusal::new(RefusalCode::Refused, format!("begin run {}", state.run.next()), why, next))
}
