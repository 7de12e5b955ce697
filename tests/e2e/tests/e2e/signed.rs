//! A lab whose services sign what they tell agents: who has the bus, all of it, has no machine; and keys change while everything goes on.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use muster_bus::{Access, Authority, Bus, BusOptions, Credentials, Inbound, subjects};
use muster_model::MachineId;
use muster_proto::v1::{self, AgentRefusal, Envelope, Heartbeat, agent_command::Kind, envelope::Body};
use muster_testkit::lab::{Lab, LabOptions};
use muster_testkit::wait_until;
use prost::Message;
use rustix::process::Signal;

/// Attempts of somebody who may publish and hear everything.
const ATTEMPTS: u64 = 1_000;
/// How long anything on the bus is waited for.
const HEARD_LIMIT: Duration = Duration::from_secs(20);

fn lab(machines: u32) -> (Lab, tempfile::TempDir) {
    let (options, scratch) = muster_e2e::options(machines, 1).expect("a folder");
    let lab = Lab::up(LabOptions { secured: true, ..options }, &|_| ()).expect("it comes up with keys");
    (lab, scratch)
}

/// Writes into the servers' configuration that eve may publish and hear everything, which no role may.
fn let_eve_in(lab: &Lab) {
    lab.muster_ok(&["admin", "user", "add", "eve", "--role", "viewer"]).expect("she is let in");
    let keys = lab.directory().join("keys");
    let key = Credentials::open(&keys.join("user-eve.key")).expect("in order").public_key().expect("it has one");
    let file = keys.join("authorization.conf");
    let text = std::fs::read_to_string(&file).expect("readable");
    let everything =
        format!("{{ nkey: {key}, permissions: {{ publish: {{ allow: [\">\"] }}, subscribe: {{ allow: [\">\"] }} }} }}");
    let lines = text.lines().map(|line| if line.contains(&key) { everything.as_str() } else { line });
    std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).expect("written");
    lab.nats.signal(Signal::HUP).expect("the server reads it again");
}

async fn eve(lab: &Lab) -> Bus {
    let credentials = Credentials::open(&lab.directory().join("keys/user-eve.key")).expect("in order");
    let options = BusOptions::new(&lab.nats.url(), "scheduler/a", Access::Credentials(credentials));
    Bus::connect(&options).await.expect("she is let in")
}

/// What eve knows of a machine: its newest heartbeat, and a command that its scheduler gave it.
struct Victim {
    machine: MachineId,
    incarnation: u64,
    heartbeat: Heartbeat,
    /// A genuine command, as its bytes went over the bus.
    command: Bytes,
}

impl Victim {
    /// A start that would be carried out if it were believed: the one that was captured, as another job, on what the machine has now.
    fn start(&self, job: u32) -> Envelope {
        let mut envelope = Envelope::decode(self.command.clone()).expect("it was taken by an agent");
        envelope.signature = None;
        envelope.incarnation = self.incarnation;
        if let Some(Body::AgentCommand(v1::AgentCommand { kind: Some(Kind::UpdateJobs(update)) })) = &mut envelope.body
        {
            let generation = self.heartbeat.job_generation.unwrap_or_default();
            update.builds_on = Some(generation);
            update.generation = Some(v1::Position { sequence: generation.sequence + 1, ..generation });
            for orders in &mut update.jobs {
                orders.machine_generation = self.heartbeat.machine_generation;
                orders.spec.iter_mut().for_each(|spec| spec.job = job);
            }
        }
        envelope
    }

    /// Everything older than the next epoch is to be ended.
    fn fence(&self, bus: &Bus) -> Envelope {
        let generation = self.heartbeat.machine_generation.unwrap_or_default();
        let generation = Some(v1::Position { sequence: generation.sequence + 1, ..generation });
        let desired = v1::MachineDesired { epoch: self.heartbeat.fenced_epoch + 1, generation, ..Default::default() };
        let body = Body::AgentCommand(v1::AgentCommand { kind: Some(Kind::Machine(desired)) });
        let envelope = bus.envelope(body, Authority::default());
        let (term, epoch) = (1_000, self.heartbeat.fenced_epoch + 1);
        Envelope { source: "machine-lifecycle/a".into(), term, epoch, incarnation: self.incarnation, ..envelope }
    }

    fn attempt(&self, bus: &Bus, number: u64, other: &Victim) -> (&'static str, Bytes) {
        let start = self.start(600 + u32::try_from(number).expect("small"));
        match number % 5 {
            0 => ("jobs", start.encode_to_vec().into()),
            1 => ("machine", self.fence(bus).encode_to_vec().into()),
            2 => ("jobs", self.command.clone()),
            3 => ("jobs", other.command.clone()),
            _ => {
                let signature = Envelope::decode(self.command.clone()).expect("decodable").signature;
                ("jobs", Envelope { signature, ..start }.encode_to_vec().into())
            }
        }
    }
}

async fn next<T>(
    heard: &mut (impl futures::Stream<Item = Inbound> + Unpin),
    take: impl Fn(&Inbound) -> Option<T>,
) -> T {
    let found = async {
        loop {
            let inbound = heard.next().await.expect("the connection stays");
            if let Some(found) = take(&inbound) {
                return found;
            }
        }
    };
    tokio::time::timeout(HEARD_LIMIT, found).await.expect("it is heard in time")
}

fn beaten(inbound: &Inbound, machine: &MachineId) -> Option<(u64, Heartbeat)> {
    let envelope = inbound.envelope.as_ref().ok()?;
    match &envelope.body {
        Some(Body::Heartbeat(heartbeat)) if heartbeat.machine == machine.as_str() => {
            Some((envelope.incarnation, heartbeat.clone()))
        }
        _ => None,
    }
}

async fn newest(bus: &Bus, machine: &MachineId) -> (u64, Heartbeat) {
    let mut heard = bus.subscribe(&subjects::heartbeat(machine), None).await.expect("she hears everything");
    next(&mut heard, |inbound| beaten(inbound, machine)).await
}

/// Captures a genuine start on each machine, and what the machines say of themselves then.
async fn captured(bus: &Bus, lab: &Lab) -> [Victim; 2] {
    let machines = ["node-1", "node-2"].map(|name| MachineId::new(name).expect("valid"));
    let mut commands = Vec::new();
    for machine in &machines {
        commands.push(bus.subscribe(&subjects::command(machine, "jobs"), None).await.expect("she hears everything"));
    }
    bus.settled().await.expect("connected");
    tokio::task::block_in_place(|| muster_e2e::start(lab, "idle", 4, &[])).expect("a job runs");
    let mut victims = Vec::new();
    for (machine, heard) in machines.into_iter().zip(&mut commands) {
        let is_start = |inbound: &Inbound| match &inbound.envelope.as_ref().ok()?.body {
            Some(Body::AgentCommand(v1::AgentCommand { kind: Some(Kind::UpdateJobs(update)) })) => {
                (!update.jobs.is_empty()).then(|| inbound.payload.clone())
            }
            _ => None,
        };
        let command = next(heard, is_start).await;
        let (incarnation, heartbeat) = newest(bus, &machine).await;
        victims.push(Victim { machine, incarnation, heartbeat, command });
    }
    victims.try_into().unwrap_or_else(|_| panic!("there are two machines"))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_whole_bus_and_no_signing_key_does_nothing_to_any_machine() {
    let (lab, _scratch) = tokio::task::spawn_blocking(|| lab(2)).await.expect("a lab");
    tokio::task::block_in_place(|| let_eve_in(&lab));
    let bus = eve(&lab).await;
    let victims = captured(&bus, &lab).await;
    let before = tokio::task::block_in_place(|| muster_e2e::test_processes(&lab));
    let [first, second] = &victims;
    for number in 0..ATTEMPTS {
        let (victim, other) = if number % 2 == 0 { (first, second) } else { (second, first) };
        let (verb, payload) = victim.attempt(&bus, number, other);
        // Where agents may answer her.
        let inbox = format!("_INBOX.user.eve.agent.{}.{number}", victim.machine);
        let mut answers = bus.subscribe(&inbox, None).await.expect("she hears everything");
        let subject = subjects::command(&victim.machine, verb);
        bus.client().publish_with_reply(subject, inbox, payload).await.expect("she says everything");
        let answer = tokio::time::timeout(HEARD_LIMIT, answers.next()).await.expect("in time").expect("it is answered");
        match answer.envelope.expect("decodable").body {
            Some(Body::AgentReply(reply)) => {
                assert_eq!(reply.refusal(), AgentRefusal::NotSigned, "attempt {number}: {reply:?}")
            }
            other => panic!("attempt {number}: {other:?}"),
        }
    }
    for victim in &victims {
        let mut heard = bus.subscribe(&subjects::heartbeat(&victim.machine), None).await.expect("she hears everything");
        let counted = |inbound: &Inbound| {
            beaten(inbound, &victim.machine).filter(|(_, heartbeat)| heartbeat.messages_refused >= ATTEMPTS / 2)
        };
        let (incarnation, now) = next(&mut heard, counted).await;
        assert_eq!((incarnation, now.messages_refused), (victim.incarnation, ATTEMPTS / 2), "and stayed in contact");
        let stood = |heartbeat: &Heartbeat| {
            let generations = (heartbeat.job_generation, heartbeat.machine_generation);
            (heartbeat.fenced_epoch, heartbeat.draining, heartbeat.processes_digest, generations)
        };
        assert_eq!(stood(&now), stood(&victim.heartbeat));
    }
    tokio::task::block_in_place(|| {
        assert_eq!(muster_e2e::test_processes(&lab), before, "the same processes as before, and no others");
        lab.muster_ok(&["start", "idle", "--processes", "2", "--wait", "--timeout", "90s"])
            .expect("the scheduler is believed");
    });
    tokio::task::spawn_blocking(move || lab.down()).await.expect("done").expect("it goes down");
}

/// The keys in a file of pins.
fn pinned(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut keys: Vec<String> = text.lines().filter(|line| line.starts_with("signer ")).map(str::to_owned).collect();
    keys.sort();
    keys
}

#[test]
fn agents_follow_the_signing_keys_of_their_services_and_forget_retired_ones() {
    let (lab, _scratch) = lab(1);
    let (given, own) = (lab.directory().join("keys/signers"), lab.directory().join("node-1/state/signers"));
    let begun = pinned(&given);
    assert_eq!(
        (begun.len(), pinned(&own)),
        (2, begun.clone()),
        "a lab's machines know scheduler and machine-lifecycle"
    );
    for (change, count) in [("rotate", 4), ("retire", 2)] {
        for service in ["service/scheduler", "service/machine-lifecycle"] {
            lab.muster_ok(&["admin", change, service]).unwrap_or_else(|error| panic!("{change} {service}: {error:#}"));
        }
        assert_eq!(pinned(&given).len(), count, "{change}");
        let followed = || pinned(&own) == pinned(&given);
        wait_until("the agent follows", muster_e2e::SETTLE_LIMIT, followed)
            .expect("by what its services tell it anyway");
        let job = muster_e2e::start(&lab, "idle", 1, &[]).expect("the scheduler is believed");
        lab.muster_ok(&["stop", &job.to_string(), "--wait"]).expect("it stops");
        lab.muster_ok(&["reserve", "node-1", "--for", "10m", "--wait"]).expect("machine-lifecycle is believed");
        lab.muster_ok(&["checkin", if change == "rotate" { "1" } else { "2" }]).expect("it goes back");
        lab.wait_machines("up", 1).expect("it stays in contact");
    }
    assert!(pinned(&given).iter().all(|key| !begun.contains(key)), "the first keys are worth nothing");
    let refused = lab.muster(&["admin", "retire", "service/report"]).expect("muster runs");
    assert_eq!(refused.status.code(), Some(3), "who tells agents nothing has no signing key");
    lab.down().expect("it goes down");
}

#[tokio::test(flavor = "multi_thread")]
async fn simulated_machines_believe_their_services_alone() {
    let (options, _scratch) = muster_e2e::options(0, 1).expect("a folder");
    let options = LabOptions { simulated: 20, signed: true, ..options };
    let lab = tokio::task::block_in_place(|| Lab::up(options, &|_| ()).expect("it comes up"));
    tokio::task::block_in_place(|| muster_e2e::start(&lab, "idle", 40, &[])).expect("a job runs");
    let bus =
        Bus::connect(&BusOptions::insecure_local(&lab.nats.url(), "scheduler/a")).await.expect("it lets everybody in");
    let machine = MachineId::new("sim-7").expect("valid");
    let (incarnation, heartbeat) = newest(&bus, &machine).await;
    assert_eq!(heartbeat.messages_refused, 0, "what its services say is believed");
    let kind = Some(Kind::UpdateJobs(v1::UpdateJobs::default()));
    let envelope = bus.envelope(Body::AgentCommand(v1::AgentCommand { kind }), Authority::default());
    let envelope = Envelope { term: 1_000, epoch: heartbeat.fenced_epoch, incarnation, ..envelope };
    let answer =
        bus.request(&subjects::command(&machine, "jobs"), &envelope, HEARD_LIMIT).await.expect("it is answered");
    match answer.body {
        Some(Body::AgentReply(reply)) => assert_eq!(reply.refusal(), AgentRefusal::NotSigned),
        other => panic!("{other:?}"),
    }
    assert_eq!(newest(&bus, &machine).await.1.messages_refused, 1);
    tokio::task::spawn_blocking(move || lab.down()).await.expect("done").expect("it goes down");
}
