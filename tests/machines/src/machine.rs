//! One simulated machine: what it knows, and what it does about what it is told. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use muster_model::{Attempt, Dpid, JobNumber, MachineId, Position, ProcessId, ProcessNumber, RunId};
use muster_proto::process_digest;
use muster_proto::v1::{
    self, AgentRefusal, AgentReply, CorruptionReport, FenceDone, Heartbeat, Hello, InstallKernel, Inventory,
    InventoryReport, JobDesired, JobOrders, KnownProcess, MachineDesired, PingBatch, PrepareResource, ProcessState,
    RebootMachine, RefusedProcess, UpdateJobs, Verdict, report,
};

use crate::boot::{BOOT_TIME, Boots};
use crate::inventory::inventory;
use crate::plug::Touch;
use crate::process::{Ending, KILLED, Process};
use crate::script::{Kind, Waiting};
use crate::storage::Disks;

/// Jobs whose beginning is remembered for the script.
const JOBS_KEPT: usize = 1_000;

/// An agent that was killed is back within this.
const AGENT_RESTARTS_WITHIN: Duration = Duration::from_secs(1);

/// What is to be said after something was taken.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Said {
    /// Reports, in order.
    pub(crate) reports: Vec<report::Kind>,
    /// Something was missed: hello is to be said again.
    pub(crate) hello_again: bool,
}

/// A simulated machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) id: MachineId,
    pub(crate) incarnation: u64,
    pub(crate) epoch: u64,
    fenced: u64,
    draining: bool,
    protected: BTreeSet<String>,
    machine_generation: Position,
    job_generation: Position,
    /// Highest term heard, by the service that said it.
    terms: BTreeMap<&'static str, u64>,
    processes: BTreeMap<ProcessId, Process>,
    heartbeats: u64,
    /// Boots so far, from 1.
    boots: u32,
    pids: u32,
    /// Time since the program began, as it was last told.
    now: Duration,
    /// When its first process of a job began; of jobs that are forgotten too, up to a bound.
    began: BTreeMap<u32, Duration>,
    hindered: Hindered,
    waiting: Waiting,
    kernels: Boots,
    /// It has no power.
    is_off: bool,
    disks: Disks,
}

/// Until when what does not work.
#[derive(Debug, Default)]
struct Hindered {
    silent: Duration,
    refusing: Duration,
    slow: Duration,
    delay: Duration,
    batches_to_lose: usize,
}

impl Machine {
    /// A machine that nobody knows yet.
    pub(crate) fn new(id: MachineId, waiting: Waiting) -> Self {
        Self {
            id,
            incarnation: 0,
            epoch: 0,
            fenced: 0,
            draining: true,
            protected: BTreeSet::new(),
            machine_generation: Position::default(),
            job_generation: Position::default(),
            terms: BTreeMap::new(),
            processes: BTreeMap::new(),
            heartbeats: 0,
            boots: 1,
            pids: 0,
            now: Duration::ZERO,
            began: BTreeMap::new(),
            hindered: Hindered::default(),
            waiting,
            kernels: Boots::default(),
            is_off: false,
            disks: Disks::default(),
        }
    }

    fn boot_id(&self) -> String {
        format!("simulated-{}-{}", self.id, self.boots)
    }

    /// Time passes: what the script has for this moment happens.
    pub(crate) fn pass(&mut self, now: Duration) -> Said {
        let passed = now.saturating_sub(self.now);
        let was_silent = self.is_silent();
        self.now = now;
        let mut said = Said { hello_again: was_silent && !self.is_silent(), ..Said::default() };
        for (id, process) in &mut self.processes {
            if process.pass(now, passed) {
                said.reports.push(process.report(*id));
            }
        }
        let began = &self.began;
        for fault in self.waiting.due(now, |job| began.get(&job).copied()) {
            self.happen(fault, &mut said);
        }
        said
    }

    fn happen(&mut self, fault: Kind, said: &mut Said) {
        tracing::info!(machine_id = %self.id, ?fault, "the script makes something happen");
        let now = self.now;
        let until = |lasts: Duration| now + lasts;
        match fault {
            Kind::Silent { lasts } => self.hindered.silent = until(lasts),
            Kind::Refuse { lasts } => self.hindered.refusing = until(lasts),
            Kind::LoseReports { batches } => self.hindered.batches_to_lose += batches,
            Kind::Slow { lasts, delay } => (self.hindered.slow, self.hindered.delay) = (until(lasts), delay),
            Kind::Reboot { lasts } => {
                self.kernels.crash_back();
                self.go_down(lasts, said);
            }
            Kind::Boot { fault, boots } => self.kernels.expect(fault, boots),
            Kind::MayBoot { fault, chances } => self.kernels.may(fault, chances),
            Kind::Die { processes } => {
                for id in self.live().into_iter().take(processes) {
                    said.reports.push(self.end(id, dead("killed by signal 9", Some(KILLED))));
                }
            }
            Kind::Mia { processes, lasts } => {
                for id in self.running().take(processes).collect::<Vec<_>>() {
                    let process = self.processes.get_mut(&id).expect("it was just found");
                    process.miss_pings(now, until(lasts));
                    said.reports.push(process.report(id));
                }
            }
            Kind::Stall { processes, lasts } => {
                for id in self.running().take(processes).collect::<Vec<_>>() {
                    self.processes.get_mut(&id).expect("it was just found").stall(until(lasts));
                }
            }
            Kind::Corrupt { processes } => {
                for id in self.running().take(processes).collect::<Vec<_>>() {
                    self.processes.get_mut(&id).expect("it was just found").corrupt();
                    said.reports.push(corruption(id));
                }
            }
        }
    }

    /// Everything on it ends, and it is back in another boot after a while.
    fn go_down(&mut self, lasts: Duration, said: &mut Said) {
        self.boots += 1;
        self.hindered.silent = self.now.saturating_add(lasts);
        said.hello_again |= lasts.is_zero();
        for id in self.live() {
            said.reports.push(self.end(id, dead("its machine rebooted", None)));
        }
    }

    /// Something is done to it from outside. Returned is what is to be said, and how many processes that ended.
    pub(crate) fn touch(&mut self, touch: Touch) -> (Said, usize) {
        let (mut said, live) = (Said::default(), self.live().len());
        match touch {
            Touch::KillAgent => {
                self.hindered.silent = self.hindered.silent.max(self.now + AGENT_RESTARTS_WITHIN);
                return (said, 0);
            }
            Touch::Off => self.go_down(Duration::MAX, &mut said),
            Touch::Reset if self.is_off => {}
            Touch::On if !self.is_off => {}
            Touch::On | Touch::Reset | Touch::Cycle => {
                self.kernels.crash_back();
                self.go_down(BOOT_TIME, &mut said);
            }
        }
        self.is_off = touch == Touch::Off || (self.is_off && touch == Touch::Reset);
        (said, live - self.live().len())
    }

    /// A number that is another one at each boot, and the same in each run.
    fn luck(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.id.as_str(), self.boots).hash(&mut hasher);
        hasher.finish()
    }

    /// Takes an order to install a kernel.
    pub(crate) fn install(&mut self, order: &InstallKernel) -> AgentReply {
        self.kernels.install(order);
        AgentReply { boot: self.kernels.progress(), ..AgentReply::default() }
    }

    /// Takes an order to prepare a disk, of which the scheduler has stopped what runs there. What there is now is said before its end.
    pub(crate) fn prepare(&mut self, order: &PrepareResource) -> (Said, AgentReply) {
        let mut said = Said::default();
        if let Some(done) = self.disks.prepare(order) {
            let inventory = Some(self.inventory());
            said.reports.extend([report::Kind::Inventory(InventoryReport { inventory }), report::Kind::Storage(done)]);
        }
        (said, AgentReply { storage: self.disks.progress(), ..AgentReply::default() })
    }

    /// Takes an order to reboot.
    pub(crate) fn reboot(&mut self, order: &RebootMachine) -> (Said, AgentReply) {
        let mut said = Said::default();
        if let Some(reboot) = self.kernels.reboot(order, self.luck()) {
            self.go_down(reboot.silent, &mut said);
        }
        (said, AgentReply { boot: self.kernels.progress(), ..AgentReply::default() })
    }

    fn running(&self) -> impl Iterator<Item = ProcessId> {
        self.processes.iter().filter(|(_, process)| process.state == ProcessState::Running).map(|(id, _)| *id)
    }

    /// Nothing is said or heard.
    pub(crate) fn is_silent(&self) -> bool {
        self.now < self.hindered.silent
    }

    /// How late the next answer is.
    pub(crate) fn answers_after(&self) -> Duration {
        if self.now < self.hindered.slow { self.hindered.delay } else { Duration::ZERO }
    }

    /// The next batch of reports is lost on its way.
    pub(crate) fn loses_a_batch(&mut self) -> bool {
        let loses = self.hindered.batches_to_lose > 0;
        self.hindered.batches_to_lose -= usize::from(loses);
        loses
    }

    /// The newest pings of all live processes; none without any.
    pub(crate) fn pings(&self) -> Option<PingBatch> {
        let live = self.processes.iter().filter(|(_, process)| process.is_live());
        let results: Vec<_> = live.map(|(id, process)| process.ping(*id, self.now)).collect();
        (!results.is_empty()).then(|| PingBatch { machine: self.id.to_string(), results })
    }

    fn inventory(&self) -> Inventory {
        inventory(&self.id, self.boot_id(), &self.kernels.running, &self.disks)
    }

    /// What it says in a hello.
    pub(crate) fn hello(&self, pool_time_ns: i64, last_batch: u64) -> Hello {
        Hello {
            announced: None,
            machine: self.id.to_string(),
            agent_version: env!("CARGO_PKG_VERSION").into(),
            boot_id: self.boot_id(),
            fenced_epoch: self.fenced,
            last_incarnation: self.incarnation,
            inventory: Some(self.inventory()),
            command_line: self.kernels.running.command_line.clone(),
            processes: self.known(),
            last_batch,
            pool_time_ns,
        }
    }

    /// The next heartbeat.
    pub(crate) fn heartbeat(&mut self) -> Heartbeat {
        self.heartbeats += 1;
        let live = || self.processes.iter().filter(|(_, process)| process.is_live());
        Heartbeat {
            machine: self.id.to_string(),
            number: self.heartbeats,
            boot_id: self.boot_id(),
            machine_generation: Some(self.machine_generation.into()),
            job_generation: Some(self.job_generation.into()),
            processes_digest: live().fold(0, |digest, (id, _)| digest ^ process_digest(id)),
            processes_live: u32::try_from(live().count()).unwrap_or(u32::MAX),
            fenced_epoch: self.fenced,
            draining: self.draining,
            boot: self.kernels.progress(),
            storage: self.disks.progress(),
            ..Heartbeat::default()
        }
    }

    /// Everything that it knows of processes.
    pub(crate) fn known(&self) -> Vec<KnownProcess> {
        self.processes.iter().map(|(id, process)| process.known(*id)).collect()
    }

    /// None when the speaker has the authority; else the refusal.
    pub(crate) fn denied(&mut self, service: &'static str, envelope: &v1::Envelope) -> Option<AgentReply> {
        let term = self.terms.entry(service).or_default();
        let refusal = if envelope.term < *term {
            AgentRefusal::OldTerm
        } else if envelope.incarnation != self.incarnation {
            AgentRefusal::OldIncarnation
        } else if envelope.epoch < self.epoch {
            AgentRefusal::OldEpoch
        } else {
            *term = envelope.term;
            return None;
        };
        Some(AgentReply { refusal: refusal.into(), ..AgentReply::default() })
    }

    /// Takes machine-lifecycle's desired state: drains, fences, protects.
    pub(crate) fn take_machine(&mut self, desired: &MachineDesired) -> Said {
        let mut said = Said::default();
        let generation: Position = desired.generation.unwrap_or_default().into();
        if desired.incarnation > self.incarnation {
            self.incarnation = desired.incarnation;
        } else if generation < self.machine_generation {
            return said;
        }
        self.machine_generation = generation;
        self.draining = desired.draining;
        self.protected = desired.protected.iter().cloned().collect();
        self.epoch = self.epoch.max(desired.epoch);
        if self.fenced < self.epoch {
            let live: Vec<ProcessId> = self.live();
            for id in live {
                said.reports.push(self.end(id, dead("fenced", Some(KILLED))));
            }
            self.fenced = self.epoch;
            said.reports.push(report::Kind::Fence(FenceDone { epoch: self.fenced }));
        }
        said
    }

    /// Takes the scheduler's whole list.
    pub(crate) fn take_list(&mut self, desired: &JobDesired) -> Said {
        let (said, _) = self.take_orders(&desired.jobs, &desired.forget, Position::default());
        self.job_generation = desired.generation.unwrap_or_default().into();
        said
    }

    /// Takes a change of the scheduler's list.
    pub(crate) fn take_update(&mut self, update: &UpdateJobs) -> (Said, AgentReply) {
        let builds_on: Position = update.builds_on.unwrap_or_default().into();
        let generation: Position = update.generation.unwrap_or_default().into();
        if builds_on > self.job_generation {
            let reply = AgentReply { refusal: AgentRefusal::OtherGeneration.into(), ..AgentReply::default() };
            return (Said { hello_again: true, ..Said::default() }, reply);
        }
        let (said, refused) = self.take_orders(&update.jobs, &update.forget, self.machine_generation);
        self.job_generation = self.job_generation.max(generation);
        (said, AgentReply { refused, ..AgentReply::default() })
    }

    /// Generations, for replies: machine-lifecycle's, the scheduler's.
    pub(crate) fn generations(&self) -> (Position, Position) {
        (self.machine_generation, self.job_generation)
    }

    /// Starts what is new, stops what is to stop. A placement older than `newest` is refused as stale.
    fn take_orders(
        &mut self,
        jobs: &[JobOrders],
        forget: &[v1::ProcessId],
        newest: Position,
    ) -> (Said, Vec<RefusedProcess>) {
        let (mut said, mut refused) = (Said::default(), Vec::new());
        for job in jobs {
            let spec = job.spec.clone().unwrap_or_default();
            let placed_on: Position = job.machine_generation.unwrap_or_default().into();
            for order in &job.processes {
                let dpid = Dpid { job: JobNumber(spec.job), process: ProcessNumber(order.process) };
                let id = ProcessId { run: RunId(spec.run), dpid, attempt: Attempt(order.attempt) };
                let live = self.processes.get(&id).map(Process::is_live);
                match (live, order.stop) {
                    (Some(true), true) => said.reports.push(self.end(id, stopped())),
                    (Some(_), _) => {}
                    (None, true) => {}
                    (None, false) => match self.refusal(job.epoch, placed_on, newest, &order.resources) {
                        Some(refusal) => refused.push(RefusedProcess {
                            id: Some(id.into()),
                            refusal: refusal.into(),
                            detail: String::new(),
                        }),
                        None => said.reports.push(self.begin(id, spec.module.clone().unwrap_or_default().name)),
                    },
                }
            }
        }
        for id in forget {
            self.processes.remove(&ProcessId::from(*id));
        }
        (said, refused)
    }

    fn refusal(&self, epoch: u64, placed_on: Position, newest: Position, resources: &[String]) -> Option<AgentRefusal> {
        if epoch != self.epoch {
            Some(AgentRefusal::OldEpoch)
        } else if self.draining || self.now < self.hindered.refusing {
            Some(AgentRefusal::Draining)
        } else if placed_on < newest {
            Some(AgentRefusal::Stale)
        } else if resources.iter().any(|resource| self.protected.contains(resource)) {
            Some(AgentRefusal::Protected)
        } else {
            None
        }
    }

    fn begin(&mut self, id: ProcessId, module: String) -> report::Kind {
        self.pids += 1;
        if self.began.len() >= JOBS_KEPT && !self.began.contains_key(&id.dpid.job.0) {
            self.began.pop_first();
        }
        self.began.entry(id.dpid.job.0).or_insert(self.now);
        let process = Process::begin(module, self.epoch, self.pids, self.now);
        let report = process.report(id);
        self.processes.insert(id, process);
        report
    }

    fn end(&mut self, id: ProcessId, ending: Ending) -> report::Kind {
        let process = self.processes.get_mut(&id).expect("who lives is known");
        process.end(ending);
        process.report(id)
    }

    /// The final report of a process that a report says has finished.
    pub(crate) fn final_of(&self, kind: &report::Kind) -> Option<report::Kind> {
        let report::Kind::Process(ended) = kind else { return None };
        let id = ended.id.filter(|_| ended.state() == ProcessState::Finished).map(ProcessId::from)?;
        self.processes.get(&id)?.last_word(id)
    }

    fn live(&self) -> Vec<ProcessId> {
        self.processes.iter().filter(|(_, process)| process.is_live()).map(|(id, _)| *id).collect()
    }
}

fn dead(reason: &'static str, exit_status: Option<i32>) -> Ending {
    Ending { state: ProcessState::Dead, verdict: Verdict::Error, exit_status, reason }
}

fn stopped() -> Ending {
    Ending { state: ProcessState::Finished, verdict: Verdict::Pass, exit_status: Some(0), reason: "stopped" }
}

fn corruption(id: ProcessId) -> report::Kind {
    report::Kind::Corruption(CorruptionReport {
        id: Some(id.into()),
        target: "/dev/simulated".into(),
        class: "BITFLIP".into(),
        persistence: "STORED".into(),
        detail: "the script says so".into(),
        ..CorruptionReport::default()
    })
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
