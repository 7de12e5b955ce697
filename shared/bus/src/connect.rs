//! Connecting: one connection per process, that reconnects with jitter and for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream;
use muster_model::PoolTime;

use crate::{BusError, Clock};

/// The least server version whose permissions can be trusted (facts: advisories of 2026).
const SERVER_NEEDED: &str = "2.14.3";
/// How often an idle connection is tried; two missed end it.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Acknowledgements of JetStream are waited for so long.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(2);

/// How to connect.
#[derive(Debug, Clone)]
pub struct BusOptions {
    /// `nats://host:port`, several with commas.
    pub url: String,
    /// Who this process is, for envelopes: `scheduler/a`, `agent/node-1`, `cli/anna`.
    pub source: String,
    /// On whose behalf it speaks: `user:anna`; services leave it empty.
    pub actor: String,
    /// How long the first connection may take.
    pub connect_timeout: Duration,
}

impl BusOptions {
    /// Options for a process, with a first connection within 5 s.
    #[must_use]
    pub fn new(url: &str, source: &str) -> Self {
        Self { url: url.into(), source: source.into(), actor: String::new(), connect_timeout: Duration::from_secs(5) }
    }
}

/// A connection to the pool's bus. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bus {
    client: async_nats::Client,
    jetstream: jetstream::Context,
    pub(crate) source: Arc<str>,
    pub(crate) actor: Arc<str>,
    clock: Arc<Clock>,
    connections: Arc<AtomicU64>,
}

impl Bus {
    /// Connects, and refuses a server that is too old.
    ///
    /// # Errors
    /// [`BusError::Unreachable`] after `connect_timeout`; [`BusError::TooOld`].
    pub async fn connect(options: &BusOptions) -> Result<Self, BusError> {
        let connections = Arc::new(AtomicU64::new(0));
        let (connected, dropped) = (connections.clone(), Arc::new(AtomicU64::new(0)));
        let client_options = async_nats::ConnectOptions::new()
            .name(&options.source)
            .ping_interval(PING_INTERVAL)
            .connection_timeout(Duration::from_secs(2))
            .request_timeout(Some(Duration::from_secs(5)))
            .subscription_capacity(65_536)
            .max_reconnects(None)
            .reconnect_delay_callback(reconnect_delay)
            .event_callback(move |event| {
                let (connected, dropped) = (connected.clone(), dropped.clone());
                async move { note(&event, &connected, &dropped) }
            });
        let unreachable = |reason: String| BusError::Unreachable {
            url: options.url.clone(),
            waited: options.connect_timeout,
            reason,
        };
        let servers: Vec<String> = options.url.split(',').map(str::to_owned).collect();
        let client = tokio::time::timeout(options.connect_timeout, connect_retrying(&client_options, &servers))
            .await
            .map_err(|_| unreachable("no answer".into()))?
            .map_err(unreachable)?;
        let found = client.server_info().version;
        if !is_new_enough(&found) {
            return Err(BusError::TooOld { url: options.url.clone(), found, needed: SERVER_NEEDED });
        }
        let jetstream = jetstream::ContextBuilder::new()
            .timeout(Duration::from_secs(5))
            .ack_timeout(ACKNOWLEDGE_TIMEOUT)
            .build(client.clone());
        let (source, actor) = (options.source.as_str().into(), options.actor.as_str().into());
        Ok(Self { client, jetstream, source, actor, clock: Arc::new(Clock::new()), connections })
    }

    /// The client itself; for muster-ledger.
    #[must_use]
    pub fn client(&self) -> &async_nats::Client {
        &self.client
    }

    /// JetStream itself; for muster-ledger.
    #[must_use]
    pub fn jetstream(&self) -> &jetstream::Context {
        &self.jetstream
    }

    /// The pool clock as this process follows it.
    #[must_use]
    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// The pool time now.
    #[must_use]
    pub fn now(&self) -> PoolTime {
        self.clock.now()
    }

    /// Whether there is a connection now. What is published without one is buffered and sent later, which a heartbeat must not be.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Rises with every connection that was made: an agent says hello again when it does.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Acquire)
    }

    /// Sends what is buffered, and waits for the server to have it.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn flush(&self) -> Result<(), BusError> {
        self.client.flush().await.map_err(|error| BusError::failed("flush", error))
    }
}

/// Tries until a server answers; the caller's time-out ends it. A refusal (authorisation) ends it at once.
async fn connect_retrying(
    options: &async_nats::ConnectOptions,
    servers: &[String],
) -> Result<async_nats::Client, String> {
    loop {
        match options.clone().connect(servers).await {
            Ok(client) => return Ok(client),
            Err(error) if error.kind() == async_nats::ConnectErrorKind::ServerParse => return Err(error.to_string()),
            Err(error) => tracing::debug!(%error, "connecting failed, trying again"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Grows from 0.1 s to 2 s, with jitter, so that a restarted server does not meet every client at once. Zero before the first.
fn reconnect_delay(attempts: usize) -> Duration {
    if attempts <= 1 {
        return Duration::from_millis(rand::random_range(0..50));
    }
    let ceiling = 100_u64.saturating_mul(1 << attempts.min(5)).min(2_000);
    Duration::from_millis(rand::random_range(ceiling / 2..=ceiling))
}

/// Messages are dropped by the thousand, or not at all: said of the first, the second, the fourth and so on.
fn note(event: &async_nats::Event, connections: &AtomicU64, dropped: &AtomicU64) {
    match event {
        async_nats::Event::Connected => {
            connections.fetch_add(1, Ordering::AcqRel);
            metrics::counter!(crate::metrics::CONNECTIONS).increment(1);
            tracing::debug!("connected to NATS");
        }
        async_nats::Event::SlowConsumer(_) => {
            metrics::counter!(crate::metrics::SLOW_CONSUMERS).increment(1);
            let total = dropped.fetch_add(1, Ordering::Relaxed) + 1;
            if total.is_power_of_two() {
                tracing::warn!(total, "a subscription is full: messages were dropped");
            }
        }
        other => tracing::info!(event = %other, "connection changed"),
    }
}

fn is_new_enough(version: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        text.split(['.', '-', '+']).take(3).map(|part| part.parse().unwrap_or(0)).collect()
    };
    numbers(version) >= numbers(SERVER_NEEDED)
}

#[cfg(test)]
mod tests {
    #[test]
    fn old_servers_are_refused() {
        assert!(super::is_new_enough("2.14.3") && super::is_new_enough("2.15.1") && super::is_new_enough("3.0.0"));
        assert!(!super::is_new_enough("2.14.2") && !super::is_new_enough("2.10.22"));
    }
}
