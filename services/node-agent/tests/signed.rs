//! Commands to an agent that has pinned the keys of its services: whatever no service has signed for it, now and once, counts for nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Instant;

use bytes::Bytes;
use common::{Keys, MACHINE, World, at, id, orders, processes_of, stops};
use muster_bus::subjects;
use muster_model::{Incarnation, Term};
use muster_proto::v1::{self, AgentRefusal, Envelope, ProcessState, agent_command::Kind, envelope::Body, report};
use muster_signing::{Signer, SigningKey};
use prost::Message;

/// Attempts on one agent.
const ATTEMPTS: u64 = 10_000;
/// A term above the first, so that there are older ones.
const TERM: u64 = 5;
/// The job that nobody ordered.
const FORGED_JOB: u32 = 666;

/// One attempt: bytes on a subject.
struct Attempt {
    what: &'static str,
    verb: &'static str,
    payload: Bytes,
}

/// Somebody who reaches the bus, hears everything, and has keys of their own.
struct Attacker {
    world: World,
    module: v1::Module,
    own: SigningKey,
    next: u64,
}

impl Attacker {
    fn keys(&self) -> &Keys {
        self.world.keys.as_deref().unwrap()
    }

    /// A number that is hard to foresee and the same in each run.
    fn chance(&mut self) -> usize {
        self.next = self.next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.next >> 33).unwrap()
    }

    /// An order to start a process that would be carried out if it were believed.
    fn start(&self, number: u32) -> Envelope {
        let now = self.world.script().jobs.generation.unwrap();
        let update = v1::UpdateJobs {
            builds_on: Some(now),
            generation: Some(at(now.sequence + 1)),
            jobs: vec![orders(&self.module, FORGED_JOB, number..=number, &[])],
            ..Default::default()
        };
        self.envelope("scheduler/a", Kind::UpdateJobs(update))
    }

    fn envelope(&self, source: &str, kind: Kind) -> Envelope {
        let body = Body::AgentCommand(v1::AgentCommand { kind: Some(kind) });
        Envelope { source: source.into(), ..self.world.bus.envelope(body, self.world.authority(TERM)) }
    }

    /// What machine-lifecycle alone may say: another epoch, a reboot, another kernel, a disk.
    fn of_machine_lifecycle(&self, number: usize) -> (&'static str, Envelope) {
        let order = Some(at(99));
        let operation = Some(v1::BootOperation { order, attempt: 1 });
        let driver = v1::BootDriver::Simulated.into();
        let (verb, kind) = match number % 4 {
            0 => {
                let epoch = self.world.script().machine.epoch + 1;
                ("machine", Kind::Machine(v1::MachineDesired { epoch, generation: order, ..Default::default() }))
            }
            1 => ("reboot", Kind::Reboot(v1::RebootMachine { operation, driver, ..Default::default() })),
            2 => ("install", Kind::Install(v1::InstallKernel { operation, driver, ..Default::default() })),
            _ => ("storage", Kind::Prepare(v1::PrepareResource { order, ..Default::default() })),
        };
        (verb, self.envelope("machine-lifecycle/a", kind))
    }

    fn attempt(&mut self, number: u64) -> Attempt {
        let chance = self.chance();
        let start = self.start(u32::try_from(number).unwrap() + 1);
        let (verb, other) = self.of_machine_lifecycle(chance);
        let own = self.own.clone();
        let scheduler = |envelope: &Envelope| self.keys().seal(Signer::Scheduler, MACHINE, envelope);
        let jobs = |what, payload| Attempt { what, verb: "jobs", payload };
        match number % 15 {
            0 => jobs("unsigned", start.encode_to_vec().into()),
            1 => Attempt { what: "unsigned", verb, payload: other.encode_to_vec().into() },
            2 => jobs("with a key of their own", self.keys().seal_by(&own, Signer::Scheduler, MACHINE, &start)),
            3 => {
                let forged = self.keys().seal_by(&own, Signer::Scheduler, MACHINE, &start);
                jobs(
                    "in the name of a key that is not theirs",
                    renamed(&forged, self.keys().key(Signer::Scheduler).public()),
                )
            }
            4 => jobs("by another service", self.keys().seal(Signer::MachineLifecycle, MACHINE, &start)),
            5 => Attempt { what: "by another service", verb, payload: scheduler(&other) },
            6 => {
                let sent = self.keys().sent.lock().unwrap();
                let (subject, payload) = sent[usize::try_from(number).unwrap() % sent.len()].clone();
                let verb = if subject.ends_with("machine") { "machine" } else { "jobs" };
                Attempt { what: "replayed", verb, payload }
            }
            7 => jobs("misdirected", self.keys().seal(Signer::Scheduler, "node-2", &start)),
            8 => jobs("of an old term", scheduler(&Envelope { term: TERM - 1, ..start })),
            9 => jobs("of an old epoch", scheduler(&Envelope { epoch: start.epoch - 1, ..start })),
            10 => jobs("of an old incarnation", scheduler(&Envelope { incarnation: start.incarnation - 1, ..start })),
            11 => jobs("of an old generation", scheduler(&of_generation(start, 1))),
            12 => {
                let genuine = scheduler(&start).to_vec();
                let bit = chance % (genuine.len() * 8);
                jobs("with a flipped bit", flipped(genuine, bit))
            }
            13 => {
                let genuine = scheduler(&start);
                let length = chance % genuine.len();
                jobs("cut off", genuine.slice(..length))
            }
            _ => {
                let genuine = scheduler(&start);
                let more = self.start(u32::try_from(number).unwrap() + 100_000).encode_to_vec();
                jobs("with more behind it", [genuine.as_ref(), &more].concat().into())
            }
        }
    }
}

fn flipped(mut bytes: Vec<u8>, bit: usize) -> Bytes {
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes.into()
}

/// The same message, whose signature names another key.
fn renamed(payload: &Bytes, key: &str) -> Bytes {
    let mut envelope = Envelope::decode(payload.clone()).unwrap();
    let signature = envelope.signature.take().map(|signature| v1::Signature { key: key.to_owned(), ..signature });
    let mut bytes = envelope.encode_to_vec();
    bytes.extend(Envelope { signature, ..Envelope::default() }.encode_to_vec());
    bytes.into()
}

fn of_generation(mut envelope: Envelope, sequence: u64) -> Envelope {
    if let Some(Body::AgentCommand(v1::AgentCommand { kind: Some(Kind::UpdateJobs(update)) })) = &mut envelope.body {
        (update.builds_on, update.generation) = (Some(at(sequence)), Some(at(sequence + 1)));
    }
    envelope
}

/// An agent that has pinned keys, and runs a job that its scheduler has ordered.
async fn attacker() -> Attacker {
    let mut world = World::signed().await;
    world.script().terms = (TERM, TERM);
    world.start_agent_with(&["--allow-boot".into(), "simulated".into()]);
    world.wait_up().await;
    let module = world.ping_module().await;
    let update = v1::UpdateJobs { jobs: vec![orders(&module, 1, 1..=1, &[])], ..Default::default() };
    world.update_in(TERM, update).await;
    world.wait("it runs", |script| processes_of(script, ProcessState::Running) == 1).await;
    let desired = world.script().machine.clone();
    let authority = world.authority(TERM);
    let taken = world.command("machine-lifecycle/a", "machine", Kind::Machine(desired), authority).await;
    assert_eq!(taken.refusal(), AgentRefusal::Unspecified, "what is signed is taken: {taken:?}");
    Attacker { world, module, own: SigningKey::make(), next: 7 }
}

fn errors(script: &common::Script) -> Vec<String> {
    let said = script.reports.iter().filter_map(|report| match &report.kind {
        Some(report::Kind::Error(error)) => Some(error.message.clone()),
        _ => None,
    });
    said.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_commands_that_no_service_signed_for_this_machine_now_are_refused_and_counted() {
    let mut attacker = attacker().await;
    let incarnation = attacker.world.script().incarnation;
    let before = attacker.world.script().heartbeats.len();
    let (machine, begun) = (common::machine(), Instant::now());
    for number in 0..ATTEMPTS {
        let Attempt { what, verb, payload } = attacker.attempt(number);
        let reply = attacker.world.ask(subjects::command(&machine, verb), payload).await;
        // What is older than what is known is answered with what is known.
        let is_refused = reply.refusal() != AgentRefusal::Unspecified || what == "of an old generation";
        assert!(is_refused, "attempt {number}, {what}, was taken: {reply:?}");
    }
    let (took, world) = (begun.elapsed(), &mut attacker.world);
    eprintln!("{ATTEMPTS} attempts in {took:?}");
    world.wait("all are counted", |script| script.heartbeats.last().unwrap().1.messages_refused == ATTEMPTS).await;
    {
        let script = world.script();
        let (said_by, last) = script.heartbeats.last().unwrap();
        assert_eq!((*said_by, last.processes_live), (incarnation, 1), "it said hello once, and what ran runs on");
        assert_eq!((last.fenced_epoch, last.draining, last.boot.clone()), (1, false, None));
        assert_eq!(last.job_generation, script.jobs.generation);
        assert_eq!(last.machine_generation, script.machine.generation);
        let heard = (script.heartbeats.len() - before) as u64;
        assert!(heard + 3 >= took.as_secs(), "{heard} heartbeats in {took:?}");
        assert_eq!(script.reports.iter().filter(|report| is_of_forged_job(report)).count(), 0);
    }
    let places = std::fs::read_dir(world.state().join("work")).unwrap().count();
    assert_eq!(places, 1, "nothing was prepared for any other process");
    world.wait("it is reported", |script| !errors(script).is_empty()).await;
    let reported = errors(&world.script());
    assert!(reported.len() as u64 <= 1 + took.as_secs() / 60, "a flood is reported now and then: {reported:?}");
    // Who has the key goes on.
    let update =
        v1::UpdateJobs { jobs: vec![stops(orders(&attacker.module, 1, 1..=1, &[]), 5_000)], ..Default::default() };
    assert_eq!(world.update_in(TERM, update).await.refusal(), AgentRefusal::Unspecified);
    world.wait("it stops", |script| processes_of(script, ProcessState::Finished) == 1).await;
}

fn is_of_forged_job(report: &v1::Report) -> bool {
    matches!(&report.kind, Some(report::Kind::Process(process)) if process.id.unwrap().dpid.unwrap().job == FORGED_JOB)
}

/// The attempts are worth something: where no keys are pinned, they start what they say.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_pinned_keys_believes_what_one_with_them_refuses() {
    let mut world = World::new().await;
    world.script().terms = (TERM, TERM);
    world.start_agent();
    world.wait_up().await;
    let module = world.ping_module().await;
    let attacker = Attacker { world, module, own: SigningKey::make(), next: 7 };
    let payload = attacker.start(1).encode_to_vec();
    let reply = attacker.world.ask(subjects::command(&common::machine(), "jobs"), payload.into()).await;
    assert_eq!(reply.refusal(), AgentRefusal::Unspecified);
    attacker.world.wait("it runs", |script| processes_of(script, ProcessState::Running) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_no_service_signed_change_nothing_and_contact_is_kept() {
    let mut attacker = attacker().await;
    let world = &mut attacker.world;
    let mut forger = Forger::begin(world).await;
    forger.until_answered(8).await;
    let incarnation = world.script().incarnation;
    world.wait("they are counted", |script| script.heartbeats.last().unwrap().1.messages_refused >= 8).await;
    let last = world.script().heartbeats.last().unwrap().clone();
    assert_eq!((last.0, last.1.processes_live, last.1.machine_generation), (incarnation, 1, Some(at(5))));
    // A new life has to say hello, and hears forged answers first.
    forger.answers_hello = true;
    world.kill_agent();
    world.start_agent();
    forger.until_answered(12).await;
    forger.answers_hello = false;
    forger.until_answered(13).await;
    world.wait_up().await;
    let last = world.script().heartbeats.last().unwrap().clone();
    assert_eq!((last.1.fenced_epoch, last.1.processes_live), (1, 1), "no epoch was raised, and what ran runs on");
}

/// Answers what an agent asks, faster than its services.
struct Forger {
    bus: muster_bus::Bus,
    asked: std::pin::Pin<Box<dyn futures::Stream<Item = muster_bus::Inbound> + Send>>,
    answers_hello: bool,
    answered: u64,
}

impl Forger {
    async fn begin(world: &World) -> Self {
        let options = muster_bus::BusOptions::insecure_local(&world.nats.url(), "scheduler/b");
        let bus = muster_bus::Bus::connect(&options).await.unwrap();
        let heartbeats = bus.subscribe(subjects::EVERY_HEARTBEAT, None).await.unwrap();
        let hellos = bus.subscribe(&subjects::every_hello(subjects::Service::MachineLifecycle), None).await.unwrap();
        let asked = Box::pin(futures::stream::select(heartbeats, hellos));
        Self { bus, asked, answers_hello: false, answered: 0 }
    }

    async fn until_answered(&mut self, count: u64) {
        use futures::StreamExt;
        while self.answered < count {
            let inbound = tokio::time::timeout(common::LIMIT, self.asked.next()).await.unwrap().unwrap();
            let (Some(reply), Ok(envelope)) = (inbound.reply, inbound.envelope) else { continue };
            let forged = match &envelope.body {
                Some(Body::Heartbeat(heartbeat)) => forged_answers(heartbeat.number),
                Some(Body::Hello(hello)) if self.answers_hello => vec![forged_hello(hello)],
                _ => continue,
            };
            for (source, body) in forged {
                let authority = muster_bus::Authority {
                    term: Term(TERM),
                    incarnation: Incarnation(envelope.incarnation),
                    command: muster_bus::question(&envelope),
                    ..Default::default()
                };
                let answer = Envelope { source: source.into(), ..self.bus.envelope(body, authority) };
                self.bus.client().publish(reply.clone(), answer.encode_to_vec().into()).await.unwrap();
                self.answered += 1;
            }
            self.bus.flush().await.unwrap();
        }
    }
}

/// The deadline is long over, the pool's time is another, there is more to hear, and hello is to be said again.
fn forged_answers(number: u64) -> Vec<(&'static str, Body)> {
    let over = v1::HeartbeatAnswer { number, generation: Some(at(50)), holder_deadline_ns: 1, ..Default::default() };
    let again = v1::HeartbeatAnswer { number, hello_again: true, ..Default::default() };
    let time = v1::HeartbeatAnswer { number, pool_time_ns: 1, generation: Some(at(90)), ..Default::default() };
    vec![
        ("machine-lifecycle/b", Body::HeartbeatAnswer(over)),
        ("machine-lifecycle/b", Body::HeartbeatAnswer(again)),
        ("scheduler/b", Body::HeartbeatAnswer(time)),
        ("scheduler/b", Body::HeartbeatAnswer(again)),
    ]
}

fn forged_hello(hello: &v1::Hello) -> (&'static str, Body) {
    let incarnation = hello.last_incarnation + 1;
    let desired = v1::MachineDesired { incarnation, epoch: 9, generation: Some(at(90)), ..Default::default() };
    let kind = Some(v1::hello_answer::Kind::Machine(desired));
    ("machine-lifecycle/b", Body::HelloAnswer(v1::HelloAnswer { kind }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_a_pinned_one_vouches_for_is_taken_and_outlives_the_agent() {
    let mut attacker = attacker().await;
    attacker.keys().rotate();
    let (module, world) = (attacker.module.clone(), &mut attacker.world);
    let update = |job| v1::UpdateJobs { jobs: vec![orders(&module, job, 1..=1, &[])], ..Default::default() };
    assert_eq!(world.update_in(TERM, update(2)).await.refusal(), AgentRefusal::Unspecified);
    world.wait("it runs", |script| processes_of(script, ProcessState::Running) == 2).await;
    let pinned = std::fs::read_to_string(world.state().join("signers")).unwrap();
    assert!(pinned.contains(world.keys.as_ref().unwrap().key(Signer::Scheduler).public()), "{pinned}");
    let before = world.script().incarnation;
    world.kill_agent();
    world.start_agent();
    world.wait("a new life", |script| script.incarnation > before).await;
    world.wait_up().await;
    assert_eq!(world.update_in(TERM, update(3)).await.refusal(), AgentRefusal::Unspecified);
    world.wait("it runs too", |script| script.reports.iter().any(|report| is_running(report, id(3, 1)))).await;
}

fn is_running(report: &v1::Report, id: muster_model::ProcessId) -> bool {
    matches!(&report.kind, Some(report::Kind::Process(process))
        if process.state() == ProcessState::Running && process.id == Some(id.into()))
}
