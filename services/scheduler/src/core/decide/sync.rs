//! Arrivals at sync points, as agents report them: one event for all of a batch that arrive at one round.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_model::{Dpid, JobNumber, PoolTime, ProcessNumber};

use super::super::event::{Event, SyncArrived, SyncLeft};
use super::super::input::SyncSaid;
use super::super::job::Job;
use super::super::limits::{
    ROUNDS_OPEN_MAX, SYNC_NAME_MAX, SYNC_TIMEOUT_MAX, SYNC_TIMEOUT_MIN, SYNC_WITH_MAX, TICK_CHANGES_MAX,
};
use super::super::machine::Machine;
use super::super::state::State;
use super::super::sync::RoundKey;

/// Arrivals of one batch.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    arrived: BTreeMap<(JobNumber, RoundKey), SyncArrived>,
    refused: Vec<SyncArrived>,
    left: BTreeMap<JobNumber, Vec<ProcessNumber>>,
}

impl Arrivals {
    /// Takes what a process says. Said again, it changes nothing.
    pub(super) fn take(&mut self, state: &State, machine: &Machine, said: &SyncSaid, now: PoolTime) {
        let Some(process) = state.current(&said.id) else { return };
        if process.machine != machine.seen.machine || process.epoch != said.epoch || process.state.is_final() {
            return;
        }
        let Dpid { job: number, process: own } = said.id.dpid;
        let job = &state.jobs[&number];
        if said.leaves {
            if !job.left.contains(&own) {
                self.left.entry(number).or_default().push(own);
            }
            return;
        }
        let key = RoundKey { name: Arc::from(said.name.as_str()), number: said.round };
        let round = job.rounds.get(&key);
        let is_known =
            process.arrival.as_ref().is_some_and(|arrival| arrival.round == key && arrival.refused.is_empty());
        if is_known && round.is_some_and(|round| !round.is_open() || round.votes.get(&own) == Some(&said.vote)) {
            return;
        }
        let (participants, refused) = match participants(state, job, &key, said) {
            Ok(participants) => (participants, String::new()),
            Err(why) => (Vec::new(), why),
        };
        let vote = (own, said.vote);
        let until = now + said.timeout.clamp(Duration::ZERO, SYNC_TIMEOUT_MAX);
        let arrived = SyncArrived { job: number, round: key.clone(), participants, until, votes: vec![vote], refused };
        if !arrived.refused.is_empty() {
            return self.refused.push(arrived);
        }
        match self.arrived.get_mut(&(number, key.clone())) {
            Some(others) if others.participants == arrived.participants => others.votes.push(vote),
            Some(_) => self.refused.push(SyncArrived { refused: OTHERS.into(), ..arrived }),
            None => drop(self.arrived.insert((number, key), arrived)),
        }
    }

    /// One event for each round, and for each that may not take part.
    pub(super) fn into_events(self) -> impl Iterator<Item = Event> {
        let left = self.left.into_iter().map(|(job, processes)| Event::SyncLeft(SyncLeft { job, processes }));
        self.arrived.into_values().chain(self.refused).map(|arrived| Event::SyncArrived(Box::new(arrived))).chain(left)
    }
}

const OTHERS: &str = "others wait in this round for other participants";

/// Who takes part in the round that a process arrives at.
fn participants(state: &State, job: &Job, key: &RoundKey, said: &SyncSaid) -> Result<Vec<ProcessNumber>, String> {
    if said.name.is_empty() || said.name.len() > SYNC_NAME_MAX || said.round == 0 {
        return Err(format!("a sync point has a name of 1 to {SYNC_NAME_MAX} bytes and rounds from 1"));
    }
    if !(SYNC_TIMEOUT_MIN..=SYNC_TIMEOUT_MAX).contains(&said.timeout) {
        return Err("a sync point waits for 1 s to 24 h".into());
    }
    let wanted = resolve(state, job, said)?;
    match job.rounds.get(key) {
        Some(round) if round.participants == wanted => Ok(wanted),
        Some(_) => Err(OTHERS.into()),
        None => {
            let newer = RoundKey { number: key.number + 1, ..key.clone() };
            let is_over = job.rounds.range(newer..).next().is_some_and(|(known, _)| known.name == key.name);
            if is_over {
                return Err("this round is over, and not known any more".into());
            }
            if job.open_rounds().count() >= ROUNDS_OPEN_MAX {
                return Err(format!("the job waits in {ROUNDS_OPEN_MAX} rounds already"));
            }
            Ok(wanted)
        }
    }
}

/// The processes that are named by number or role, sorted; none for all.
fn resolve(state: &State, job: &Job, said: &SyncSaid) -> Result<Vec<ProcessNumber>, String> {
    if said.with.len() > SYNC_WITH_MAX {
        return Err(format!("{} participants are named, and {SYNC_WITH_MAX} may be", said.with.len()));
    }
    let number = job.spec.job;
    // In a plan a task is among itself.
    let own = said.id.dpid.process;
    let task = job.plan.as_ref().and_then(|plan| Some(&plan.tasks[plan.place_of(own)?.0]));
    let roles = &job.spec_of(own).module.roles;
    let mut wanted = Vec::new();
    for name in &said.with {
        if let Ok(process) = name.parse().map(ProcessNumber) {
            if !state.processes.contains_key(&Dpid { job: number, process }) {
                return Err(format!("job {number} has no process {name}"));
            }
            wanted.push(process);
            continue;
        }
        let Some(role) = roles.iter().position(|role| role == name) else {
            let module = &job.spec_of(own).module.name;
            return Err(format!("`{name}` is no role of module {module} and no number of a process"));
        };
        let of_role = job.gangs.iter().filter_map(|gang| gang.get(role));
        wanted.extend(of_role.filter(|process| task.is_none_or(|task| task.has(**process))));
    }
    if let Some(task) = task.filter(|_| said.with.is_empty()) {
        wanted.extend(task.numbers());
    }
    wanted.sort_unstable();
    wanted.dedup();
    if !wanted.is_empty() && wanted.binary_search(&said.id.dpid.process).is_err() {
        return Err("it is not among those that it names".into());
    }
    Ok(wanted)
}

/// Rounds whose time is over.
pub(super) fn due(state: &State, now: PoolTime) -> Vec<Event> {
    let waiting = state.jobs.iter().filter(|(_, job)| job.ended == PoolTime::NEVER && !job.rounds.is_empty());
    let due = waiting.flat_map(|(number, job)| {
        let over = job.open_rounds().filter(|(_, round)| round.until.is_due(now));
        over.map(|(key, _)| Event::SyncTimedOut { job: *number, round: key.clone() })
    });
    due.take(TICK_CHANGES_MAX).collect()
}
