//! What the agent's tests share: a bus with a scripted machine-lifecycle and scheduler on it, and an agent process.

#![allow(dead_code, reason = "each test binary uses its own part")]

mod signing;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::StreamExt;
use muster_bus::{Authority, Bucket, Bus, BusOptions, question, streams, subjects};
use muster_model::{Attempt, Dpid, Epoch, Incarnation, JobNumber, MachineId, ProcessId, ProcessNumber, RunId, Term};
use muster_proto::v1::{self, Envelope, envelope::Body};
use muster_testkit::{NatsServer, Process, Spawn, until};
use prost::Message;
use sha2::{Digest, Sha256};

pub(crate) use signing::Keys;
use signing::said;

/// How long anything is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);
/// The machine of the tests.
pub(crate) const MACHINE: &str = "node-1";

/// What the scripted services know and say.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) machine: v1::MachineDesired,
    pub(crate) jobs: v1::JobDesired,
    /// What other machines than [`MACHINE`] are to run.
    pub(crate) jobs_of: BTreeMap<String, v1::JobDesired>,
    pub(crate) terms: (u64, u64),
    pub(crate) incarnation: u64,
    /// The newest of each machine.
    pub(crate) incarnations: BTreeMap<String, u64>,
    /// Hellos of older connections that are still to arrive, each behind one that was answered.
    pub(crate) late_hellos: u64,
    pub(crate) hellos: Vec<(String, v1::Hello)>,
    pub(crate) heartbeats: Vec<(u64, v1::Heartbeat)>,
    pub(crate) reports: Vec<v1::Report>,
    pub(crate) batches: Vec<(u64, u64)>,
    pub(crate) samples: Vec<v1::SampleBatch>,
    pub(crate) answering: bool,
}

/// A world around one agent.
pub(crate) struct World {
    pub(crate) nats: NatsServer,
    pub(crate) bus: Bus,
    pub(crate) script: Arc<Mutex<Script>>,
    pub(crate) home: tempfile::TempDir,
    pub(crate) agent: Option<Process>,
    /// Agents of other machines.
    pub(crate) others: Vec<Process>,
    /// By what the services sign, and agents know them; none where everybody is believed.
    pub(crate) keys: Option<Arc<Keys>>,
}

pub(crate) fn machine() -> MachineId {
    MachineId::new(MACHINE).unwrap()
}

pub(crate) fn id(job: u32, process: u32) -> ProcessId {
    let dpid = Dpid { job: JobNumber(job), process: ProcessNumber(process) };
    ProcessId { run: RunId(1), dpid, attempt: Attempt(1) }
}

/// Path of the example that speaks the protocol, beside this test's own program.
pub(crate) fn ping_module() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().parent().unwrap().join("examples/ping_module")
}

pub(crate) fn processes_of(script: &Script, state: v1::ProcessState) -> usize {
    let is = |report: &&v1::Report| matches!(&report.kind, Some(v1::report::Kind::Process(p)) if p.state() == state);
    script.reports.iter().filter(is).count()
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(None).await
    }

    /// A world whose services sign what they say, and whose agents believe nothing else.
    pub(crate) async fn signed() -> Self {
        Self::with(Some(Arc::new(Keys::make()))).await
    }

    async fn with(keys: Option<Arc<Keys>>) -> Self {
        let nats = NatsServer::start().unwrap();
        let bus = Bus::connect(&BusOptions::insecure_local(&nats.url(), "test/a")).await.unwrap();
        bus.init_streams(streams::InitOptions { replicas: 1, size_divisor: 16 }).await.unwrap();
        let mut script = Script { terms: (1, 1), answering: true, ..Script::default() };
        script.machine = v1::MachineDesired { epoch: 1, generation: Some(at(5)), ..Default::default() };
        script.jobs = v1::JobDesired { generation: Some(at(5)), ..Default::default() };
        let script = Arc::new(Mutex::new(script));
        let home = tempfile::tempdir().unwrap();
        let world = Self { nats, bus, script, home, agent: None, others: Vec::new(), keys };
        world.play().await;
        world
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.home.path().join("s")
    }

    pub(crate) fn work(&self, id: ProcessId) -> PathBuf {
        self.state().join("work").join(format!("{}-{}-{}", id.run, id.dpid, id.attempt))
    }

    /// Plays both services, and listens to what is said.
    async fn play(&self) {
        for service in [subjects::Service::MachineLifecycle, subjects::Service::Scheduler] {
            self.play_hello(service).await;
        }
        let mut heartbeats = self.bus.subscribe(subjects::EVERY_HEARTBEAT, None).await.unwrap();
        let (script, bus, keys) = (self.script.clone(), self.bus.clone(), self.keys.clone());
        tokio::spawn(async move {
            while let Some(inbound) = heartbeats.next().await {
                let envelope = inbound.envelope.unwrap();
                let answered = question(&envelope);
                let Some(Body::Heartbeat(heartbeat)) = envelope.body else { continue };
                if let Some(reply) = inbound.reply {
                    for answer in heartbeat_answers(&bus, &script, heartbeat.number) {
                        let answer = Envelope { cmd_id: answered.unwrap().0.to_vec().into(), ..answer };
                        let payload = said(keys.as_deref(), &heartbeat.machine, &answer);
                        bus.client().publish(reply.clone(), payload).await.unwrap();
                    }
                }
                script.lock().unwrap().heartbeats.push((envelope.incarnation, heartbeat));
            }
        });
        let mut reports = self.bus.read(streams::REPORTS, "", 1);
        let script = self.script.clone();
        tokio::spawn(async move {
            loop {
                let envelope = Envelope::decode(reports.next().await.payload).unwrap();
                let Some(Body::ReportBatch(batch)) = envelope.body else { continue };
                let mut script = script.lock().unwrap();
                script.batches.push((envelope.incarnation, batch.batch));
                script.reports.extend(batch.reports);
            }
        });
        let mut samples = self.bus.read(streams::TEL, "", 1);
        let script = self.script.clone();
        tokio::spawn(async move {
            loop {
                let envelope = Envelope::decode(samples.next().await.payload).unwrap();
                let Some(Body::SampleBatch(batch)) = envelope.body else { continue };
                script.lock().unwrap().samples.push(batch);
            }
        });
    }

    async fn play_hello(&self, service: subjects::Service) {
        let mut hellos = self.bus.subscribe(&subjects::every_hello(service), None).await.unwrap();
        let (script, bus, keys) = (self.script.clone(), self.bus.clone(), self.keys.clone());
        tokio::spawn(async move {
            while let Some(inbound) = hellos.next().await {
                let envelope = inbound.envelope.unwrap();
                let id = envelope.id.clone();
                let incarnation = envelope.incarnation;
                let Some(Body::Hello(hello)) = envelope.body else { continue };
                let answer = {
                    let mut script = script.lock().unwrap();
                    if !script.answering {
                        continue;
                    }
                    script.hellos.push((service.as_str().into(), hello.clone()));
                    hello_answer(&bus, &mut script, service, (&hello, incarnation))
                };
                let answer = Envelope { cmd_id: id, ..answer };
                let payload = said(keys.as_deref(), &hello.machine, &answer);
                bus.client().publish(inbound.reply.unwrap(), payload).await.unwrap();
            }
        });
    }

    /// Starts the agent; its log goes to stderr of the test when it fails.
    pub(crate) fn start_agent(&mut self) {
        self.start_agent_on("disk1");
    }

    /// Starts the agent with another directory as its disk.
    pub(crate) fn start_agent_on(&mut self, disk: &str) {
        self.agent = Some(self.spawn_agent(MACHINE, self.home.path(), disk, &[]));
    }

    /// Starts the agent with more arguments.
    pub(crate) fn start_agent_with(&mut self, more: &[String]) {
        self.agent = Some(self.spawn_agent(MACHINE, self.home.path(), "disk1", more));
    }

    /// Starts the agent of another machine.
    pub(crate) fn start_other(&mut self, machine: &str) {
        let agent = self.spawn_agent(machine, &self.home.path().join(machine), "disk1", &[]);
        self.others.push(agent);
    }

    fn spawn_agent(&self, machine: &str, home: &Path, disk: &str, more: &[String]) -> Process {
        let (disk, state) = (home.join(disk), home.join("s"));
        std::fs::create_dir_all(&disk).unwrap();
        std::fs::create_dir_all(&state).unwrap();
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let log = home.join("agent.log");
        let arguments = ["--machine", machine, "--state"].map(str::to_owned).into_iter().chain([
            text(&state),
            "--disk".into(),
            text(&disk),
            "--log-file".into(),
            text(&log),
            "--log-bytes-max".into(),
            "100000".into(),
            "--trigger-policy".into(),
            text(&home.join("triggers.toml")),
            "--policy".into(),
            text(&policy(home)),
            "--crash-files".into(),
            text(&home.join("crash")),
            "--crash-file-bytes-max".into(),
            "1000".into(),
        ]);
        let mut environment = vec![
            ("MUSTER_NATS", self.nats.url()),
            ("MUSTER_INSECURE_LOCAL", "true".into()),
            ("RUST_LOG", "muster_node_agent=debug".into()),
        ];
        if let Some(keys) = &self.keys {
            let signers = home.join("signers");
            std::fs::write(&signers, keys.pins().print()).unwrap();
            environment.push(("MUSTER_SIGNERS", text(&signers)));
        }
        let spawn = Spawn {
            name: "agent".into(),
            program: env!("CARGO_BIN_EXE_muster-agent").into(),
            arguments: arguments.chain(more.iter().cloned()).collect(),
            environment: environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            log,
            user: None,
        };
        Process::start(spawn).unwrap()
    }

    pub(crate) fn kill_agent(&mut self) {
        self.agent.as_mut().unwrap().kill9();
    }

    /// Waits until something holds of what was heard.
    pub(crate) async fn wait(&self, what: &str, condition: impl Fn(&Script) -> bool) {
        if let Err(error) = until(what, LIMIT, async || Ok(condition(&self.script())), |holds| *holds).await {
            let log = std::fs::read_to_string(self.home.path().join("agent.log")).unwrap_or_default();
            let script = self.script();
            panic!("{error}\n{log}\nheard: {:#?}\n{:?}", script.reports, script.heartbeats.last());
        }
    }

    /// Waits until the agent's heartbeats say that hello is done.
    pub(crate) async fn wait_up(&self) {
        let incarnation = self.script().incarnation;
        self.wait("a heartbeat after hello", |script| {
            script.incarnation >= incarnation
                && script.heartbeats.last().is_some_and(|last| last.0 == script.incarnation)
        })
        .await;
    }

    /// Puts a module into the object store; gives it as the catalogue would.
    pub(crate) async fn module(&self, file: &[u8]) -> v1::Module {
        let sha256 = muster_model::text::hex(&Sha256::digest(file));
        self.bus.put_object(Bucket::Modules, &sha256, &mut &file[..]).await.unwrap();
        let artifact = v1::Artifact { architecture: "any".into(), sha256, size_bytes: file.len() as u64 };
        v1::Module {
            name: "ping".into(),
            version: "1".into(),
            artifacts: vec![artifact],
            stop_grace_ms: 5_000,
            ..Default::default()
        }
    }

    /// The module that speaks the protocol.
    pub(crate) async fn ping_module(&self) -> v1::Module {
        self.module(&std::fs::read(ping_module()).unwrap()).await
    }

    /// Sends a command with an authority; gives the agent's reply.
    pub(crate) async fn command(
        &self,
        source: &str,
        verb: &str,
        kind: v1::agent_command::Kind,
        authority: Authority,
    ) -> v1::AgentReply {
        self.command_to(&machine(), source, verb, kind, authority).await
    }

    /// As [`World::command`], to any machine.
    pub(crate) async fn command_to(
        &self,
        machine: &MachineId,
        source: &str,
        verb: &str,
        kind: v1::agent_command::Kind,
        authority: Authority,
    ) -> v1::AgentReply {
        let body = Body::AgentCommand(v1::AgentCommand { kind: Some(kind) });
        let envelope = Envelope { source: source.into(), ..self.bus.envelope(body, authority) };
        let (subject, payload) =
            (subjects::command(machine, verb), said(self.keys.as_deref(), machine.as_str(), &envelope));
        if let Some(keys) = &self.keys {
            keys.sent.lock().unwrap().push((subject.clone(), payload.clone()));
        }
        self.ask(subject, payload).await
    }

    /// Puts bytes to an agent as a command; gives its reply.
    pub(crate) async fn ask(&self, subject: String, payload: bytes::Bytes) -> v1::AgentReply {
        let answer = self.bus.client().request(subject, payload).await.unwrap();
        match Envelope::decode(answer.payload).unwrap().body {
            Some(Body::AgentReply(reply)) => reply,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn authority(&self, term: u64) -> Authority {
        let script = self.script();
        Authority {
            term: Term(term),
            epoch: Epoch(script.machine.epoch),
            incarnation: Incarnation(script.incarnation),
            ..Authority::default()
        }
    }

    /// Sends an update from the scheduler that follows the last one.
    pub(crate) async fn update(&self, jobs: Vec<v1::JobOrders>, forget: Vec<ProcessId>) -> v1::AgentReply {
        let forget = forget.into_iter().map(Into::into).collect();
        self.update_all(v1::UpdateJobs { jobs, forget, ..Default::default() }).await
    }

    /// Sends any update from the scheduler, made to follow the last one.
    pub(crate) async fn update_all(&self, update: v1::UpdateJobs) -> v1::AgentReply {
        self.update_in(1, update).await
    }

    /// The same from the leader of any term.
    pub(crate) async fn update_in(&self, term: u64, update: v1::UpdateJobs) -> v1::AgentReply {
        let (builds_on, generation) = {
            let mut script = self.script();
            let before = script.jobs.generation.unwrap();
            let after = at(before.sequence + 1);
            script.jobs.generation = Some(after);
            (before, after)
        };
        let update = v1::UpdateJobs { builds_on: Some(builds_on), generation: Some(generation), ..update };
        self.command("scheduler/a", "jobs", v1::agent_command::Kind::UpdateJobs(update), self.authority(term)).await
    }

    /// The newest state that was reported of each process.
    pub(crate) fn states(&self) -> BTreeMap<ProcessId, v1::ProcessReport> {
        let script = self.script();
        let reports = script.reports.iter().filter_map(|report| match &report.kind {
            Some(v1::report::Kind::Process(process)) => Some((process.id.unwrap().into(), process.clone())),
            _ => None,
        });
        reports.collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.agent.take());
        self.others.clear();
        // Everything of this test, keeper first, by the directory that it works in.
        let home = self.home.path().to_string_lossy().into_owned();
        for _ in 0..3 {
            for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
                let said = |file: &str| {
                    String::from_utf8_lossy(&std::fs::read(entry.path().join(file)).unwrap_or_default()).into_owned()
                };
                let is_own = pid.unsigned_abs() == std::process::id();
                if !is_own && (said("cmdline").contains(&home) || said("environ").contains(&home)) {
                    let pid = rustix::process::Pid::from_raw(pid).unwrap();
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
        }
    }
}

/// The policy of a machine: that of the test, or one under which tests are what the agent is.
fn policy(home: &Path) -> PathBuf {
    let path = home.join("policy.toml");
    if !path.exists() {
        std::fs::write(&path, "own_users = false\n").unwrap();
    }
    path
}

pub(crate) fn at(sequence: u64) -> v1::Position {
    v1::Position { lineage: 1, sequence }
}

/// Orders of one job.
pub(crate) fn orders(
    module: &v1::Module,
    job: u32,
    processes: std::ops::RangeInclusive<u32>,
    parameters: &[(&str, &str)],
) -> v1::JobOrders {
    let parameters = parameters.iter().map(|(key, value)| v1::KeyValue { key: (*key).into(), value: (*value).into() });
    let spec = v1::StartSpec {
        module: Some(module.clone()),
        parameters: parameters.collect(),
        seed: 42,
        actor: "user:test".into(),
        run: 1,
        job,
        ..Default::default()
    };
    let order =
        |process| v1::ProcessOrder { process, attempt: 1, resources: vec!["disk-disk1".into()], ..Default::default() };
    v1::JobOrders {
        spec: Some(spec),
        epoch: 1,
        machine_generation: Some(at(5)),
        processes: processes.map(order).collect(),
    }
}

/// The same orders, as a stop.
pub(crate) fn stops(mut orders: v1::JobOrders, grace_ms: u64) -> v1::JobOrders {
    for process in &mut orders.processes {
        (process.stop, process.grace_ms) = (true, grace_ms);
    }
    orders
}

fn heartbeat_answers(bus: &Bus, script: &Arc<Mutex<Script>>, number: u64) -> Vec<Envelope> {
    let script = script.lock().unwrap();
    if !script.answering {
        return Vec::new();
    }
    let answer = |(source, own): (&str, bool)| {
        let generation = if own { script.machine.generation } else { script.jobs.generation };
        let holder = script.machine.holder.clone().unwrap_or_default();
        let answer = v1::HeartbeatAnswer {
            number,
            generation,
            pool_time_ns: bus.now().0,
            holder_deadline_ns: if own { holder.deadline_ns } else { 0 },
            ..Default::default()
        };
        let term = if own { script.terms.0 } else { script.terms.1 };
        let authority = Authority { term: Term(term), ..Authority::default() };
        Envelope { source: source.into(), ..bus.envelope(Body::HeartbeatAnswer(answer), authority) }
    };
    [("machine-lifecycle/a", true), ("scheduler/a", false)].map(answer).into()
}

fn hello_answer(
    bus: &Bus,
    script: &mut Script,
    service: subjects::Service,
    (hello, incarnation): (&v1::Hello, u64),
) -> Envelope {
    let granted = script.incarnations.get(&hello.machine).copied().unwrap_or_default();
    if service == subjects::Service::Scheduler && incarnation < granted {
        let refusal = v1::Refusal { code: v1::RefusalCode::Refused.into(), ..Default::default() };
        let source = format!("{}/a", service.as_str());
        return Envelope { source, ..bus.envelope(Body::Refusal(refusal), Authority::default()) };
    }
    let (kind, term) = match service {
        subjects::Service::MachineLifecycle => {
            script.incarnation = script.incarnation.max(hello.last_incarnation) + 1;
            let desired = v1::MachineDesired { incarnation: script.incarnation, ..script.machine.clone() };
            if script.late_hellos > 0 {
                (script.late_hellos, script.incarnation) = (script.late_hellos - 1, script.incarnation + 1);
            }
            script.incarnations.insert(hello.machine.clone(), script.incarnation);
            (v1::hello_answer::Kind::Machine(desired), script.terms.0)
        }
        _ => {
            let jobs = script.jobs_of.get(&hello.machine).unwrap_or(&script.jobs);
            (v1::hello_answer::Kind::Job(jobs.clone()), script.terms.1)
        }
    };
    let authority = Authority { term: Term(term), ..Authority::default() };
    let body = Body::HelloAnswer(v1::HelloAnswer { kind: Some(kind) });
    Envelope { source: format!("{}/a", service.as_str()), ..bus.envelope(body, authority) }
}
