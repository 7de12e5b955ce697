//! A private nats-server and PostgreSQL with loggers around them, and an agent's and a leader's way of speaking.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use clap::Parser;
use muster_bus::streams::InitOptions;
use muster_bus::{Authority, Bus, BusOptions, subjects};
use muster_model::{Incarnation, MachineId, Position, Term};
use muster_proto::v1;
use muster_proto::v1::envelope::Body;
use muster_store::{Access, Error, Store, StoreOptions};
use muster_telemetry_logger::Arguments;
use muster_testkit::{NatsServer, Postgres, Process, Spawn, until};
use prost::Message;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Whatever is waited for comes within this.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The PostgreSQL that tests share while one of them runs; each has a database of its own.
static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// Servers and connections of one test.
pub(crate) struct World {
    pub(crate) nats: NatsServer,
    /// A PostgreSQL of its own; none when it is shared.
    own: Option<Postgres>,
    _shared: Option<Arc<Postgres>>,
    pub(crate) url: String,
    pub(crate) bus: Bus,
    pub(crate) store: Store,
}

impl World {
    /// With a database in the shared PostgreSQL.
    pub(crate) async fn start() -> Self {
        let shared = tokio::task::block_in_place(shared);
        let name = format!("test{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let admin = Store::open(&shared.url(), &options()).expect("a URL");
        until_available(async || admin.client().await?.batch_execute("SELECT").await.map_err(Error::doing("ask")))
            .await;
        let client = admin.client().await.expect("connects");
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("makes a database");
        let url = shared.url();
        let url = format!("{}/{name}", url.strip_suffix("/postgres").expect("the database of the user"));
        Self::with(None, Some(shared), url, 1_000).await
    }

    /// With a PostgreSQL that the test may kill.
    pub(crate) async fn start_alone() -> Self {
        let own = tokio::task::block_in_place(|| Postgres::start().expect("PostgreSQL starts"));
        let url = own.url();
        // Whoever kills it fills the streams for minutes.
        Self::with(Some(own), None, url, 20).await
    }

    async fn with(own: Option<Postgres>, shared: Option<Arc<Postgres>>, url: String, size_divisor: i64) -> Self {
        let nats = tokio::task::block_in_place(|| NatsServer::start().expect("nats-server starts"));
        let bus = Bus::connect(&BusOptions::insecure_local(&nats.url(), "test")).await.expect("connects");
        init_streams(&bus, size_divisor).await;
        let store = Store::open(&url, &options()).expect("a URL");
        until_available(async || store.migrate().await.map(drop)).await;
        Self { nats, own, _shared: shared, url, bus, store }
    }

    /// Kills its own PostgreSQL.
    pub(crate) fn kill_postgres(&mut self) {
        self.own.as_mut().expect("started alone").kill9();
    }

    /// Starts it again.
    pub(crate) fn restart_postgres(&mut self) {
        let own = self.own.as_mut().expect("started alone");
        tokio::task::block_in_place(|| own.restart().expect("PostgreSQL restarts"));
    }

    /// A logger in this process; aborting it ends it anywhere, as a kill would.
    pub(crate) fn logger(&self) -> Logger {
        self.logger_at(&self.url)
    }

    /// The same with another way to PostgreSQL.
    pub(crate) fn logger_at(&self, postgres: &str) -> Logger {
        let arguments =
            Arguments::parse_from(["logger", "--insecure-local", "--nats", &self.nats.url(), "--postgres", postgres]);
        let stop = CancellationToken::new();
        let token = stop.clone();
        let task = tokio::spawn(async move { muster_telemetry_logger::run(&arguments, token).await });
        Logger { task, stop }
    }

    /// A logger in a process of its own, which can really be killed.
    pub(crate) fn logger_process(&self) -> Process {
        let words = ["--insecure-local", "--nats", &self.nats.url(), "--postgres", &self.url].map(str::to_owned);
        let spawn = Spawn {
            name: "telemetry-logger".into(),
            program: env!("CARGO_BIN_EXE_muster-telemetry-logger").into(),
            arguments: words.into(),
            environment: BTreeMap::new(),
            log: self.nats.directory().join("logger.log"),
            user: None,
        };
        Process::start(spawn).expect("the logger starts")
    }

    /// One number from the store.
    pub(crate) async fn count(&self, select: &str) -> i64 {
        self.try_count(select).await.expect("the store answers")
    }

    async fn try_count(&self, select: &str) -> Option<i64> {
        let client = self.store.client().await.ok()?;
        client.query_one(&format!("SELECT ({select})::bigint"), &[]).await.ok().and_then(|row| row.get(0))
    }

    /// One text from the store.
    pub(crate) async fn text(&self, select: &str) -> String {
        let client = self.store.client().await.expect("the store answers");
        client.query_one(&format!("SELECT ({select})::text"), &[]).await.expect("a row").get(0)
    }

    /// Waits until a number of the store is this.
    pub(crate) async fn wait_for(&self, select: &str, expected: i64) {
        let what = format!("{select} = {expected}");
        let look = async || Ok(self.try_count(select).await);
        until(&what, DEADLINE, look, |found| *found == Some(expected)).await.expect("it comes true");
    }

    /// Publishes until it is acknowledged.
    pub(crate) async fn store_message(&self, subject: &str, id: &str, payload: Vec<u8>) -> u64 {
        store_message(&self.bus, subject, id, payload).await
    }

    /// An agent's batch into TEL; `id` is what JetStream drops repeats by.
    pub(crate) async fn samples(&self, machine: &str, incarnation: u64, batch: v1::SampleBatch, id: &str) -> u64 {
        store_samples(&self.bus, machine, incarnation, batch, id).await
    }

    /// An agent's reports.
    pub(crate) async fn reports(&self, machine: &str, batch: u64, reports: Vec<v1::Report>) -> u64 {
        let subject = subjects::reports(&MachineId::new(machine).expect("a name"));
        let authority = Authority { incarnation: Incarnation(1), ..Authority::default() };
        let body = Body::ReportBatch(v1::ReportBatch { machine: machine.into(), batch, reports });
        let payload = self.bus.envelope(body, authority).encode_to_vec();
        self.store_message(&subject, &format!("{machine}-{batch}"), payload).await
    }
}

/// Publishes until it is acknowledged.
async fn store_message(bus: &Bus, subject: &str, id: &str, payload: Vec<u8>) -> u64 {
    let start = Instant::now();
    loop {
        match bus.store(subject, id, payload.clone().into()).await {
            Ok(sequence) => return sequence,
            Err(error) => assert!(start.elapsed() < DEADLINE, "{error}"),
        }
    }
}

/// An agent's batch into TEL, by a connection that a task has for itself.
pub(crate) async fn store_samples(bus: &Bus, machine: &str, incarnation: u64, batch: v1::SampleBatch, id: &str) -> u64 {
    let subject = subjects::telemetry(&MachineId::new(machine).expect("a name"));
    let authority = Authority { incarnation: Incarnation(incarnation), ..Authority::default() };
    let payload = bus.envelope(Body::SampleBatch(batch), authority).encode_to_vec();
    store_message(bus, &subject, id, payload).await
}

fn shared() -> Arc<Postgres> {
    let mut shared = SHARED.lock().expect("no test panics while it starts PostgreSQL");
    shared.upgrade().unwrap_or_else(|| {
        let postgres = Arc::new(Postgres::start().expect("PostgreSQL starts"));
        *shared = Arc::downgrade(&postgres);
        postgres
    })
}

/// A PostgreSQL that listens may still be starting up.
async fn until_available(mut attempt: impl AsyncFnMut() -> Result<(), Error>) {
    let look = async || match attempt().await {
        Err(error) if !error.is_unavailable() => Err(error.into()),
        attempted => Ok(attempted),
    };
    until("PostgreSQL is up", DEADLINE, look, Result::is_ok).await.expect("it starts").expect("it answers");
}

/// A running logger.
pub(crate) struct Logger {
    task: JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
}

impl Logger {
    /// Ends it wherever it is.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Ends it cleanly.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("no error");
    }

    /// Waits until it ends by itself, and says why.
    pub(crate) async fn failure(self) -> String {
        let ended = tokio::time::timeout(DEADLINE, self.task).await.expect("it ends in time").expect("no panic");
        format!("{:#}", ended.expect_err("it failed"))
    }
}

pub(crate) fn options() -> StoreOptions {
    StoreOptions {
        application: "test".into(),
        access: Access::Write,
        connections_max: 4,
        statement_timeout: Duration::from_secs(10),
    }
}

/// Makes the streams, small ones.
pub(crate) async fn init(bus: &Bus) {
    init_streams(bus, 1_000).await;
}

async fn init_streams(bus: &Bus, size_divisor: i64) {
    bus.init_streams(InitOptions { replicas: 1, size_divisor }).await.expect("streams are made");
}

pub(crate) fn process(number: u32) -> v1::ProcessId {
    v1::ProcessId { run: 1, dpid: Some(v1::Dpid { job: 1, process: number }), attempt: 1 }
}

/// A batch with `rows` rows of two values each, of process `number`.
pub(crate) fn batch(machine: &str, batch: u64, rows: usize) -> v1::SampleBatch {
    let metric =
        |name: &str, kind: v1::MetricKind| v1::Metric { name: name.into(), kind: kind.into(), unit: "1".into() };
    let layout = v1::Layout {
        id: Some(process(1)),
        module: "high-io".into(),
        metrics: vec![metric("level", v1::MetricKind::Gauge), metric("done", v1::MetricKind::Counter)],
        ..Default::default()
    };
    let start = 1_700_000_000_000_000_000 + i64::try_from(batch).expect("small") * 1_000_000_000;
    let row = |nth: usize| v1::SampleRow {
        time_ns: start + i64::try_from(nth).expect("small") * 1_000_000,
        layout: 0,
        values: vec![1.0, 2.0],
    };
    v1::SampleBatch { machine: machine.into(), batch, layouts: vec![layout], rows: (0..rows).map(row).collect() }
}

/// Writes turns of a log as a leader does: chained.
pub(crate) struct Leader {
    pub(crate) service: subjects::Service,
    pub(crate) event_type: &'static str,
    pub(crate) lineage: u64,
    previous: [u8; 32],
}

impl Leader {
    pub(crate) fn new(service: subjects::Service, event_type: &'static str) -> Self {
        Self { service, event_type, lineage: 1, previous: [0; 32] }
    }

    /// Appends one turn with one entry; each event is encoded.
    pub(crate) async fn turn(&mut self, world: &World, time_ns: i64, events: Vec<Vec<u8>>) -> u64 {
        let cause = v1::Cause { kind: Some(v1::cause::Kind::Own(v1::Own {})) };
        let events = events.into_iter().map(Into::into).collect();
        let entry =
            v1::Entry { cause: Some(cause), actor: "user:anna".into(), events, time_ns, ..v1::Entry::default() };
        let block = v1::TurnBlock { entries: vec![entry] }.encode_to_vec();
        let turn = v1::Turn {
            previous_hash: self.previous.to_vec().into(),
            event_type: self.event_type.into(),
            compression: v1::Compression::Zstd.into(),
            block: zstd::encode_all(block.as_slice(), 1).expect("compresses").into(),
        };
        let authority = Authority { position: Position::new(self.lineage, 0), term: Term(1), ..Authority::default() };
        let payload = world.bus.envelope(Body::Turn(turn), authority).encode_to_vec();
        self.previous = *blake3::hash(&payload).as_bytes();
        let id = format!("{:?}-{}", self.service, time_ns);
        world.store_message(&subjects::log(self.service, "turn"), &id, payload).await
    }
}
