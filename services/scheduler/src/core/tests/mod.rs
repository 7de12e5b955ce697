//! Tests of the core, through one helper that checks what must hold after every input.

mod again;
mod attached;
mod away;
mod boots;
mod catch_up;
mod counts;
mod errands;
mod findings;
mod gangs;
mod groups;
mod index;
mod machines;
mod master;
mod on_error;
mod placement;
mod plans;
mod properties;
mod pulses;
mod repair;
mod set;
mod stall;
mod start;
mod stop;
mod syncs;
mod test_events;
mod transitions;
mod triggers;
mod why;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_ledger::{At, Core, Now};
use muster_model::{
    Attempt, CommandId, Dpid, Epoch, Flag, Incarnation, JobNumber, MachineId, ModuleName, Phase, PoolTime, Position,
    ProcessId, ProcessNumber, ProcessState, Refusal, RefusalCode, ReservationId, ResourceId, ResourceKind, Term,
    TriggerPolicy, Verdict,
};

use super::facts::{Fact, MachineFact};
use super::input::{
    Count, CountBy, Heartbeat, Hello, KnownProcess, ProcessReport, Report, Reports, Start, Started, Stop,
};
use super::job::Process;
use super::machine::Resource;
use super::module::{Artifact, Module, Parameter, ParameterType, Requirement};
use super::{Event, Input, JobCore, Observation, Observed, Reply, State, check};

/// A core with its log: every input is checked, folded from decoded events, and the state taken through a snapshot.
pub(super) struct Lab {
    pub(super) state: State,
    pub(super) observed: Observed,
    pub(super) time: PoolTime,
    sequence: u64,
    machines_sequence: u64,
    batches: BTreeMap<MachineId, u64>,
    log: Vec<(u64, PoolTime, Event)>,
    /// What readers see, kept by the keys that events touch.
    projected: BTreeMap<String, bytes::Bytes>,
    pub(super) last: Vec<Event>,
    /// What the policy files of all machines permit.
    pub(super) policy: TriggerPolicy,
}

impl Lab {
    pub(super) fn new() -> Self {
        Self {
            state: State::default(),
            observed: Observed::default(),
            time: PoolTime(1_000_000_000),
            sequence: 0,
            machines_sequence: 0,
            batches: BTreeMap::new(),
            log: Vec::new(),
            projected: BTreeMap::new(),
            last: Vec::new(),
            policy: TriggerPolicy::default(),
        }
    }

    /// A lab with `machines` usable machines of four CPUs and two disks, and the module `high-io`.
    pub(super) fn with(machines: usize) -> Self {
        let mut lab = Self::new();
        lab.give(Input::AddModule(Box::new(high_io()))).expect("it is a good module");
        for number in 1..=machines {
            lab.add_machine(&format!("node-{number}"), 4, 2);
        }
        lab
    }

    pub(super) fn now(&self) -> Now {
        Now { time: self.time, position: Position::new(1, self.sequence + 1), term: Term(1) }
    }

    /// Gives an input: decides, folds, checks.
    pub(super) fn give(&mut self, input: Input) -> Result<Option<Reply>, Refusal> {
        let decision = JobCore::decide(&self.state, &self.observed, &input, self.now())?;
        self.last = decision.events.clone();
        if !decision.events.is_empty() {
            self.sequence += 1;
        }
        for event in decision.events {
            let encoded = JobCore::encode_event(&event);
            assert_eq!(JobCore::decode_event(&encoded), Ok(event.clone()), "an event reads back as it was written");
            self.fold(&event);
            self.log.push((self.sequence, self.time, event));
        }
        self.check();
        Ok(decision.reply)
    }

    fn fold(&mut self, event: &Event) {
        let at = At { position: Position::new(1, self.sequence), time: self.time, actor: "" };
        let mut keys = JobCore::touched(&self.state, event);
        JobCore::apply(&mut self.state, event, &at);
        keys.extend(JobCore::forgotten(&self.state));
        for (key, value) in keys.iter().flat_map(|key| JobCore::project(&self.state, key)) {
            match value {
                Some(value) => drop(self.projected.insert(key, value)),
                None => drop(self.projected.remove(&key)),
            }
        }
    }

    /// Gives an input whose steps are too many to check each.
    pub(super) fn state_only(&mut self, input: Input) {
        let decision = JobCore::decide(&self.state, &self.observed, &input, self.now()).expect("it is not refused");
        self.sequence += 1;
        decision.events.iter().for_each(|event| self.fold(event));
    }

    /// What must hold after every input.
    fn check(&self) {
        assert_eq!(check(&self.state), Ok(()));
        let keys = JobCore::keys(&self.state);
        let all = keys.iter().flat_map(|key| JobCore::project(&self.state, key));
        let all: BTreeMap<_, _> = all.filter_map(|(key, value)| Some((key, value?))).collect();
        assert_eq!(self.projected, all, "what events touch is all that readers must be told");
        let encoded = JobCore::encode_state(&self.state);
        let decoded = JobCore::decode_state(&encoded).expect("a snapshot reads back");
        assert_eq!(decoded, self.state, "a snapshot is the state");
        assert_eq!(JobCore::encode_state(&decoded), encoded, "a snapshot is deterministic");
    }

    /// The fold of the whole log, from nothing.
    pub(super) fn replayed(&self) -> State {
        let mut state = State::default();
        for (sequence, time, event) in &self.log {
            let at = At { position: Position::new(1, *sequence), time: *time, actor: "" };
            JobCore::apply(&mut state, event, &at);
        }
        state
    }

    pub(super) fn wait(&mut self, duration: Duration) {
        self.time = self.time + duration;
    }

    /// Facts of one message of MACHINES.
    pub(super) fn machines(&mut self, facts: Vec<(&str, Fact)>) {
        self.machines_sequence += 1;
        let facts = facts.into_iter().map(|(id, fact)| MachineFact::Of(machine(id), fact)).collect();
        let input = Input::Machines { position: Position::new(1, self.machines_sequence), facts };
        self.give(input).expect("facts are not refused");
    }

    /// A machine that is usable at once.
    pub(super) fn add_machine(&mut self, id: &str, cpus: usize, disks: usize) {
        self.machines(vec![
            (id, Fact::Added { protect: BTreeSet::new(), tags: BTreeSet::new() }),
            (id, Fact::IncarnationGranted { incarnation: Incarnation(1), boot_id: format!("boot-of-{id}") }),
            (id, inventory(cpus, disks)),
            (id, Fact::PhaseChanged(Some(Phase::Ready))),
            (id, Fact::FlagChanged { flag: Flag::Active, value: true }),
        ]);
    }

    pub(super) fn start(&mut self, processes: u32) -> Started {
        self.start_as(&start(processes)).expect("it starts")
    }

    pub(super) fn start_as(&mut self, start: &Start) -> Result<Started, Refusal> {
        match self.give(Input::Start(start.clone()))? {
            Some(Reply::Started(started)) => Ok(started),
            other => panic!("a start answers {other:?}"),
        }
    }

    pub(super) fn stop(&mut self, stop: Stop) -> Result<(u32, Vec<JobNumber>), Refusal> {
        match self.give(Input::Stop(stop))? {
            Some(Reply::Stopped { processes, jobs }) => Ok((processes, jobs)),
            other => panic!("a stop answers {other:?}"),
        }
    }

    pub(super) fn process(&self, job: u32, process: u32) -> &Process {
        &self.state.processes[&dpid(job, process)]
    }

    pub(super) fn id(&self, job: u32, process: u32) -> ProcessId {
        self.state.identity(dpid(job, process), self.process(job, process))
    }

    /// The agent of a process reports it in a state.
    pub(super) fn report(&mut self, job: u32, process: u32, state: ProcessState) {
        let report = self.report_of(job, process, state);
        let machine = self.process(job, process).machine.clone();
        self.report_batch(&machine, vec![Report::Process(report)]);
    }

    pub(super) fn report_of(&self, job: u32, process: u32, state: ProcessState) -> ProcessReport {
        let verdict = if state == ProcessState::Finished { Verdict::Pass } else { Verdict::None };
        let exit_status = state.is_final().then_some(0);
        let epoch = self.process(job, process).epoch;
        ProcessReport {
            id: self.id(job, process),
            epoch,
            state,
            verdict,
            exit_status,
            reason: String::new(),
            pid: 100 + process,
        }
    }

    pub(super) fn report_batch(&mut self, machine: &MachineId, reports: Vec<Report>) {
        let batch = self.batches.entry(machine.clone()).or_default();
        *batch += 1;
        let batch = *batch;
        self.take_batch(machine, batch, reports);
    }

    pub(super) fn take_batch(&mut self, machine: &MachineId, batch: u64, reports: Vec<Report>) {
        let incarnation = self.state.machines.get(machine).map_or(Incarnation(1), |machine| machine.seen.incarnation);
        let reports = Reports { machine: machine.clone(), incarnation, batch, reports };
        self.give(Input::Reports(reports)).expect("reports are not refused");
    }

    /// A heartbeat of an agent that has this generation and runs what the log says.
    pub(super) fn heartbeat(&mut self, id: &str, generation: Position) {
        let machine = &self.state.machines[id];
        let (digest, live) = (machine.digest, machine.live.len() as u32);
        self.heartbeat_with(id, generation, digest, live);
    }

    pub(super) fn heartbeat_with(&mut self, id: &str, generation: Position, digest: u64, live: u32) {
        let incarnation = self.state.machines[id].seen.incarnation;
        let stored = self.last_batch(id);
        let policy = self.policy.clone();
        let heartbeat = Heartbeat { machine: machine(id), incarnation, generation, digest, live, stored, policy };
        JobCore::observe(&mut self.observed, &self.state, Observation::Heartbeat(heartbeat), self.time);
    }

    /// A hello of a machine's newest incarnation.
    pub(super) fn hello(&mut self, id: &str, known: Vec<KnownProcess>) {
        let incarnation = self.state.machines[id].seen.incarnation;
        let hello = Hello { machine: machine(id), incarnation, known, last_batch: self.last_batch(id) };
        self.give(Input::Hello(hello)).expect("a hello is not refused");
    }

    /// Number of the newest batch that was said of a machine, taken or not.
    pub(super) fn last_batch(&self, id: &str) -> u64 {
        self.batches.get(id).copied().unwrap_or(0)
    }

    /// A batch was written, and got lost.
    pub(super) fn lose_batch(&mut self, id: &str) {
        *self.batches.entry(machine(id)).or_default() += 1;
    }

    /// An agent of the newest incarnation and generation says all it knows.
    pub(super) fn inventory(&mut self, id: &str, known: Vec<KnownProcess>) {
        let of = &self.state.machines[id];
        let (incarnation, generation) = (of.seen.incarnation, of.generation);
        let observation = Observation::Inventory { machine: machine(id), known: known.clone() };
        JobCore::observe(&mut self.observed, &self.state, observation, self.time);
        let last_batch = self.last_batch(id);
        let input = Input::Inventory { machine: machine(id), incarnation, generation, known, last_batch };
        self.give(input).expect("an inventory is not refused");
    }

    pub(super) fn known(&self, job: u32, process: u32, state: ProcessState) -> KnownProcess {
        self.report_of(job, process, state)
    }
}

pub(super) fn machine(id: &str) -> MachineId {
    MachineId::new(id).expect("a good machine id")
}

pub(super) fn resource(id: &str) -> ResourceId {
    ResourceId::new(id).expect("a good resource id")
}

pub(super) fn dpid(job: u32, process: u32) -> Dpid {
    Dpid { job: JobNumber(job), process: ProcessNumber(process) }
}

pub(super) fn inventory(cpus: usize, disks: usize) -> Fact {
    let cpu = (0..cpus).map(|n| (format!("cpu{n}"), ResourceKind::Cpu));
    let disk = (0..disks).map(|n| (format!("disk-{n}"), ResourceKind::Disk));
    found(cpu.chain(disk).map(|(id, kind)| found_resource(&id, kind)).collect())
}

/// A resource without anything special.
pub(super) fn found_resource(id: &str, kind: ResourceKind) -> Resource {
    Resource { id: resource(id), kind, device_type: String::new(), shared_name: String::new(), size: 0 }
}

/// What probing finds.
pub(super) fn found(mut resources: Vec<Resource>) -> Fact {
    resources.sort_by(|a, b| a.id.cmp(&b.id));
    let count = |kind| resources.iter().filter(|resource| resource.kind == kind).count().to_string();
    let (cpus, disks) = (count(ResourceKind::Cpu), count(ResourceKind::Disk));
    let attributes = [("arch", "x86_64".to_owned()), ("cpus", cpus), ("disks", disks)];
    let attributes = attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Fact::InventoryChanged { resources, signed: BTreeSet::new(), attributes }
}

/// A module of one disk, with parameters of several forms.
pub(super) fn high_io() -> Module {
    let parameter = |name: &str, form, default: &str| Parameter {
        name: name.into(),
        form,
        default: default.into(),
        minimum: String::new(),
        maximum: String::new(),
        values: Vec::new(),
        required: false,
        help: String::new(),
        live: false,
    };
    let mut block = parameter("block", ParameterType::Size, "4KiB");
    (block.minimum, block.maximum) = ("512".into(), "1MiB".into());
    block.help = "size of a transfer".into();
    let mut live = parameter("iops_max", ParameterType::Integer, "0");
    (live.minimum, live.live) = ("0".into(), true);
    let mut mode = parameter("mode", ParameterType::Choice, "mixed");
    mode.values = vec!["mixed".into(), "read".into()];
    Module {
        name: ModuleName::new("high-io").expect("a good name"),
        version: "1.0".into(),
        description: "writes and verifies".into(),
        artifacts: vec![Artifact { architecture: "x86_64".into(), sha256: "a".repeat(64), size_bytes: 1 }],
        requirements: vec![Requirement { kind: ResourceKind::Disk, count: 1, weight_milli: 1000 }],
        parameters: vec![block, live, mode, parameter("sync", ParameterType::Boolean, "false")],
        stop_grace: Duration::from_secs(10),
        ends_by_itself: false,
        stall: Duration::from_secs(30),
        roles: Vec::new(),
        reboots: false,
        root: false,
        clients: String::new(),
        client_selector: String::new(),
    }
}

pub(super) fn start(processes: u32) -> Start {
    Start {
        command: CommandId([7; 16]),
        actor: "user:anna".into(),
        module: "high-io".into(),
        count: Count { number: processes, by: CountBy::Job },
        selector: String::new(),
        resource_selector: String::new(),
        parameters: Vec::new(),
        dry_run: false,
        reservation: ReservationId(0),
        seed: 0,
        pulses: Vec::new(),
        on_error: String::new(),
        again: None,
        check_out: false,
    }
}

pub(super) fn stop_job(job: u32, grace: Duration) -> Stop {
    Stop { jobs: vec![JobNumber(job)], grace, ..Stop::default() }
}

pub(super) const NO_GRACE: Duration = Duration::ZERO;

pub(super) fn epoch(number: u64) -> Epoch {
    Epoch(number)
}

pub(super) fn attempt(number: u32) -> Attempt {
    Attempt(number)
}
