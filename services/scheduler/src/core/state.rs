//! State: the fold of JOBS. Every change of a process goes through here, so that counts, digests and indexes can not differ from it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use muster_model::{
    Dpid, JobNumber, MachineId, ModuleName, PoolTime, Position, ProcessId, ProcessNumber, ProcessState, Pulse,
    PulseNumber, ReservationId, RunId,
};
use muster_proto::process_digest;

use super::attached::Followed;
use super::groups::Groups;
use super::input::Key;
use super::job::{Job, Member, Process};
use super::machine::{LoadNumbers, Machine};
use super::master::Master;
use super::module::Module;
use super::pool::Pool;
use super::test_event::TestEvents;
use super::trigger::Firings;

/// The fold of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Current run.
    pub run: RunId,
    /// Number of the newest job of the run.
    pub last_job: JobNumber,
    /// The catalogue.
    pub modules: BTreeMap<ModuleName, Arc<Module>>,
    /// Machines.
    pub machines: BTreeMap<MachineId, Machine>,
    /// Load numbers that were set.
    pub loads: LoadNumbers,
    /// Jobs of the current run that are remembered.
    pub jobs: BTreeMap<JobNumber, Job>,
    /// Their processes.
    pub processes: BTreeMap<Dpid, Process>,
    /// Pulses that are defined.
    pub pulses: BTreeMap<PulseNumber, Pulse>,
    /// The command center that is master.
    pub master: Option<Master>,
    /// Firings that are remembered, in the order in which they were heard of.
    pub firings: Firings,
    /// Events of tests that are remembered.
    pub test_events: TestEvents,
    /// Reservations that are ready, or for which a start waits.
    pub reservations: BTreeMap<ReservationId, Followed>,
    /// Processes that have clients.
    pub groups: Groups,
    /// Ended jobs, by when they ended.
    pub(super) ended: BTreeSet<(PoolTime, JobNumber)>,
    /// Processes of ended jobs.
    pub(super) ended_processes: usize,
    /// Index over the machines.
    pub(super) pool: Pool,
    /// What the last event made it forget.
    pub(super) forgotten: Forgotten,
}

/// Keys of jobs that the last event made the state forget, so that readers forget them too. Of no state: in no snapshot or hash.
#[derive(Debug, Clone, Default)]
pub(super) struct Forgotten(pub(super) Vec<Key>);

impl PartialEq for Forgotten {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Default for State {
    fn default() -> Self {
        Self::empty(RunId(1), JobNumber(0))
    }
}

impl State {
    /// A state that holds nothing.
    pub(crate) fn empty(run: RunId, last_job: JobNumber) -> Self {
        Self {
            run,
            last_job,
            modules: BTreeMap::new(),
            machines: BTreeMap::new(),
            loads: LoadNumbers::new(),
            jobs: BTreeMap::new(),
            processes: BTreeMap::new(),
            pulses: BTreeMap::new(),
            master: None,
            firings: Firings::new(),
            test_events: TestEvents::default(),
            reservations: BTreeMap::new(),
            groups: Groups::new(),
            ended: BTreeSet::new(),
            ended_processes: 0,
            pool: Pool::default(),
            forgotten: Forgotten::default(),
        }
    }
}

/// All DPIDs of a job.
#[must_use]
pub(super) fn dpids_of(job: JobNumber) -> RangeInclusive<Dpid> {
    Dpid { job, process: ProcessNumber(0) }..=Dpid { job, process: ProcessNumber(u32::MAX) }
}

impl State {
    /// Identity of a process's current attempt.
    #[must_use]
    pub fn identity(&self, dpid: Dpid, process: &Process) -> ProcessId {
        ProcessId { run: self.run, dpid, attempt: process.attempt }
    }

    /// The process that an identity names, if it is the current attempt.
    #[must_use]
    pub fn current(&self, id: &ProcessId) -> Option<&Process> {
        let process = self.processes.get(&id.dpid)?;
        (id.run == self.run && id.attempt == process.attempt).then_some(process)
    }

    /// Processes of a job, in order.
    pub fn processes_of(&self, job: JobNumber) -> impl Iterator<Item = (Dpid, &Process)> {
        self.processes.range(dpids_of(job)).map(|(dpid, process)| (*dpid, process))
    }

    /// Members of a gang of a job, by role.
    pub fn gang(&self, job: JobNumber, member: Member) -> impl Iterator<Item = (Dpid, &Process)> {
        let numbers = self.jobs.get(&job).into_iter().flat_map(move |found| found.gang_of(member));
        numbers.filter_map(move |process| {
            let dpid = Dpid { job, process: *process };
            Some((dpid, self.processes.get(&dpid)?))
        })
    }

    /// Adds a job without processes.
    pub(super) fn insert_job(&mut self, job: Job) {
        self.jobs.insert(job.spec.job, job);
    }

    /// Adds a job of a snapshot. Its machines are known already.
    pub(crate) fn restore_job(&mut self, job: Job, processes: Vec<(Dpid, Process)>) {
        let (number, ended) = (job.spec.job, job.ended);
        self.insert_job(job);
        if ended != PoolTime::NEVER {
            self.ended.insert((ended, number));
            self.ended_processes += processes.len();
        }
        for (dpid, process) in processes {
            self.insert_process(dpid, process);
        }
    }

    /// Adds a machine of a snapshot.
    pub(crate) fn restore_machine(&mut self, machine: Machine) {
        let id = machine.seen.machine.clone();
        let affected = self.pool.lay_paths(&id, &[], &machine.seen.resources);
        self.machines.insert(id.clone(), machine);
        [id].iter().chain(&affected).for_each(|id| self.derive_places(id));
    }

    /// Adds a process to its job and machine, with everything that is counted.
    pub(super) fn insert_process(&mut self, dpid: Dpid, process: Process) {
        let job = self.jobs.get_mut(&dpid.job).expect("a process is placed within its job");
        job.processes += 1;
        job.by_state.add(process.state);
        job.parts.entry(process.machine.clone()).or_default().add(process.state);
        job.ran += u32::from(process.running != PoolTime::NEVER);
        if process.state.is_final() {
            job.by_verdict[process.verdict as usize] += 1;
        }
        if let Some(member) = process.member {
            job.note_member(dpid.process, member);
        }
        self.attach(dpid, &process);
        self.processes.insert(dpid, process);
    }

    /// Makes a machine know a process.
    pub(super) fn attach(&mut self, dpid: Dpid, process: &Process) {
        let id = self.identity(dpid, process);
        let machine = self.machines.get_mut(&process.machine).expect("a process is placed on a known machine");
        machine.orders.insert((process.changed, dpid));
        if !process.state.is_final() {
            machine.live.insert(dpid);
            machine.digest ^= process_digest(&id);
            self.count_use(dpid, process, true);
        }
        if process.state == ProcessState::Away {
            self.count_away(&process.machine, true);
        }
    }

    /// Counts a process of a machine that came away, or is it no more.
    pub(super) fn count_away(&mut self, id: &MachineId, came: bool) {
        let Some(machine) = self.machines.get_mut(id) else { return };
        machine.away = if came { machine.away + 1 } else { machine.away.saturating_sub(1) };
        self.pool.count(self.pool.ordinal(id.as_str()), machine);
    }

    /// Makes a machine forget that a process lives there.
    pub(super) fn end_on_machine(&mut self, dpid: Dpid, process: &Process) {
        let id = self.identity(dpid, process);
        let Some(machine) = self.machines.get_mut(&process.machine) else { return };
        if machine.live.remove(&dpid) {
            machine.digest ^= process_digest(&id);
            self.count_use(dpid, process, false);
        }
    }

    /// The order of a process changed: its agent is to be told.
    pub(super) fn reorder(&mut self, dpid: Dpid, position: Position) {
        let Some(process) = self.processes.get_mut(&dpid) else { return };
        let Some(machine) = self.machines.get_mut(&process.machine) else { return };
        machine.orders.remove(&(process.changed, dpid));
        process.changed = position;
        machine.orders.insert((position, dpid));
        machine.generation = position;
    }

    /// Notes that a job ended.
    pub(super) fn note_ended(&mut self, number: JobNumber, limits: EndedLimits) {
        let job = &self.jobs[&number];
        self.ended.insert((job.ended, number));
        self.ended_processes += job.processes as usize;
        self.forget_beyond(limits);
    }

    /// Forgets the oldest ended jobs beyond the bounds; the newest stays, whatever its size.
    pub(super) fn forget_beyond(&mut self, limits: EndedLimits) {
        while self.ended.len() > limits.jobs || (self.ended_processes > limits.processes && self.ended.len() > 1) {
            let Some((_, oldest)) = self.ended.pop_first() else { return };
            self.forget_job(oldest);
        }
    }

    fn forget_job(&mut self, number: JobNumber) {
        let Some(job) = self.jobs.remove(&number) else { return };
        self.ended_processes = self.ended_processes.saturating_sub(job.processes as usize);
        let parts = job.parts.into_keys().map(|machine| Key::Part(number, machine));
        self.forgotten.0.extend(parts.chain([Key::Job(number)]));
        let dpids: Vec<Dpid> = self.processes.range(dpids_of(number)).map(|(dpid, _)| *dpid).collect();
        for dpid in dpids {
            let Some(process) = self.processes.remove(&dpid) else { continue };
            if let Some(machine) = self.machines.get_mut(&process.machine) {
                machine.orders.remove(&(process.changed, dpid));
            }
            self.drop_if_removed(&process.machine);
        }
    }

    /// Forgets every job: a new run begins.
    pub(super) fn forget_all_jobs(&mut self) {
        let numbers: Vec<JobNumber> = self.jobs.keys().copied().collect();
        self.ended.clear();
        for number in numbers {
            self.forget_job(number);
        }
        self.ended_processes = 0;
    }
}

/// How many ended jobs are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndedLimits {
    /// Jobs.
    pub(super) jobs: usize,
    /// Their processes.
    pub(super) processes: usize,
}
