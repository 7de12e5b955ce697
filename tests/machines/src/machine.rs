//! One simulated machine: what it knows, and what it does about what it is told. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::{Attempt, Dpid, JobNumber, MachineId, Position, ProcessId, ProcessNumber, RunId};
use muster_proto::process_digest;
use muster_proto::v1::{
    self, AgentRefusal, AgentReply, FenceDone, FinalReport, Heartbeat, Hello, Inventory, JobDesired, JobOrders,
    KnownProcess, MachineDesired, ProcessReport, ProcessState, RefusedProcess, Resource, ResourceKind, UpdateJobs,
    Verdict, report,
};

/// CPUs of a simulated machine.
const CPUS: u32 = 8;
/// Disks of a simulated machine.
const DISKS: u32 = 2;
const GIB: u64 = 1 << 30;

/// What is to be said after something was taken.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Reports, in order.
    pub(crate) reports: Vec<report::Kind>,
    /// Something was missed: hello is to be said again.
    pub(crate) hello_again: bool,
}

/// A simulated process.
#[derive(Debug)]
struct Process {
    module: String,
    state: ProcessState,
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
}

impl Machine {
    /// A machine that nobody knows yet.
    pub(crate) fn new(id: MachineId) -> Self {
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
        }
    }

    /// What it says in a hello.
    pub(crate) fn hello(&self) -> Hello {
        Hello {
            machine: self.id.to_string(),
            agent_version: env!("CARGO_PKG_VERSION").into(),
            boot_id: format!("simulated-{}", self.id),
            fenced_epoch: self.fenced,
            last_incarnation: self.incarnation,
            inventory: Some(inventory(&self.id)),
            processes: self.known(),
            last_batch: 0,
            pool_time_ns: 0,
        }
    }

    /// The next heartbeat.
    pub(crate) fn heartbeat(&mut self) -> Heartbeat {
        self.heartbeats += 1;
        let live = || self.processes.iter().filter(|(_, process)| !is_final(process.state));
        Heartbeat {
            machine: self.id.to_string(),
            number: self.heartbeats,
            boot_id: format!("simulated-{}", self.id),
            machine_generation: Some(self.machine_generation.into()),
            job_generation: Some(self.job_generation.into()),
            processes_digest: live().fold(0, |digest, (id, _)| digest ^ process_digest(id)),
            processes_live: u32::try_from(live().count()).unwrap_or(u32::MAX),
            fenced_epoch: self.fenced,
            draining: self.draining,
            ..Heartbeat::default()
        }
    }

    /// Everything that it knows of processes.
    pub(crate) fn known(&self) -> Vec<KnownProcess> {
        let known = |(id, process): (&ProcessId, &Process)| KnownProcess {
            id: Some((*id).into()),
            state: process.state.into(),
            ..KnownProcess::default()
        };
        self.processes.iter().map(known).collect()
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
                said.reports.push(self.end(id, ProcessState::Dead, Verdict::Error, "fenced"));
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
                let live = self.processes.get(&id).map(|process| !is_final(process.state));
                match (live, order.stop) {
                    (Some(true), true) => {
                        said.reports.push(self.end(id, ProcessState::Finished, Verdict::Pass, "stopped"))
                    }
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
        } else if self.draining {
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
        self.processes.insert(id, Process { module, state: ProcessState::Running });
        report::Kind::Process(ProcessReport {
            id: Some(id.into()),
            epoch: self.epoch,
            state: ProcessState::Running.into(),
            pid: 1,
            ..ProcessReport::default()
        })
    }

    fn end(&mut self, id: ProcessId, state: ProcessState, verdict: Verdict, reason: &str) -> report::Kind {
        if let Some(process) = self.processes.get_mut(&id) {
            process.state = state;
        }
        report::Kind::Process(ProcessReport {
            id: Some(id.into()),
            epoch: self.epoch,
            state: state.into(),
            verdict: verdict.into(),
            reason: reason.into(),
            ..ProcessReport::default()
        })
    }

    /// The final report of a process that a report says has finished.
    pub(crate) fn final_of(&self, kind: &report::Kind) -> Option<report::Kind> {
        let report::Kind::Process(ended) = kind else { return None };
        let id = ended.id.filter(|_| ended.state() == ProcessState::Finished)?;
        let module = self.processes.get(&ProcessId::from(id))?.module.clone();
        Some(report::Kind::Final(FinalReport { id: Some(id), module, ..FinalReport::default() }))
    }

    fn live(&self) -> Vec<ProcessId> {
        self.processes.iter().filter(|(_, process)| !is_final(process.state)).map(|(id, _)| *id).collect()
    }
}

fn is_final(state: ProcessState) -> bool {
    matches!(state, ProcessState::Finished | ProcessState::Dead | ProcessState::Lost)
}

fn inventory(id: &MachineId) -> Inventory {
    let resource = |id: String, kind: ResourceKind, device_type: &str, size: u64| Resource {
        id,
        kind: kind.into(),
        device_type: device_type.into(),
        size,
        ..Resource::default()
    };
    let mut resources: Vec<Resource> =
        (0..CPUS).map(|n| resource(format!("cpu{n}"), ResourceKind::Cpu, "simulated CPU", 0)).collect();
    resources
        .extend((1..=DISKS).map(|n| resource(format!("disk-{n}"), ResourceKind::Disk, "simulated disk", 100 * GIB)));
    resources.push(resource("memory".into(), ResourceKind::Memory, "", 16 * GIB));
    resources.push(resource("nic-eth0".into(), ResourceKind::Nic, "simulated NIC", 10_000_000_000));
    Inventory {
        architecture: "x86_64".into(),
        kernel_release: "6.1.0-simulated".into(),
        boot_id: format!("simulated-{id}"),
        memory_bytes: 16 * GIB,
        machine_type: "simulated".into(),
        resources,
        host_name: id.to_string(),
        ..Inventory::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        let mut machine = Machine::new(MachineId::new("sim-1").expect("valid"));
        let desired = MachineDesired { incarnation: 1, epoch: 1, ..MachineDesired::default() };
        let said = machine.take_machine(&desired);
        assert_eq!(said.reports, [report::Kind::Fence(FenceDone { epoch: 1 })]);
        machine
    }

    fn orders(epoch: u64, stop: bool) -> UpdateJobs {
        let spec = v1::StartSpec { run: 1, job: 1, ..v1::StartSpec::default() };
        let processes = vec![v1::ProcessOrder { process: 1, attempt: 1, stop, ..v1::ProcessOrder::default() }];
        UpdateJobs {
            jobs: vec![JobOrders { spec: Some(spec), epoch, processes, ..JobOrders::default() }],
            ..UpdateJobs::default()
        }
    }

    #[test]
    fn an_order_is_started_once_and_stopped_once() {
        let mut machine = machine();
        for expected in [1, 0] {
            assert_eq!(machine.take_update(&orders(1, false)).0.reports.len(), expected);
        }
        assert_eq!(machine.heartbeat().processes_live, 1);
        for expected in [1, 0] {
            assert_eq!(machine.take_update(&orders(1, true)).0.reports.len(), expected);
        }
        assert_eq!((machine.heartbeat().processes_live, machine.heartbeat().processes_digest), (0, 0));
    }

    #[test]
    fn a_new_epoch_ends_what_ran_and_refuses_older_orders() {
        let mut machine = machine();
        machine.take_update(&orders(1, false));
        let said = machine.take_machine(&MachineDesired { epoch: 2, ..MachineDesired::default() });
        assert_eq!(said.reports.len(), 2, "a death, and the fence");
        machine.processes.clear();
        let (_, reply) = machine.take_update(&orders(1, false));
        assert_eq!(reply.refused[0].refusal(), AgentRefusal::OldEpoch);
    }
}
