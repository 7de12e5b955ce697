//! A service around the core: it serves as the owning services do.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use muster_bus::subjects::Service;
use muster_bus::{Authority, Bus};
use muster_ledger::{Asked, Handle, Lead, LedgerError, LedgerOptions, Listening, Requests, Shell, View};
use muster_model::{CommandId, Refusal, RefusalCode};
use muster_proto::v1::{JobCommand, JobReply, envelope::Body};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::core::{Bench, Input};

/// Whatever is waited for comes within this.
const DEADLINE: Duration = Duration::from_secs(60);
/// A follower has folded a short log after this.
const LOAD_TIME: Duration = Duration::from_millis(500);

struct BenchShell {
    bus: Bus,
    led: watch::Sender<Option<Handle<Bench>>>,
}

impl Shell<Bench> for BenchShell {
    async fn lead(self: Arc<Self>, handle: Handle<Bench>, lead: Lead) {
        let Ok(listening) = Listening::begin(&self.bus, &self, &handle, &lead).await else { return };
        self.led.send_replace(Some(handle));
        listening.until_ended(&lead).await;
        self.led.send_replace(None);
    }

    async fn perform(self: Arc<Self>, (): (), _: Authority, _: Handle<Bench>) {}
}

impl Requests<Bench> for BenchShell {
    type Command = JobCommand;
    type Query = ();

    /// Whatever log it leads, it is asked here.
    const SERVICE: Service = Service::Scheduler;

    fn open(&self, body: Body) -> Result<Asked<JobCommand, ()>, Refusal> {
        match body {
            Body::JobCommand(command) => Ok(Asked::Command(command)),
            _ => Err(self.unreadable("it is no command")),
        }
    }

    fn input(&self, id: CommandId, _: &str, _: JobCommand) -> Result<Input, Refusal> {
        Ok(Input::Add(u64::from(id.0[15])))
    }

    fn look(&self, _: &View<'_, Bench>, (): &()) -> Result<Body, Refusal> {
        Err(self.unreadable("it is no command"))
    }

    fn reply(&self, _: Bytes) -> Result<Body, prost::DecodeError> {
        Ok(Body::JobReply(JobReply::default()))
    }

    fn unreadable(&self, why: &str) -> Refusal {
        Refusal::new(RefusalCode::Invalid, "take a request", why, "mend the benchmark")
    }

    fn count(&self, _: bool) {}
}

/// A running instance.
pub(crate) struct Instance {
    shell: Arc<BenchShell>,
    task: JoinHandle<Result<(), LedgerError>>,
    stop: CancellationToken,
}

impl Instance {
    pub(crate) fn start(bus: Bus, service: Service, name: &str, snapshot_every: u64) -> Self {
        let (led, _) = watch::channel(None);
        let shell = Arc::new(BenchShell { bus: bus.clone(), led });
        let stop = CancellationToken::new();
        let options = LedgerOptions {
            service,
            instance: name.into(),
            tick: Duration::from_millis(500),
            sources: Vec::new(),
            projection: None,
            snapshot_every,
        };
        let task = tokio::spawn(muster_ledger::run(bus, options, shell.clone(), stop.clone()));
        Self { shell, task, stop }
    }

    pub(crate) async fn leading(&self) -> anyhow::Result<Handle<Bench>> {
        let mut led = self.shell.led.subscribe();
        let led = tokio::time::timeout(DEADLINE, led.wait_for(Option::is_some)).await.context("lead in time")??;
        led.clone().context("a handle")
    }

    /// Waits until a follower certainly follows.
    pub(crate) async fn loaded(&self) {
        tokio::time::sleep(LOAD_TIME).await;
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        Ok(self.task.await??)
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(self) -> anyhow::Result<()> {
        Ok(self.task.await??)
    }
}
