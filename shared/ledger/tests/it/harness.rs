//! Instances of the counting ledger on one private nats-server, and what tests ask of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use muster_bus::streams::InitOptions;
use muster_bus::subjects::Service;
use muster_bus::{Authority, Bus, BusOptions};
use muster_ledger::{Answer, Handle, Lead, LedgerError, LedgerOptions, Shell, Source};
use muster_model::{CommandId, Refusal, RefusalCode, SystemId, Term};
use muster_testkit::NatsServer;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::counter::{Counter, Input, State};

pub(crate) const SERVICE: Service = Service::Reservation;
pub(crate) const LOG: &str = "RESERVATIONS";
pub(crate) const SYSTEM: SystemId = SystemId([7; 16]);
const DEADLINE: Duration = Duration::from_secs(20);

/// A server with a new system.
pub(crate) async fn system() -> (NatsServer, Bus) {
    let server = NatsServer::start().expect("nats-server starts");
    let bus = connect(&server.url()).await;
    init(&bus).await;
    muster_ledger::initialise(&bus, SYSTEM).await.expect("a new system");
    (server, bus)
}

pub(crate) async fn init(bus: &Bus) {
    bus.init_streams(InitOptions { replicas: 1, size_divisor: 64 }).await.expect("streams are made");
}

pub(crate) async fn connect(url: &str) -> Bus {
    Bus::connect(&BusOptions::new(url, "test")).await.expect("a connection")
}

/// A fresh command id.
pub(crate) fn command_id() -> CommandId {
    CommandId(*uuid::Uuid::now_v7().as_bytes())
}

type Led = Option<(Term, Handle<Counter>)>;

/// The shell of one instance: announcing is noted and reported back.
pub(crate) struct Announcer {
    led: watch::Sender<Led>,
    pub(crate) announced: Mutex<BTreeMap<u64, Vec<Term>>>,
}

impl Shell<Counter> for Announcer {
    async fn lead(self: Arc<Self>, handle: Handle<Counter>, lead: Lead) {
        self.led.send_replace(Some((lead.term, handle)));
        lead.ended.cancelled().await;
        self.led.send_replace(None);
    }

    async fn perform(self: Arc<Self>, effect: u64, authority: Authority, handle: Handle<Counter>) {
        self.announced.lock().expect("not poisoned").entry(effect).or_default().push(authority.term);
        handle.submit(Input::Announced(effect)).await;
    }
}

/// One running instance.
pub(crate) struct Instance {
    pub(crate) shell: Arc<Announcer>,
    pub(crate) task: JoinHandle<Result<(), LedgerError>>,
    pub(crate) stop: CancellationToken,
}

pub(crate) fn options(name: &str) -> LedgerOptions<Counter> {
    LedgerOptions {
        service: SERVICE,
        instance: name.into(),
        tick: Duration::from_millis(100),
        sources: Vec::new(),
        projection: Some("counters"),
        snapshot_every: 1_000_000,
    }
}

impl Instance {
    pub(crate) fn start(bus: &Bus, name: &str) -> Self {
        Self::start_with(bus, options(name))
    }

    pub(crate) fn start_following(bus: &Bus, name: &str, source: Source<Counter>) -> Self {
        Self::start_with(bus, LedgerOptions { sources: vec![source], ..options(name) })
    }

    pub(crate) fn start_with(bus: &Bus, options: LedgerOptions<Counter>) -> Self {
        let (led, _) = watch::channel(None);
        let shell = Arc::new(Announcer { led, announced: Mutex::default() });
        let stop = CancellationToken::new();
        let task = tokio::spawn(muster_ledger::run(bus.clone(), options, shell.clone(), stop.clone()));
        Self { shell, task, stop }
    }

    /// Waits until it leads.
    pub(crate) async fn leading(&self) -> (Term, Handle<Counter>) {
        let mut led = self.shell.led.subscribe();
        let led = tokio::time::timeout(DEADLINE, led.wait_for(Option::is_some)).await.expect("it leads in time");
        led.expect("the shell lives").clone().expect("waited for")
    }

    pub(crate) fn leads(&self) -> bool {
        self.shell.led.borrow().is_some()
    }

    /// Waits until it ends, and says why.
    pub(crate) async fn end(self) -> Result<(), LedgerError> {
        tokio::time::timeout(DEADLINE, self.task).await.expect("it ends in time").expect("it does not panic")
    }

    /// Ends it cleanly.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.end().await.expect("a clean end");
    }

    /// Kills it: nothing of it runs on, nothing is given back.
    pub(crate) async fn kill(self) {
        self.task.abort();
        drop(self.task.await);
        self.shell.led.send_replace(None);
    }

    /// Gives a command to whoever leads among `instances`, again with the same id until it is taken or refused for good.
    pub(crate) async fn command(
        instances: &[&Self],
        id: CommandId,
        input: impl Fn() -> Input,
    ) -> Result<Answer, Refusal> {
        let start = Instant::now();
        loop {
            let led = instances.iter().find_map(|instance| instance.shell.led.borrow().clone());
            if let Some((_, handle)) = led {
                let given =
                    tokio::time::timeout(Duration::from_secs(8), handle.command(id, "user:test".into(), input())).await;
                match given {
                    Ok(Err(refusal)) if refusal.code == RefusalCode::Unavailable => {}
                    Ok(answer) => return answer,
                    Err(_) => {}
                }
            }
            assert!(start.elapsed() < DEADLINE, "nobody took the command in time");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub(crate) async fn state(handle: &Handle<Counter>) -> State {
    handle.query(|view| view.state.clone()).await.expect("the leader answers")
}

pub(crate) async fn state_hash(handle: &Handle<Counter>) -> [u8; 32] {
    handle.query(|view| view.state_hash()).await.expect("the leader answers")
}

/// Asks again and again until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < DEADLINE, "{what} did not come true in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
