//! Instances of the counting ledger on one private nats-server, and what tests ask of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use muster_bus::streams::{InitOptions, StreamState};
use muster_bus::subjects::Service;
use muster_bus::{Authority, Bus, BusError, BusOptions};
use muster_ledger::{Answer, Handle, Lead, LedgerError, LedgerOptions, Listening, Shell, Source, listen_while_leading};
use muster_model::{CommandId, Refusal, RefusalCode, SystemId, Term};
use muster_testkit::{NatsServer, until};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::counter::{Counter, Input, State};
use crate::requests::CounterRequests;

pub(crate) const SERVICE: Service = Service::Reservation;
pub(crate) const LOG: &str = "RESERVATIONS";
pub(crate) const SYSTEM: SystemId = SystemId([7; 16]);
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A server with a new system.
pub(crate) async fn system() -> (NatsServer, Bus) {
    recorder();
    let server = NatsServer::start().expect("nats-server starts");
    let bus = connect(&server.url()).await;
    init(&bus).await;
    new_system(&bus).await;
    (server, bus)
}

pub(crate) async fn init(bus: &Bus) {
    init_with(bus, 1).await.expect("streams are made");
}

pub(crate) async fn init_with(bus: &Bus, replicas: usize) -> Result<(), BusError> {
    bus.init_streams(InitOptions { replicas, size_divisor: 64 }).await
}

pub(crate) async fn new_system(bus: &Bus) {
    muster_ledger::initialise(bus, SYSTEM).await.expect("a new system");
}

/// What the log's stream holds.
pub(crate) async fn log_state(bus: &Bus) -> StreamState {
    bus.stream_state(LOG).await.expect("the server answers").expect("the log")
}

pub(crate) async fn connect(url: &str) -> Bus {
    Bus::connect(&BusOptions::insecure_local(url, "test")).await.expect("a connection")
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
    bus: Bus,
    /// How it answers requests on the bus, if it does.
    requests: Option<Arc<CounterRequests>>,
}

impl Shell<Counter> for Announcer {
    async fn lead(self: Arc<Self>, handle: Handle<Counter>, lead: Lead) {
        self.led.send_replace(Some((lead.term, handle.clone())));
        if let Some(requests) = &self.requests {
            listen_while_leading(&lead, || self.listen(requests, &handle, &lead)).await;
        }
        lead.ended.cancelled().await;
        self.led.send_replace(None);
    }

    async fn perform(self: Arc<Self>, effect: u64, authority: Authority, handle: Handle<Counter>) {
        self.announced.lock().expect("not poisoned").entry(effect).or_default().push(authority.term);
        handle.submit(Input::Announced(effect)).await;
    }
}

impl Announcer {
    async fn listen(
        &self,
        requests: &Arc<CounterRequests>,
        handle: &Handle<Counter>,
        lead: &Lead,
    ) -> Result<(), BusError> {
        Listening::begin(&self.bus, requests, handle, lead).await?.until_ended(lead).await;
        Ok(())
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

    /// One that answers requests on the bus.
    pub(crate) fn start_serving(bus: &Bus, name: &str, requests: Arc<CounterRequests>) -> Self {
        Self::start_any(bus, options(name), Some(requests))
    }

    pub(crate) fn start_with(bus: &Bus, options: LedgerOptions<Counter>) -> Self {
        Self::start_any(bus, options, None)
    }

    fn start_any(bus: &Bus, options: LedgerOptions<Counter>, requests: Option<Arc<CounterRequests>>) -> Self {
        let (led, _) = watch::channel(None);
        let shell = Arc::new(Announcer { led, announced: Mutex::default(), bus: bus.clone(), requests });
        let stop = CancellationToken::new();
        let task = tokio::spawn(muster_ledger::run(bus.clone(), options, shell.clone(), stop.clone()));
        Self { shell, task, stop }
    }

    /// Waits until it leads.
    pub(crate) async fn leading(&self) -> (Term, Handle<Counter>) {
        let mut led = self.shell.led.subscribe();
        let led = tokio::time::timeout(DEADLINE, led.wait_for(Option::is_some)).await;
        assert!(!self.task.is_finished(), "it ended, and does not lead");
        led.expect("it leads in time").expect("the shell lives").clone().expect("waited for")
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
    until(what, DEADLINE, async || Ok(condition().await), |holds| *holds).await.expect("it comes true");
}

/// The state in the end, as a fresh instance folds it.
pub(crate) async fn end_state(bus: &Bus) -> State {
    let instance = Instance::start(bus, "end");
    let (_, handle) = instance.leading().await;
    all_announced(&handle).await;
    let state = state(&handle).await;
    instance.stop().await;
    state
}

/// Waits until every token is announced: then nothing more is appended by itself.
pub(crate) async fn all_announced(handle: &Handle<Counter>) {
    eventually("everything is announced", async || state(handle).await.unannounced.is_empty()).await;
}

/// Value of a counter with these labels, as the whole process counted it.
pub(crate) fn counted(name: &str, labels: &str) -> u64 {
    let line = format!("{name}{{{labels}}} ");
    let text = recorder().render();
    text.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
}

/// Counts for the whole process; before anything is counted that a test looks at.
pub(crate) fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| PrometheusBuilder::new().install_recorder().expect("the only recorder"))
}
