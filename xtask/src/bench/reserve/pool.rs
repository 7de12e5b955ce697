//! A real log with the core of reservation over it, and machines that are played.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use hdrhistogram::Histogram;
use muster_bus::subjects::Service;
use muster_bus::{Authority, Bus};
use muster_ledger::{Handle, Lead, LedgerError, LedgerOptions, Shell};
use muster_model::{CommandId, Epoch, Flag, MachineId, ReservationId};
use muster_reservation::core::{Command, Effect, Input, News, ReservationCore, Reserve};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::histogram;

/// Whatever is waited for comes within this.
const DEADLINE: Duration = Duration::from_secs(60);
/// Inputs at once while the pool is filled.
const FILL_AT_ONCE: usize = 500;
/// For how long machines are wanted.
const DURATION: Duration = Duration::from_secs(3_600);
/// Users that share the requests.
const USERS: u32 = 16;

struct BenchShell(watch::Sender<Option<Handle<ReservationCore>>>);

impl Shell<ReservationCore> for BenchShell {
    async fn lead(self: Arc<Self>, handle: Handle<ReservationCore>, lead: Lead) {
        self.0.send_replace(Some(handle));
        lead.ended.cancelled().await;
        self.0.send_replace(None);
    }

    /// Nobody here asks to be told of anything.
    async fn perform(self: Arc<Self>, _: Effect, _: Authority, _: Handle<ReservationCore>) {}
}

/// A service that leads.
pub(super) struct Pool {
    handle: Handle<ReservationCore>,
    task: JoinHandle<Result<(), LedgerError>>,
    stop: CancellationToken,
}

impl Pool {
    pub(super) async fn begin(bus: Bus) -> anyhow::Result<Self> {
        let (led, mut leading) = watch::channel(None);
        let stop = CancellationToken::new();
        let options = LedgerOptions {
            service: Service::Reservation,
            instance: "bench".into(),
            tick: Duration::from_millis(200),
            sources: Vec::new(),
            projection: Some("reservations"),
            snapshot_every: 10_000,
        };
        let task = tokio::spawn(muster_ledger::run(bus, options, Arc::new(BenchShell(led)), stop.clone()));
        let leading =
            tokio::time::timeout(DEADLINE, leading.wait_for(Option::is_some)).await.context("lead in time")??;
        let handle = leading.clone().context("a handle")?;
        Ok(Self { handle, task, stop })
    }

    pub(super) async fn end(self) -> anyhow::Result<()> {
        self.stop.cancel();
        Ok(self.task.await??)
    }

    /// So many machines, all of them held, and as many requests that wait.
    pub(super) async fn fill(&self, size: u32) -> anyhow::Result<()> {
        self.each(size, |number| self.add(number)).await?;
        self.each(size, |number| self.reserve(number)).await?;
        self.each(size, |number| self.hand_over(number)).await?;
        self.each(size, |number| self.reserve(number)).await
    }

    async fn each<F: Future<Output = anyhow::Result<()>>>(
        &self,
        size: u32,
        act: impl Fn(u32) -> F,
    ) -> anyhow::Result<()> {
        futures::stream::iter((0..size).map(act)).buffer_unordered(FILL_AT_ONCE).try_collect().await
    }

    async fn give(&self, user: &str, input: Input) -> anyhow::Result<()> {
        let id = CommandId(muster_bus::fresh_id());
        self.handle.command(id, user.to_owned(), input).await.map(drop).map_err(|refusal| anyhow::anyhow!("{refusal}"))
    }

    async fn hear(&self, machine: &MachineId, news: News) -> anyhow::Result<()> {
        self.give("service:bench", Input::Machine { machine: machine.clone(), news }).await
    }

    async fn add(&self, number: u32) -> anyhow::Result<()> {
        let machine = machine(number)?;
        let attributes =
            BTreeMap::from([("cpus".to_owned(), "8".to_owned()), ("arch".to_owned(), "x86_64".to_owned())]);
        for news in [
            News::Added { tags: [format!("rack{}", number % 40)].into() },
            News::Flag(Flag::Active, true),
            News::Attributes(attributes),
            News::Phase { ready: true, offline: false },
        ] {
            self.hear(&machine, news).await?;
        }
        Ok(())
    }

    async fn reserve(&self, number: u32) -> anyhow::Result<()> {
        let selector = "cpus>=4 and arch=x86_64".to_owned();
        let command = Command::Reserve(Reserve { selector, count: 1, duration: DURATION, ..Reserve::default() });
        let user = user(number);
        self.give(&user, Input::Command { user: user.clone(), command: Box::new(command) }).await
    }

    /// A machine goes to whom it was granted, or back to the pool.
    async fn hand_over(&self, number: u32) -> anyhow::Result<()> {
        let machine = machine(number)?;
        let holder = self.holder(&machine).await?;
        self.move_to(&machine, holder.map(|(id, _)| id)).await
    }

    async fn move_to(&self, machine: &MachineId, holder: Option<ReservationId>) -> anyhow::Result<()> {
        let (known, name) = (machine.clone(), machine.clone());
        let epoch =
            self.handle.query(move |view| view.state.machine(&known).map_or(Epoch(0), |seen| seen.epoch)).await?;
        for news in
            [News::Draining(holder), News::EpochRaised { epoch: epoch.next(), holder }, News::Fenced(epoch.next())]
        {
            self.hear(&name, news).await?;
        }
        Ok(())
    }

    /// Who has a machine, and the number of its reservation.
    async fn holder(&self, machine: &MachineId) -> anyhow::Result<Option<(ReservationId, String)>> {
        let machine = machine.clone();
        let look = move |view: &muster_ledger::View<'_, ReservationCore>| {
            let holder = view.state.holder(&machine).and_then(|holder| view.state.reservation(holder));
            holder.map(|holder| (holder.id, holder.request.user.clone()))
        };
        Ok(self.handle.query(move |view| look(&view)).await?)
    }

    /// Gives back one machine after the other of its share and asks anew, until a moment. How long each check-in and each request took.
    pub(super) async fn work(
        &self,
        size: u32,
        worker: u32,
        workers: u32,
        until: Instant,
    ) -> anyhow::Result<(Histogram<u64>, Histogram<u64>)> {
        let (mut releases, mut acquisitions) = (histogram()?, histogram()?);
        let mut mine = (0..size).filter(|number| number % workers == worker).cycle();
        while Instant::now() < until {
            let number = mine.next().context("each worker has machines")?;
            let machine = machine(number)?;
            let Some((id, user)) = self.holder(&machine).await? else { continue };
            let begun = Instant::now();
            self.give(&user, Input::Command { user: user.clone(), command: Box::new(Command::CheckIn { id }) }).await?;
            releases.record(u64::try_from(begun.elapsed().as_nanos())?)?;
            self.move_to(&machine, None).await?;
            let begun = Instant::now();
            // The machine goes to the first in line, and this one joins its end.
            self.reserve(number).await?;
            acquisitions.record(u64::try_from(begun.elapsed().as_nanos())?)?;
            self.hand_over(number).await?;
        }
        Ok((releases, acquisitions))
    }
}

fn machine(number: u32) -> anyhow::Result<MachineId> {
    MachineId::new(&format!("node-{number:05}")).context("name a machine")
}

fn user(number: u32) -> String {
    format!("user:u{}", number % USERS)
}
