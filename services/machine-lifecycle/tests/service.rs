//! The service against a real NATS: what an agent and a person see of it.

#![expect(clippy::unwrap_used, reason = "what goes wrong in a test ends it")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use muster_bus::subjects::{self, Service};
use muster_bus::{Authority, Bus};
use muster_chassis::SigningArguments;
use muster_model::{CommandId, Incarnation, MachineId, Position};
use muster_proto::v1::{self, envelope::Body, machine_command, machine_query, machine_reply};
use muster_testkit::{Running, System, answered, until};
use prost::Message;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(30);

struct Pool(System);

impl Pool {
    async fn start() -> anyhow::Result<Self> {
        Ok(Self(System::start().await?))
    }

    fn service(&self, instance: &str) -> Running {
        self.0.run(instance, |common, stop| muster_machine_lifecycle::run(common, SigningArguments::default(), stop))
    }

    /// Asks until somebody answers.
    async fn ask(&self, verb: &str, id: CommandId, body: Body) -> anyhow::Result<Body> {
        let authority = Authority { command: Some(id), ..Authority::default() };
        let envelope = self.0.bus.envelope(body, authority);
        let subject = subjects::service(Service::MachineLifecycle, verb);
        answered(&self.0.bus, &subject, &envelope, LIMIT).await
    }

    async fn command(&self, id: CommandId, kind: machine_command::Kind) -> anyhow::Result<v1::MachinesChanged> {
        let body = Body::MachineCommand(v1::MachineCommand { kind: Some(kind) });
        match self.ask("command", id, body).await? {
            Body::MachineReply(v1::MachineReply { kind: Some(machine_reply::Kind::Changed(changed)) }) => Ok(changed),
            other => anyhow::bail!("{other:?}"),
        }
    }

    async fn query(&self, kind: machine_query::Kind) -> anyhow::Result<machine_reply::Kind> {
        let body = Body::MachineQuery(v1::MachineQuery { kind: Some(kind) });
        match self.ask("query", CommandId::default(), body).await? {
            Body::MachineReply(reply) => reply.kind.context("read the reply"),
            other => anyhow::bail!("{other:?}"),
        }
    }

    async fn machine(&self, name: &str) -> anyhow::Result<v1::MachineStatus> {
        let list = v1::ListMachines { selector: name.into(), ..Default::default() };
        match self.query(machine_query::Kind::List(list)).await? {
            machine_reply::Kind::Machines(list) => list.machines.into_iter().next().context("find the machine"),
            other => anyhow::bail!("{other:?}"),
        }
    }

    async fn status(&self) -> anyhow::Result<v1::ServiceStatus> {
        match self.query(machine_query::Kind::Status(v1::MachineServiceStatus {})).await? {
            machine_reply::Kind::Status(status) => Ok(status),
            other => anyhow::bail!("{other:?}"),
        }
    }

    /// Looks at the machine until `condition` holds.
    async fn until(&self, what: &str, condition: impl Fn(&v1::MachineStatus) -> bool) -> anyhow::Result<()> {
        until(what, LIMIT, async || self.machine("node-1").await, condition).await.map(drop)
    }
}

/// What an agent knows, spoken over a real bus.
#[derive(Debug, Default)]
struct Known {
    desired: v1::MachineDesired,
    beats: u64,
    hello_again: bool,
    answered: u64,
}

struct Agent {
    machine: MachineId,
    bus: Bus,
    known: Arc<Mutex<Known>>,
}

impl Agent {
    fn new(bus: &Bus) -> Self {
        Self { machine: MachineId::new("node-1").unwrap(), bus: bus.clone(), known: Arc::default() }
    }

    async fn hello(&self) -> anyhow::Result<v1::MachineDesired> {
        let disk = |id: &str, signatures: &[&str]| v1::Resource {
            id: id.into(),
            kind: v1::ResourceKind::Disk.into(),
            signatures: signatures.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        let resources = vec![disk("disk-a", &[]), disk("disk-b", &["ext4"])];
        let last = self.known.lock().unwrap().desired.clone();
        let hello = v1::Hello {
            machine: self.machine.to_string(),
            agent_version: "test".into(),
            boot_id: "boot-1".into(),
            fenced_epoch: last.epoch,
            last_incarnation: last.incarnation,
            inventory: Some(v1::Inventory { architecture: "x86_64".into(), resources, ..Default::default() }),
            ..Default::default()
        };
        let subject = subjects::hello(&self.machine, Service::MachineLifecycle);
        let envelope = self.bus.envelope(Body::Hello(hello), Authority::default());
        match answered(&self.bus, &subject, &envelope, LIMIT).await? {
            Body::HelloAnswer(v1::HelloAnswer { kind: Some(v1::hello_answer::Kind::Machine(desired)) }) => {
                self.known.lock().unwrap().desired = desired.clone();
                Ok(desired)
            }
            other => anyhow::bail!("{other:?}"),
        }
    }

    fn authority(&self) -> Authority {
        let incarnation = Incarnation(self.known.lock().unwrap().desired.incarnation);
        Authority { incarnation, ..Authority::default() }
    }

    async fn report_fence(&self, epoch: u64) -> anyhow::Result<()> {
        let kind = Some(v1::report::Kind::Fence(v1::FenceDone { epoch }));
        let reports = vec![v1::Report { time_ns: 0, kind }];
        let batch = v1::ReportBatch { machine: self.machine.to_string(), batch: epoch, reports };
        let envelope = self.bus.envelope(Body::ReportBatch(batch), self.authority());
        let id = format!("node-1-{epoch}");
        self.bus.store(&subjects::reports(&self.machine), &id, envelope.encode_to_vec().into()).await?;
        Ok(())
    }

    /// Takes commands and beats until `stop`.
    async fn live(&self, stop: CancellationToken) -> anyhow::Result<JoinHandle<()>> {
        let mut commands = self.bus.subscribe(&subjects::commands_of(&self.machine), None).await?;
        let inbox = self.bus.new_inbox();
        let mut answers = self.bus.subscribe(&inbox, None).await?;
        let agent = Self { machine: self.machine.clone(), bus: self.bus.clone(), known: self.known.clone() };
        Ok(tokio::spawn(async move {
            let mut beat = tokio::time::interval(Duration::from_millis(200));
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = beat.tick() => agent.beat(&inbox).await,
                    Some(answer) = answers.next() => agent.take_answer(answer),
                    Some(command) = commands.next() => agent.take_command(command).await,
                }
            }
        }))
    }

    async fn beat(&self, inbox: &str) {
        let heartbeat = {
            let mut known = self.known.lock().unwrap();
            known.beats += 1;
            v1::Heartbeat {
                machine: self.machine.to_string(),
                number: known.beats,
                boot_id: "boot-1".into(),
                machine_generation: known.desired.generation,
                fenced_epoch: known.desired.epoch,
                draining: known.desired.draining,
                ..Default::default()
            }
        };
        let envelope = self.bus.envelope(Body::Heartbeat(heartbeat), self.authority());
        self.bus.publish_with_reply(&subjects::heartbeat(&self.machine), inbox, &envelope).await.unwrap();
    }

    fn take_answer(&self, answer: muster_bus::Inbound) {
        if let Some(Body::HeartbeatAnswer(answer)) = answer.envelope.unwrap().body {
            let mut known = self.known.lock().unwrap();
            known.answered += 1;
            known.hello_again = answer.hello_again;
        }
    }

    async fn take_command(&self, command: muster_bus::Inbound) {
        let envelope = command.envelope.unwrap();
        let Some(Body::AgentCommand(v1::AgentCommand { kind: Some(v1::agent_command::Kind::Machine(desired)) })) =
            envelope.body
        else {
            return;
        };
        assert_eq!((envelope.epoch, envelope.incarnation), (desired.epoch, desired.incarnation));
        assert!(envelope.term > 0);
        let reply = v1::AgentReply { generation: desired.generation, ..Default::default() };
        self.known.lock().unwrap().desired = desired;
        let answer = self.bus.envelope(Body::AgentReply(reply), self.authority());
        self.bus.publish(&command.reply.unwrap(), &answer).await.unwrap();
    }
}

fn new_id() -> CommandId {
    CommandId(*uuid::Uuid::now_v7().as_bytes())
}

fn position(wire: Option<v1::Position>) -> Position {
    wire.unwrap_or_default().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_joins_is_fenced_protected_and_known_after_every_restart() -> anyhow::Result<()> {
    let mut pool = Pool::start().await?;
    let first = pool.service("a");
    let agent = Agent::new(&pool.0.bus);
    let desired = agent.hello().await?;
    assert_eq!((desired.epoch, desired.incarnation), (1, 1));
    assert_eq!(desired.protected, ["disk-b"]);
    let stop = CancellationToken::new();
    let living = agent.live(stop.clone()).await?;
    agent.report_fence(1).await?;
    pool.until("the fence", |status| status.record.as_ref().unwrap().tenure() == v1::Tenure::Pool).await?;

    let activate = || {
        let set = v1::SetFlag { selector: "node-*".into(), flag: v1::MachineFlag::Active as u32, value: true };
        machine_command::Kind::SetFlag(set)
    };
    let id = new_id();
    let changed = pool.command(id, activate()).await?;
    assert_eq!(changed.machines, ["node-1"]);
    assert_eq!(pool.command(id, activate()).await?, changed, "a retry is answered as before");
    assert_eq!(pool.command(new_id(), activate()).await?.unchanged, ["node-1"]);

    let protect =
        v1::SetProtection { selector: String::new(), resources: vec!["disk-*".into()], protect: true, machine: false };
    let changed = pool.command(new_id(), machine_command::Kind::SetProtection(protect)).await?;
    let on_disk = |status: &v1::MachineStatus| {
        position(status.record.as_ref().unwrap().protection_acknowledged) >= position(changed.position)
    };
    pool.until("the protection on the agent's disk", on_disk).await?;
    let protected: BTreeSet<String> = agent.known.lock().unwrap().desired.protected.iter().cloned().collect();
    assert_eq!(protected, BTreeSet::from(["disk-a".to_owned(), "disk-b".to_owned()]));
    pool.until("health", |status| status.health() == v1::Health::Up).await?;
    {
        let known = agent.known.lock().unwrap();
        assert!(known.answered > 0 && !known.hello_again);
    }

    let before = pool.status().await?;
    pool.0.nats.kill9();
    pool.0.nats.restart()?;
    assert_eq!(pool.machine("node-1").await?.record.unwrap().incarnation, 1);
    first.end().await?;
    let second = pool.service("b");
    let after = pool.status().await?;
    assert!(after.term > before.term);
    assert_eq!((after.state_hash, after.instance.as_str()), (before.state_hash, "b"));
    assert_eq!(agent.hello().await?.incarnation, 2);
    stop.cancel();
    living.await?;
    second.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_understood_is_refused_in_one_line_and_changes_nothing() -> anyhow::Result<()> {
    let pool = Pool::start().await?;
    let service = pool.service("a");
    let before = pool.status().await?;
    let refused = async |verb: &str, body: Body| match pool.ask(verb, new_id(), body).await? {
        Body::Refusal(refusal) => Ok(refusal),
        other => Err(anyhow::anyhow!("{other:?}")),
    };
    let list = v1::ListMachines { selector: "cpu>=4".into(), ..Default::default() };
    let query = v1::MachineQuery { kind: Some(machine_query::Kind::List(list)) };
    let refusal = refused("query", Body::MachineQuery(query)).await?;
    assert_eq!((refusal.text.as_str(), refusal.place_from, refusal.place_to), ("cpu>=4", 0, 3));
    assert!(refusal.next.contains("did you mean `cpus`?"), "{}", refusal.next);
    let remove = machine_command::Kind::Remove(v1::RemoveMachine { machine: "node-9".into() });
    let refusal = refused("command", Body::MachineCommand(v1::MachineCommand { kind: Some(remove) })).await?;
    assert_eq!(refusal.code(), v1::RefusalCode::NotFound);
    let refusal = refused("command", Body::MachineCommand(v1::MachineCommand::default())).await?;
    assert_eq!(refusal.code(), v1::RefusalCode::Invalid);
    let refusal = refused("command", Body::Heartbeat(v1::Heartbeat::default())).await?;
    assert_eq!(refusal.code(), v1::RefusalCode::Invalid);
    let after = pool.status().await?;
    assert_eq!(after.state_hash, before.state_hash);
    service.end().await
}
