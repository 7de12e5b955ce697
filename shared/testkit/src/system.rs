//! A new system on a private nats-server, and services of it that run within the test.

use std::time::Duration;

use muster_bus::streams::InitOptions;
use muster_bus::{Bus, BusOptions};
use muster_chassis::{CommonArguments, LogFormat};
use muster_model::SystemId;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::NatsServer;

/// Streams are so much smaller than a real system's.
const SIZE_DIVISOR: i64 = 64;
/// How long a service may take to end.
const END_LIMIT: Duration = Duration::from_secs(30);

/// A NATS with the streams and logs of a new system, and a person's connection to it.
#[derive(Debug)]
pub struct System {
    /// The server.
    pub nats: NatsServer,
    /// The connection of `user:anna`.
    pub bus: Bus,
}

impl System {
    /// Starts a server and makes a system on it.
    ///
    /// # Errors
    /// When one of both fails.
    pub async fn start() -> anyhow::Result<Self> {
        let nats = NatsServer::start()?;
        let mut options = BusOptions::insecure_local(&nats.url(), "test");
        options.actor = "user:anna".into();
        let bus = Bus::connect(&options).await?;
        bus.init_streams(InitOptions { replicas: 1, size_divisor: SIZE_DIVISOR }).await?;
        muster_ledger::initialise(&bus, SystemId([7; 16])).await?;
        Ok(Self { nats, bus })
    }

    /// One more connection.
    ///
    /// # Errors
    /// When the server can not be reached.
    pub async fn connect(&self, source: &str) -> anyhow::Result<Bus> {
        Ok(Bus::connect(&BusOptions::insecure_local(&self.nats.url(), source)).await?)
    }

    /// Runs a service on it.
    pub fn run<F>(&self, instance: &str, service: impl FnOnce(CommonArguments, CancellationToken) -> F) -> Running
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let arguments = CommonArguments {
            nats: self.nats.url(),
            credentials: None,
            insecure_local: true,
            instance: instance.into(),
            http: None,
            requests_per_second: 100,
            requests_burst: 500,
            log_format: LogFormat::Text,
        };
        let stop = CancellationToken::new();
        Running { task: tokio::spawn(service(arguments, stop.clone())), stop }
    }
}

/// A service that runs; it goes on when this is dropped.
#[derive(Debug)]
pub struct Running {
    /// Tells it to end.
    pub stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// Ends it cleanly.
    ///
    /// # Errors
    /// With which it ended, or when it does not end in time.
    pub async fn end(self) -> anyhow::Result<()> {
        self.stop.cancel();
        tokio::time::timeout(END_LIMIT, self.task).await??
    }
}
