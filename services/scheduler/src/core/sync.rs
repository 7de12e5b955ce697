//! Sync points: processes of a job that wait for each other, round by round, each with a vote.
//!
//! Responsible for when a round ends and how: everything but its deadline follows from what the log says anyway, so the outcome is part of the
//! fold and no event of its own. Not for who may arrive (`decide/sync.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_ledger::At;
use muster_model::{Dpid, JobNumber, MachineId, PoolTime, ProcessNumber, ProcessState};

use super::event::SyncArrived;
use super::job::Job;
use super::limits::{NO_VOTERS_MAX, ROUNDS_MAX};
use super::state::State;

/// A round of a sync point.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoundKey {
    /// Name of the sync point.
    pub name: Arc<str>,
    /// Number of the round, by the processes.
    pub number: u64,
}

impl std::fmt::Display for RoundKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} round {}", self.name, self.number)
    }
}

/// Where a round stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// Who takes part, sorted; empty means every process of the job.
    pub participants: Vec<ProcessNumber>,
    /// Nobody is awaited longer.
    pub until: PoolTime,
    /// Who has arrived, and how they vote.
    pub votes: BTreeMap<ProcessNumber, bool>,
    /// How it ended; none while it is open.
    pub outcome: Option<Outcome>,
}

/// How a round ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How.
    pub end: RoundEnd,
    /// Votes for it.
    pub yes: u32,
    /// Votes against it.
    pub no: u32,
    /// The first of those who voted against it.
    pub no_voters: Vec<ProcessNumber>,
}

/// Why nobody is awaited any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoundEnd {
    /// All who were awaited have arrived.
    Complete,
    /// One of them will not come.
    Released {
        /// Who.
        by: ProcessNumber,
        /// What became of it.
        why: String,
    },
    /// The time was over.
    TimedOut,
}

impl RoundEnd {
    /// What became of who will not come; empty for another end.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::Complete | Self::TimedOut => "",
            Self::Released { why, .. } => why,
        }
    }
}

/// The newest arrival of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Where it arrived.
    pub round: RoundKey,
    /// Why it may not; empty where it may.
    pub refused: String,
}

/// What a process is told of its newest arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Where it arrived.
    pub round: RoundKey,
    /// How the round ended, or why the process may not take part.
    pub told: Result<Outcome, String>,
}

impl Round {
    /// A process takes part.
    #[must_use]
    pub fn has(&self, process: ProcessNumber) -> bool {
        self.participants.is_empty() || self.participants.binary_search(&process).is_ok()
    }

    /// It is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.outcome.is_none()
    }

    fn end(&mut self, end: RoundEnd) {
        let no_voters = self.votes.iter().filter(|(_, vote)| !**vote).map(|(process, _)| *process);
        let no = no_voters.clone().count() as u32;
        let no_voters = no_voters.take(NO_VOTERS_MAX).collect();
        self.outcome = Some(Outcome { end, yes: self.votes.len() as u32 - no, no, no_voters });
    }
}

impl Job {
    /// Rounds in which somebody is awaited.
    pub fn open_rounds(&self) -> impl Iterator<Item = (&RoundKey, &Round)> {
        self.rounds.iter().filter(|(_, round)| round.is_open())
    }

    /// With so many more votes a round may be complete; decided without a look at each process.
    #[must_use]
    pub fn may_complete(&self, round: Option<&Round>, more: usize) -> bool {
        let voted = round.map_or(0, |round| round.votes.len()) + more;
        round.is_some_and(|round| !round.participants.is_empty())
            || voted + self.left.len() >= self.by_state.live() as usize
    }

    /// Forgets the oldest rounds that are over, beyond the bound.
    fn forget_rounds(&mut self) {
        while self.rounds.len() > ROUNDS_MAX {
            let over = self.rounds.iter().filter(|(_, round)| !round.is_open());
            let Some(oldest) = over.min_by_key(|(_, round)| round.until).map(|(key, _)| key.clone()) else { return };
            self.rounds.remove(&oldest);
        }
    }
}

impl State {
    /// Who is awaited in a round: participants that live, have not arrived and have not left.
    pub fn awaited<'a>(&'a self, job: JobNumber, round: &'a Round) -> impl Iterator<Item = ProcessNumber> + 'a {
        let found = self.jobs.get(&job);
        let is_awaited = move |process: &ProcessNumber| {
            let lives = self.processes.get(&Dpid { job, process: *process }).is_some_and(|p| !p.state.is_final());
            lives && !round.votes.contains_key(process) && found.is_some_and(|job| !job.left.contains(process))
        };
        let all = round.participants.is_empty().then(|| self.processes_of(job).map(|(dpid, _)| dpid.process));
        all.into_iter().flatten().chain(round.participants.iter().copied()).filter(is_awaited)
    }

    /// Processes arrive.
    pub(super) fn arrive(&mut self, arrived: &SyncArrived, at: &At<'_>) {
        let Some(job) = self.jobs.get_mut(&arrived.job) else { return };
        if arrived.refused.is_empty() {
            let new = || Round {
                participants: arrived.participants.clone(),
                until: arrived.until,
                votes: BTreeMap::new(),
                outcome: None,
            };
            let round = job.rounds.entry(arrived.round.clone()).or_insert_with(new);
            if round.is_open() {
                round.votes.extend(arrived.votes.iter().copied());
            }
            job.left.retain(|process| arrived.votes.iter().all(|(arriving, _)| arriving != process));
        }
        for (process, _) in &arrived.votes {
            let dpid = Dpid { job: arrived.job, process: *process };
            let Some(found) = self.processes.get_mut(&dpid).filter(|found| !found.state.is_final()) else { continue };
            found.arrival = Some(Box::new(Arrival { round: arrived.round.clone(), refused: arrived.refused.clone() }));
        }
        self.complete(arrived.job, &arrived.round, at);
        self.release_by_down(arrived.job, &arrived.round, at);
        let is_open =
            self.jobs.get(&arrived.job).and_then(|job| job.rounds.get(&arrived.round)).is_some_and(Round::is_open);
        if !is_open || !arrived.refused.is_empty() {
            for (process, _) in &arrived.votes {
                self.tell(Dpid { job: arrived.job, process: *process }, at);
            }
        }
        if let Some(job) = self.jobs.get_mut(&arrived.job) {
            job.forget_rounds();
        }
    }

    /// Processes are not awaited any more.
    pub(super) fn leave(&mut self, number: JobNumber, processes: &[ProcessNumber], at: &At<'_>) {
        let Some(job) = self.jobs.get_mut(&number) else { return };
        job.left.extend(processes);
        let open: Vec<RoundKey> = job.open_rounds().map(|(key, _)| key.clone()).collect();
        open.iter().for_each(|key| self.complete(number, key, at));
    }

    /// The time of a round is over.
    pub(super) fn time_out(&mut self, job: JobNumber, round: &RoundKey, at: &At<'_>) {
        self.end_round(job, round, RoundEnd::TimedOut, at);
    }

    /// A process has ended, or can not come: whoever waits for it goes on.
    pub(super) fn release(&mut self, dpid: Dpid, why: &str, at: &At<'_>) {
        let Some(job) = self.jobs.get(&dpid.job).filter(|job| !job.left.contains(&dpid.process)) else { return };
        let waits = job.open_rounds().filter(|(_, round)| round.has(dpid.process));
        for key in waits.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.end_round(dpid.job, &key, RoundEnd::Released { by: dpid.process, why: why.to_owned() }, at);
        }
    }

    /// What runs on a machine that is down is not waited for: nobody knows when it comes back. Who is away is.
    pub(super) fn release_on(&mut self, id: &MachineId, at: &At<'_>) {
        let Some(machine) = self.machines.get(id) else { return };
        let stays = |dpid: &&Dpid| self.processes[*dpid].state != ProcessState::Away;
        let gone: Vec<Dpid> = machine.live.iter().filter(stays).copied().collect();
        for dpid in gone {
            self.release(dpid, &format!("its machine {id} is down"), at);
        }
    }

    /// Who is awaited and runs on a machine that is down already will not come in time.
    fn release_by_down(&mut self, number: JobNumber, key: &RoundKey, at: &At<'_>) {
        let Some(job) = self.jobs.get(&number) else { return };
        let Some(round) = job.rounds.get(key).filter(|round| round.is_open()) else { return };
        let is_down = |id: &MachineId| self.machines.get(id).is_some_and(|machine| machine.seen.down);
        if !job.parts.keys().any(is_down) {
            return;
        }
        let found = self.awaited(number, round).find_map(|process| {
            let found = self.processes.get(&Dpid { job: number, process })?;
            (found.state != ProcessState::Away && is_down(&found.machine)).then(|| (process, found.machine.clone()))
        });
        if let Some((by, id)) = found {
            self.end_round(number, key, RoundEnd::Released { by, why: format!("its machine {id} is down") }, at);
        }
    }

    fn complete(&mut self, number: JobNumber, key: &RoundKey, at: &At<'_>) {
        let Some(job) = self.jobs.get(&number) else { return };
        let Some(round) = job.rounds.get(key).filter(|round| round.is_open()) else { return };
        if job.may_complete(Some(round), 0) && self.awaited(number, round).next().is_none() {
            self.end_round(number, key, RoundEnd::Complete, at);
        }
    }

    fn end_round(&mut self, number: JobNumber, key: &RoundKey, end: RoundEnd, at: &At<'_>) {
        let Some(round) = self.jobs.get_mut(&number).and_then(|job| job.rounds.get_mut(key)) else { return };
        if !round.is_open() {
            return;
        }
        round.end(end);
        for process in round.votes.keys().copied().collect::<Vec<_>>() {
            self.tell(Dpid { job: number, process }, at);
        }
    }

    /// The agent of a process that lives is told anew.
    fn tell(&mut self, dpid: Dpid, at: &At<'_>) {
        if self.processes.get(&dpid).is_some_and(|process| !process.state.is_final()) {
            self.reorder(dpid, at.position);
        }
    }

    /// What a process is told of its newest arrival; none while it waits.
    #[must_use]
    pub fn answer(&self, job: JobNumber, arrival: &Arrival) -> Option<Answer> {
        let round = arrival.round.clone();
        if !arrival.refused.is_empty() {
            return Some(Answer { round, told: Err(arrival.refused.clone()) });
        }
        match self.jobs.get(&job).and_then(|job| job.rounds.get(&round)) {
            None => Some(Answer { round, told: Err("this round is over, and not known any more".into()) }),
            Some(found) => found.outcome.clone().map(|outcome| Answer { round, told: Ok(outcome) }),
        }
    }
}
