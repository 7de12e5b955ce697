//! What the agent's tests share: a bus with a scripted machine-lifecycle and scheduler on it, and an agent process.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::StreamExt;
use muster_bus::{Authority, Bucket, Bus, BusOptions, streams, subjects};
use muster_model::{Attempt, Dpid, Epoch, Incarnation, JobNumber, MachineId, ProcessId, ProcessNumber, RunId, Term};
use muster_proto::v1::{self, Envelope, envelope::Body};
use muster_testkit::{NatsServer, Process, Spawn, until};
use prost::Message;
use sha2::{Digest, Sha256};

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
        let nats = NatsServer::start().unwrap();
        let bus = Bus::connect(&BusOptions::new(&nats.url(), "test/a")).await.unwrap();
        bus.init_streams(streams::InitOptions { replicas: 1, size_divisor: 16 }).await.unwrap();
        let mut script = Script { terms: (1, 1), answering: true, ..Script::default() };
        script.machine = v1::MachineDesired { epoch: 1, generation: Some(at(5)), ..Default::default() };
        script.jobs = v1::JobDesired { generation: Some(at(5)), ..Default::default() };
        let script = Arc::new(Mutex::new(script));
        let world = Self { nats, bus, script, home: tempfile::tempdir().unwrap(), agent: None, others: Vec::new() };
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
        let (script, bus) = (self.script.clone(), self.bus.clone());
        tokio::spawn(async move {
            while let Some(inbound) = heartbeats.next().await {
                let envelope = inbound.envelope.unwrap();
                let Some(Body::Heartbeat(heartbeat)) = envelope.body else { continue };
                if let Some(reply) = inbound.reply {
                    answer_heartbeat(&bus, &script, &reply, heartbeat.number).await;
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
        let (script, bus) = (self.script.clone(), self.bus.clone());
        tokio::spawn(async move {
            while let Some(inbound) = hellos.next().await {
                let Some(Body::Hello(hello)) = inbound.envelope.unwrap().body else { continue };
                let answer = {
                    let mut script = script.lock().unwrap();
                    if !script.answering {
                        continue;
                    }
                    script.hellos.push((service.as_str().into(), hello.clone()));
                    hello_answer(&bus, &mut script, service, &hello)
                };
                bus.publish(&inbound.reply.unwrap(), &answer).await.unwrap();
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
            "--crash-files".into(),
            text(&home.join("crash")),
            "--crash-file-bytes-max".into(),
            "1000".into(),
        ]);
        let environment = [("MUSTER_NATS", self.nats.url()), ("RUST_LOG", "muster_node_agent=debug".into())];
        let spawn = Spawn {
            name: "agent".into(),
            program: env!("CARGO_BIN_EXE_muster-agent").into(),
            arguments: arguments.chain(more.iter().cloned()).collect(),
            environment: environment.map(|(name, value)| (name.to_owned(), value)).into(),
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
        let subject = subjects::command(machine, verb);
        let answer = self.bus.request(&subject, &envelope, Duration::from_secs(10)).await.unwrap();
        match answer.body {
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
        let (builds_on, generation) = {
            let mut script = self.script();
            let before = script.jobs.generation.unwrap();
            let after = at(before.sequence + 1);
            script.jobs.generation = Some(after);
            (before, after)
        };
        let update = v1::UpdateJobs { builds_on: Some(builds_on), generation: Some(generation), ..update };
        self.command("scheduler/a", "jobs", v1::agent_command::Kind::UpdateJobs(update), self.authority(1)).await
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

async fn answer_heartbeat(bus: &Bus, script: &Arc<Mutex<Script>>, reply: &str, number: u64) {
    for (source, own) in [("machine-lifecycle/a", true), ("scheduler/a", false)] {
        let (answer, term) = {
            let script = script.lock().unwrap();
            if !script.answering {
                return;
            }
            let generation = if own { script.machine.generation } else { script.jobs.generation };
            let holder = script.machine.holder.clone().unwrap_or_default();
            let answer = v1::HeartbeatAnswer {
                number,
                generation,
                pool_time_ns: bus.now().0,
                holder_deadline_ns: if own { holder.deadline_ns } else { 0 },
                ..Default::default()
            };
            (answer, if own { script.terms.0 } else { script.terms.1 })
        };
        let authority = Authority { term: Term(term), ..Authority::default() };
        let envelope = Envelope { source: source.into(), ..bus.envelope(Body::HeartbeatAnswer(answer), authority) };
        bus.publish(reply, &envelope).await.unwrap();
    }
}

fn hello_answer(bus: &Bus, script: &mut Script, service: subjects::Service, hello: &v1::Hello) -> Envelope {
    let (kind, term) = match service {
        subjects::Service::MachineLifecycle => {
            script.incarnation = script.incarnation.max(hello.last_incarnation) + 1;
            script.incarnations.insert(hello.machine.clone(), script.incarnation);
            let desired = v1::MachineDesired { incarnation: script.incarnation, ..script.machine.clone() };
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
