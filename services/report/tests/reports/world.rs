//! A private nats-server, PostgreSQL and report service.

use std::time::{Duration, Instant};

use clap::Parser;
use muster_bus::streams::InitOptions;
use muster_bus::{Bus, BusOptions};
use muster_proto::v1;
use muster_proto::v1::report_query::Kind;
use muster_store::{Access, REPORT_ROLE, Store, StoreOptions};
use muster_telemetry::records::Records;
use muster_telemetry::write::{KnownLayouts, Outcome, commit, load_offset};
use muster_telemetry::{Format, render};
use muster_testkit::{NatsServer, Postgres};
use tokio_util::sync::CancellationToken;

use crate::recorded;

/// Whatever is waited for comes within this.
const LIMIT: Duration = Duration::from_secs(20);

/// All of it, with the recorded run.
pub(crate) struct World {
    _nats: NatsServer,
    _postgres: Postgres,
    bus: Bus,
    pub(crate) store: Store,
    stop: CancellationToken,
}

impl World {
    pub(crate) async fn recorded() -> Self {
        let servers =
            || (NatsServer::start().expect("nats-server starts"), Postgres::start().expect("PostgreSQL starts"));
        let (nats, postgres) = tokio::task::spawn_blocking(servers).await.expect("no panic");
        let bus = Bus::connect(&BusOptions::insecure_local(&nats.url(), "test")).await.expect("connects");
        bus.init_streams(InitOptions { replicas: 1, size_divisor: 1_000 }).await.expect("streams");
        let store = filled(&postgres).await;
        // As it is set up: it may read, and nothing else.
        store.let_report_in("a password").await.expect("the role is there");
        let as_reader = postgres.url_of(REPORT_ROLE);
        let arguments = ["report", "--insecure-local", "--nats", &nats.url(), "--postgres", &as_reader];
        let arguments = muster_report::Arguments::parse_from(arguments);
        let stop = CancellationToken::new();
        let token = stop.clone();
        tokio::spawn(async move { muster_report::run(&arguments, token).await.expect("no error") });
        Self { _nats: nats, _postgres: postgres, bus, store, stop }
    }

    pub(crate) async fn ask(&self, kind: Kind) -> Result<v1::ReportReply, v1::Refusal> {
        crate::common::ask(&self.bus, kind, LIMIT).await
    }

    /// What a person sees.
    pub(crate) async fn table(&self, kind: Kind) -> String {
        let asked = format!("{kind:?}");
        let reply = self.ask(kind).await.unwrap_or_else(|refusal| panic!("{asked}: {refusal:?}"));
        render(&reply, Format::Terminal)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn filled(postgres: &Postgres) -> Store {
    let options = StoreOptions {
        application: "test".into(),
        access: Access::Write,
        connections_max: 2,
        statement_timeout: Duration::from_secs(10),
    };
    let store = Store::open(&postgres.url(), &options).expect("a URL");
    let start = Instant::now();
    while let Err(error) = store.migrate().await {
        assert!(error.is_unavailable() && start.elapsed() < LIMIT, "{error}");
    }
    for (stream, records) in recorded::streams() {
        put(&store, stream, &records).await;
    }
    store
}

async fn put(store: &Store, stream: &str, records: &Records) {
    let offset = load_offset(store, stream, 1).await.expect("reads").offset;
    let committed = commit(store, &mut KnownLayouts::default(), &offset, 9_999, records).await.expect("commits");
    assert_eq!(committed, Outcome::Committed);
}
