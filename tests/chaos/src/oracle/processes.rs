//! No process ran twice, every one has ended once, by the listed transitions, and none is left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_model::{Attempt, Dpid, JobNumber, ProcessId, ProcessNumber, RunId};
use muster_proto::v1::{self, MachinePlacement, ProcessState, job_event};
use prost::Message as _;

use crate::facts::Facts;
use crate::oracle::Violation;
use crate::watch::machine_number;

pub(super) fn judge(facts: &Facts) -> Vec<Violation> {
    let mut jobs = Jobs::default();
    for entry in facts.log("JOBS").iter().flat_map(|message| &message.entries) {
        for event in &entry.events {
            match v1::JobEvent::decode(event.as_ref()) {
                Ok(event) => jobs.take(event, facts.moment(entry.time_ns)),
                Err(error) => jobs.found.push(Violation::new(format!("an event of JOBS can not be read: {error}"))),
            }
        }
    }
    [jobs.ended(), started(facts, &jobs.placed), left(facts)].concat()
}

/// A process as JOBS has it.
#[derive(Debug, Clone, Copy)]
struct Process {
    attempt: Attempt,
    state: ProcessState,
}

/// What JOBS says of all processes.
#[derive(Debug, Default)]
struct Jobs {
    processes: BTreeMap<(RunId, Dpid), Process>,
    /// Where each attempt was placed.
    placed: BTreeMap<ProcessId, String>,
    found: Vec<Violation>,
}

impl Jobs {
    fn take(&mut self, event: v1::JobEvent, at: Duration) {
        match event.kind {
            Some(job_event::Kind::JobStarted(started)) => {
                let spec = started.spec.unwrap_or_default();
                for placement in &started.placements {
                    self.place((RunId(spec.run), JobNumber(spec.job)), Attempt(1), placement, at);
                }
            }
            Some(job_event::Kind::ProcessReplaced(replaced)) => {
                let (Some(id), Some(placement)) = (replaced.id.map(ProcessId::from), replaced.placement) else {
                    return;
                };
                let next = Attempt(id.attempt.0 + 1);
                self.place((id.run, id.dpid.job), next, &placement, at);
            }
            Some(job_event::Kind::ProcessesChanged(changed)) => {
                for change in changed.changes {
                    self.change(&change, at);
                }
            }
            _ => {}
        }
    }

    fn place(&mut self, (run, job): (RunId, JobNumber), attempt: Attempt, placement: &MachinePlacement, at: Duration) {
        for number in placement.first..placement.first + placement.count {
            let dpid = Dpid { job, process: ProcessNumber(number) };
            let process = Process { attempt, state: ProcessState::Starting };
            let before = self.processes.insert((run, dpid), process);
            let id = ProcessId { run, dpid, attempt };
            if before.is_some_and(|before| before.attempt >= attempt || is_final(before.state)) {
                self.found.push(Violation::at(format!("{id} was placed although it was {before:?}"), at));
            }
            self.placed.insert(id, placement.machine.clone());
        }
    }

    fn change(&mut self, change: &v1::ProcessChange, at: Duration) {
        let Some(id) = change.id.map(ProcessId::from) else { return };
        let (from, to) = (change.from(), change.to());
        let Some(process) = self.processes.get_mut(&(id.run, id.dpid)) else {
            self.found.push(Violation::at(format!("{id} changed to {to:?}, and was never placed"), at));
            return;
        };
        if process.attempt != id.attempt || process.state != from || is_final(from) {
            self.found.push(Violation::at(format!("{id} went from {from:?} to {to:?}, and was {process:?}"), at));
        }
        *process = Process { attempt: id.attempt, state: to };
    }

    /// Everything found, and what has not ended.
    fn ended(&self) -> Vec<Violation> {
        let open = self.processes.iter().filter(|(_, process)| !is_final(process.state));
        let open =
            open.map(|((run, dpid), process)| Violation::new(format!("{run}/{dpid} has not ended: {process:?}")));
        self.found.iter().cloned().chain(open).collect()
    }
}

fn is_final(state: ProcessState) -> bool {
    matches!(state, ProcessState::Finished | ProcessState::Dead | ProcessState::Lost)
}

/// Each attempt was started once at most, where it was placed, and by an intent of that machine alone.
fn started(facts: &Facts, placed: &BTreeMap<ProcessId, String>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut seen: BTreeMap<ProcessId, BTreeSet<(u32, u32, u64)>> = BTreeMap::new();
    for started in &facts.started {
        seen.entry(started.id).or_default().insert((started.machine, started.pid, started.ticks));
    }
    for (id, starts) in &seen {
        if starts.len() > 1 {
            found.push(Violation::new(format!(
                "{id} was started {} times: (machine, pid, ticks) {starts:?}",
                starts.len()
            )));
        }
        let place = placed.get(id);
        let is_there = |machine: u32| place.and_then(|name| machine_number(name)) == Some(machine);
        if !starts.iter().all(|(machine, ..)| is_there(*machine)) {
            found.push(Violation::new(format!("{id} ran as {starts:?}, and was placed on {place:?}")));
        }
    }
    let mut intended: BTreeMap<ProcessId, BTreeSet<u32>> = BTreeMap::new();
    for intent in &facts.intents {
        intended.entry(intent.id).or_default().insert(intent.machine);
    }
    let without = seen.keys().filter(|id| !intended.contains_key(id));
    found.extend(without.map(|id| Violation::new(format!("{id} was started without an intent"))));
    let twice = intended.iter().filter(|(_, machines)| machines.len() > 1);
    found.extend(twice.map(|(id, machines)| Violation::new(format!("{id} has intents on machines {machines:?}"))));
    found
}

fn left(facts: &Facts) -> Vec<Violation> {
    facts.left.iter().map(|test| Violation::new(format!("a test process is left: {test:?}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Intent, Started};
    use crate::oracle::made_up::{change, finds, good, job_entry, replaced};

    fn first(facts: &Facts) -> Started {
        *facts.started.first().expect("one was started")
    }

    #[test]
    fn a_process_that_ran_twice_or_elsewhere_is_found() {
        let mut facts = good();
        let again = Started { pid: 999, ..first(&facts) };
        facts.started.insert(again);
        finds(&facts, "was started 2 times");
        let mut facts = good();
        let elsewhere = Started { machine: 2, ..first(&facts) };
        facts.started = [elsewhere].into();
        finds(&facts, "and was placed on Some(\"node-1\")");
        let mut facts = good();
        let id = first(&facts).id;
        facts.intents.push(Intent { machine: 2, id });
        finds(&facts, "has intents on machines");
        let mut facts = good();
        facts.intents.clear();
        finds(&facts, "was started without an intent");
    }

    #[test]
    fn a_process_that_nobody_placed_is_found() {
        let mut facts = good();
        let mut stray = first(&facts);
        stray.id.dpid.process = ProcessNumber(77);
        facts.started.insert(stray);
        finds(&facts, "and was placed on None");
    }

    #[test]
    fn a_process_that_did_not_end_is_left_or_ended_twice_is_found() {
        let mut facts = good();
        let test = first(&facts);
        facts.left.insert(test);
        finds(&facts, "a test process is left");
        let mut facts = good();
        facts.logs[0].messages.truncate(2);
        finds(&facts, "has not ended");
        let mut facts = good();
        let again = change(test.id, ProcessState::Finished, ProcessState::Lost);
        facts.logs[0].messages[2].entries.push(job_entry(vec![again]));
        finds(&facts, "went from Finished to Lost");
        let mut facts = good();
        facts.logs[0].messages[2].entries.push(job_entry(vec![replaced(test.id, "node-2")]));
        finds(&facts, "was placed although it was");
    }

    #[test]
    fn a_transition_from_another_state_and_one_of_nobody_are_found() {
        let mut facts = good();
        let test = first(&facts);
        let wrong = change(test.id, ProcessState::Mia, ProcessState::Running);
        facts.logs[0].messages[1].entries.insert(0, job_entry(vec![wrong]));
        finds(&facts, "went from Mia to Running");
        let mut facts = good();
        let mut nobody = test.id;
        nobody.dpid.job = JobNumber(50);
        let wrong = change(nobody, ProcessState::Starting, ProcessState::Running);
        facts.logs[0].messages[1].entries.push(job_entry(vec![wrong]));
        finds(&facts, "and was never placed");
    }
}
