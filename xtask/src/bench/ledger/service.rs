//! A service around the core: it serves the command verb as the owning services do.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use muster_bus::subjects::{self, Service};
use muster_bus::{Authority, Bus};
use muster_ledger::{Handle, Lead, LedgerError, LedgerOptions, Shell};
use muster_model::CommandId;
use muster_proto::v1::{JobCommand, JobReply, envelope::Body};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::core::{Bench, Input};

/// Whatever is waited for comes within this.
const DEADLINE: Duration = Duration::from_secs(60);
/// An answer comes within this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A follower has folded a short log after this.
const LOAD_TIME: Duration = Duration::from_millis(500);

struct BenchShell {
    bus: Bus,
    service: Service,
    instance: String,
    led: watch::Sender<Option<Handle<Bench>>>,
}

impl Shell<Bench> for BenchShell {
    async fn lead(self: Arc<Self>, handle: Handle<Bench>, lead: Lead) {
        let queue = format!("leader-{}", self.instance);
        let Ok(mut served) = self.bus.serve(self.service, &queue, &["command"]).await else { return };
        self.led.send_replace(Some(handle.clone()));
        let mut endpoint = served.endpoints.remove(0);
        let answering = async {
            while let Some(request) = endpoint.next().await {
                let handle = handle.clone();
                tokio::spawn(answer(handle, request));
            }
        };
        lead.ended.run_until_cancelled(answering).await;
        self.led.send_replace(None);
        served.stop().await;
    }

    async fn perform(self: Arc<Self>, (): (), _: Authority, _: Handle<Bench>) {}
}

async fn answer(handle: Handle<Bench>, request: muster_bus::Request) {
    let Ok(envelope) = &request.envelope else { return };
    let Ok(id) = <[u8; 16]>::try_from(envelope.cmd_id.as_ref()) else { return };
    let key = u64::from(id[15]);
    let actor = envelope.actor.clone();
    match handle.command(CommandId(id), actor, Input::Add(key)).await {
        Ok(answer) => {
            let authority = Authority { position: answer.position, term: answer.term, ..Authority::default() };
            request.answer(Body::JobReply(JobReply::default()), authority).await;
        }
        Err(refusal) => request.refuse(&refusal).await,
    }
}

/// Gives one command, and waits for its answer.
pub(crate) async fn ask(bus: &Bus, id: CommandId) -> anyhow::Result<()> {
    let authority = Authority { command: Some(id), ..Authority::default() };
    let envelope = bus.envelope(Body::JobCommand(JobCommand::default()), authority);
    let answer = bus.request(&subjects::service(Service::Scheduler, "command"), &envelope, ANSWER_TIMEOUT).await?;
    anyhow::ensure!(matches!(answer.body, Some(Body::JobReply(_))), "a command was refused: {:?}", answer.body);
    let _: Bytes = answer.id;
    Ok(())
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
        let shell = Arc::new(BenchShell { bus: bus.clone(), service, instance: name.into(), led });
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

    /// Nothing of it runs on, and nothing is given back.
    pub(crate) async fn kill(self) {
        self.task.abort();
        drop(self.task.await);
    }
}
