//! A NATS with the streams and logs of a new system, a scheduler on it, and what a person and machine-lifecycle say.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use muster_bus::Authority;
use muster_bus::subjects::{self, Service};
use muster_chassis::SigningArguments;
use muster_model::{CommandId, Position};
use muster_proto::v1::{self, envelope::Body, job_command, job_query, job_reply, machine_event::Kind};
use muster_testkit::{Running, System, answered, until};
use prost::Message;

use crate::LIMIT;

pub(crate) struct Pool {
    pub(crate) system: System,
    /// Sequence of the last message in MACHINES.
    machines: AtomicU64,
}

impl Pool {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Ok(Self { system: System::start().await?, machines: AtomicU64::new(1) })
    }

    pub(crate) fn scheduler(&self, instance: &str) -> Running {
        self.system.run(instance, |common, stop| muster_scheduler::run(common, SigningArguments::default(), stop))
    }

    /// Says events of one machine in MACHINES, as machine-lifecycle does.
    pub(crate) async fn say_of_machine(&self, machine: &str, kinds: Vec<Kind>) -> anyhow::Result<()> {
        let event = |kind| v1::MachineEvent { machine: machine.into(), kind: Some(kind) }.encode_to_vec().into();
        let entry = v1::Entry { events: kinds.into_iter().map(event).collect(), ..Default::default() };
        let turn = v1::Turn {
            previous_hash: vec![0; 32].into(),
            event_type: "muster.v1.MachineEvent".into(),
            block: v1::TurnBlock { entries: vec![entry] }.encode_to_vec().into(),
            ..Default::default()
        };
        let sequence = self.machines.fetch_add(1, Ordering::Relaxed) + 1;
        let authority = Authority { position: Position::new(1, sequence), ..Authority::default() };
        let envelope = self.system.bus.envelope(Body::Turn(turn), authority);
        let subject = subjects::log(Service::MachineLifecycle, "turn");
        self.system.bus.store(&subject, &sequence.to_string(), envelope.encode_to_vec().into()).await?;
        Ok(())
    }

    /// Adds usable machines `node-1`, ... of two CPUs and two disks.
    pub(crate) async fn machines(&self, count: usize) -> anyhow::Result<()> {
        for number in 1..=count {
            let resource =
                |id: String, kind: v1::ResourceKind| v1::Resource { id, kind: kind.into(), ..Default::default() };
            let cpus = (0..2).map(|n| resource(format!("cpu{n}"), v1::ResourceKind::Cpu));
            let disks = (0..2).map(|n| resource(format!("disk-{n}"), v1::ResourceKind::Disk));
            let inventory = v1::Inventory {
                architecture: "x86_64".into(),
                resources: cpus.chain(disks).collect(),
                ..Default::default()
            };
            let granted = v1::IncarnationGranted { incarnation: 1, boot_id: "first".into(), ..Default::default() };
            let ready = v1::PhaseChanged { to: v1::Phase::Ready.into(), ..Default::default() };
            let active = v1::FlagChanged { flag: v1::MachineFlag::Active.into(), value: true };
            let kinds = vec![
                Kind::Added(v1::MachineAdded::default()),
                Kind::IncarnationGranted(granted),
                Kind::InventoryChanged(v1::InventoryChanged { inventory: Some(inventory) }),
                Kind::PhaseChanged(ready),
                Kind::FlagChanged(active),
            ];
            self.say_of_machine(&format!("node-{number}"), kinds).await?;
        }
        Ok(())
    }

    /// Gives a command until somebody answers.
    pub(crate) async fn ask_command(&self, kind: job_command::Kind) -> anyhow::Result<Body> {
        let command = CommandId(*uuid::Uuid::now_v7().as_bytes());
        self.ask("command", Body::JobCommand(v1::JobCommand { kind: Some(kind), ..Default::default() }), Some(command))
            .await
    }

    pub(crate) async fn command(&self, kind: job_command::Kind) -> anyhow::Result<job_reply::Kind> {
        reply(self.ask_command(kind).await?)
    }

    pub(crate) async fn query(&self, kind: job_query::Kind) -> anyhow::Result<job_reply::Kind> {
        reply(self.ask("query", Body::JobQuery(v1::JobQuery { kind: Some(kind) }), None).await?)
    }

    /// The pool time by whoever leads.
    pub(crate) async fn clock(&self) -> anyhow::Result<i64> {
        match self.query(job_query::Kind::Clock(v1::ClockQuery {})).await? {
            job_reply::Kind::Clock(clock) => Ok(clock.pool_time_ns),
            other => anyhow::bail!("{other:?}"),
        }
    }

    async fn ask(&self, verb: &str, body: Body, command: Option<CommandId>) -> anyhow::Result<Body> {
        let envelope = self.system.bus.envelope(body, Authority { command, ..Authority::default() });
        answered(&self.system.bus, &subjects::service(Service::Scheduler, verb), &envelope, LIMIT).await
    }

    /// Looks at job 1 until `condition` holds.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&v1::JobRecord) -> bool) -> anyhow::Result<()> {
        let look = async || {
            let list = v1::ListJobs { job: 1, ended: true, after: 0 };
            match self.query(job_query::Kind::Jobs(list)).await? {
                job_reply::Kind::Jobs(list) => list.jobs.into_iter().next().context("find the job"),
                other => anyhow::bail!("{other:?}"),
            }
        };
        until(what, LIMIT, look, condition).await.map(drop)
    }

    /// Looks at the processes until pings have brought iterations of `count` of them.
    pub(crate) async fn until_iterations(&self, count: usize) -> anyhow::Result<()> {
        let look = async || match self.query(job_query::Kind::Processes(v1::ListProcesses::default())).await? {
            job_reply::Kind::Processes(list) => Ok(list.processes),
            other => anyhow::bail!("{other:?}"),
        };
        let are_seen =
            |found: &Vec<v1::ProcessRecord>| found.iter().filter(|process| process.iterations == 42).count() == count;
        until("iterations are seen", LIMIT, look, are_seen).await.map(drop)
    }
}

fn reply(body: Body) -> anyhow::Result<job_reply::Kind> {
    match body {
        Body::JobReply(reply) => reply.kind.context("read the reply"),
        other => anyhow::bail!("{other:?}"),
    }
}

pub(crate) fn refusal(body: Body) -> v1::Refusal {
    match body {
        Body::Refusal(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

/// A module of one disk.
pub(crate) fn module() -> v1::Module {
    v1::Module {
        name: "high-io".into(),
        version: "1.0".into(),
        artifacts: vec![v1::Artifact { architecture: "any".into(), sha256: "a".repeat(64), size_bytes: 1 }],
        requirements: vec![v1::Requirement { kind: v1::ResourceKind::Disk.into(), count: 1, weight_milli: 1000 }],
        stop_grace_ms: 5_000,
        ..Default::default()
    }
}
