//! Connecting: one connection per process, that reconnects with jitter and for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream;
use bytes::Bytes;
use muster_model::PoolTime;
use tokio::sync::broadcast;

use crate::subjects::{self, Service};
use crate::{Access, BusError, Clock, Identity, RequestLimits, SigningFile};

/// The least server version whose permissions can be trusted (facts: advisories of 2026).
const SERVER_NEEDED: &str = "2.14.3";
/// How often an idle connection is tried; two missed end it.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Refusals of the server that somebody who asks has not heard yet, at most.
const FORBIDDEN_MAX: usize = 64;
/// Acknowledgements of JetStream are waited for so long.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the server tells a connection who it is: something that everybody may ask, after everything that was said before.
pub(crate) const WHO_AM_I: &str = "$SYS.REQ.USER.INFO";

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
    /// With which key, if any.
    pub access: Access,
    /// By which key agents know what this process tells them; none for who tells them nothing, and in labs without keys.
    pub signing: Option<Arc<SigningFile>>,
    /// What others may ask of this process.
    pub limits: RequestLimits,
}

impl BusOptions {
    /// Options for a process, with a first connection within 5 s.
    #[must_use]
    pub fn new(url: &str, source: &str, access: Access) -> Self {
        let connect_timeout = Duration::from_secs(5);
        let (url, source, actor, limits) = (url.into(), source.into(), String::new(), RequestLimits::default());
        Self { url, source, actor, connect_timeout, access, signing: None, limits }
    }

    /// Options without a key, for a server that nobody else reaches: tests and measurements on this host.
    #[must_use]
    pub fn insecure_local(url: &str, source: &str) -> Self {
        Self::new(url, source, Access::InsecureLocal)
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
    /// Subjects that the server refused to publish on, as it says so.
    pub(crate) forbidden: broadcast::Sender<Arc<str>>,
    pub(crate) signing: Option<Arc<SigningFile>>,
    /// Who this is to the servers; none on a bus without identities.
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) limits: RequestLimits,
    options: Arc<BusOptions>,
}

impl Bus {
    /// Connects, and refuses a server that is too old, or, with credentials, one that lets everybody in.
    ///
    /// # Errors
    /// [`BusError::Unreachable`] after `connect_timeout`; [`BusError::NotAdmitted`], [`BusError::TooOld`], [`BusError::Open`].
    pub async fn connect(options: &BusOptions) -> Result<Self, BusError> {
        let connections = Arc::new(AtomicU64::new(0));
        let (connected, dropped) = (connections.clone(), Arc::new(AtomicU64::new(0)));
        let (forbidden, _) = broadcast::channel(FORBIDDEN_MAX);
        let refusals = forbidden.clone();
        let client_options = options_of(&options.access)
            .name(&options.source)
            .ping_interval(PING_INTERVAL)
            .connection_timeout(Duration::from_secs(2))
            .request_timeout(Some(Duration::from_secs(5)))
            .subscription_capacity(65_536)
            .max_reconnects(None)
            .reconnect_delay_callback(reconnect_delay)
            .event_callback(move |event| {
                let (connected, dropped, refusals) = (connected.clone(), dropped.clone(), refusals.clone());
                async move {
                    if let Some(subject) = forbidden_subject(&event) {
                        // Nobody may be asking anything now.
                        let _ = refusals.send(subject);
                    }
                    note(&event, &connected, &dropped);
                }
            });
        let unreachable = |reason: String| BusError::Unreachable {
            url: options.url.clone(),
            waited: options.connect_timeout,
            reason,
        };
        let servers: Vec<String> = options.url.split(',').map(str::to_owned).collect();
        let connected =
            tokio::time::timeout(options.connect_timeout, connect_retrying(&client_options, &servers)).await;
        let client = connected.map_err(|_| unreachable("no answer".into()))?.map_err(|failed| match failed {
            Ended::Useless(reason) => unreachable(reason),
            Ended::NotAdmitted => not_admitted(options),
        })?;
        check_server(&client.server_info(), options)?;
        let jetstream = jetstream::ContextBuilder::new()
            .timeout(Duration::from_secs(5))
            .ack_timeout(ACKNOWLEDGE_TIMEOUT)
            .build(client.clone());
        let (source, actor) = (options.source.as_str().into(), options.actor.as_str().into());
        let (clock, signing) = (Arc::new(Clock::new()), options.signing.clone());
        let identity = options.access.identity().cloned().map(Arc::new);
        let (limits, options) = (options.limits, Arc::new(options.clone()));
        Ok(Self { client, jetstream, source, actor, clock, connections, forbidden, signing, identity, limits, options })
    }

    /// Another connection of the same process, for what comes from many: a flood there delays nothing that comes and goes on this one.
    ///
    /// # Errors
    /// As [`Bus::connect`].
    pub(crate) async fn connect_beside(&self) -> Result<Self, BusError> {
        let mut options = BusOptions::clone(&self.options);
        options.source.push_str("/requests");
        Self::connect(&options).await
    }

    /// Where this process asks a service: on a subject that nobody else may publish on, where the bus knows identities.
    #[must_use]
    pub fn service(&self, service: Service, verb: &str) -> String {
        match &self.identity {
            Some(identity) => subjects::service_from(service, verb, identity),
            None => subjects::service(service, verb),
        }
    }

    /// The same connection, where so many requests of one identity are worked on at once.
    #[must_use]
    pub fn with_requests_at_once(mut self, at_once: usize) -> Self {
        self.limits.at_once = at_once;
        self
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

    /// Hands what is buffered to the kernel at once, for what must not wait for more. Whether the server has it, [`Bus::settled`] tells.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn flush(&self) -> Result<(), BusError> {
        self.client.flush().await.map_err(|error| BusError::failed("flush", error))
    }

    /// Waits until the server that this connection leads to has done everything that was said on it until now: what others say to it
    /// afterwards meets the subscriptions made before. Other servers of a cluster hear of them a moment later.
    ///
    /// # Errors
    /// When the server does not answer in time.
    pub async fn settled(&self) -> Result<(), BusError> {
        let answer = self.client.request(WHO_AM_I, Bytes::new()).await;
        answer.map(drop).map_err(|error| BusError::failed("wait for the server", error))
    }
}

/// The client's options that follow from who it is.
fn options_of(access: &Access) -> async_nats::ConnectOptions {
    match access {
        Access::InsecureLocal => async_nats::ConnectOptions::new(),
        Access::Credentials(credentials) => {
            let inbox = credentials.identity().inbox();
            let credentials = credentials.clone();
            let sign = move |nonce: Vec<u8>| {
                let signed = credentials.sign(&nonce).map_err(async_nats::AuthError::new);
                async move {
                    let (key, signature) = signed?;
                    let mut auth = async_nats::Auth::new();
                    (auth.nkey, auth.signature) = (Some(key), Some(signature));
                    Ok(auth)
                }
            };
            async_nats::ConnectOptions::with_auth_callback(sign).custom_inbox_prefix(inbox)
        }
    }
}

/// Refuses a server whose permissions can not be trusted, or that has none.
fn check_server(server: &async_nats::ServerInfo, options: &BusOptions) -> Result<(), BusError> {
    let url = options.url.clone();
    if !is_new_enough(&server.version) {
        return Err(BusError::TooOld { url, found: server.version.clone(), needed: SERVER_NEEDED });
    }
    match options.access {
        Access::Credentials(_) if !server.auth_required => Err(BusError::Open { url }),
        Access::Credentials(_) | Access::InsecureLocal => Ok(()),
    }
}

fn not_admitted(options: &BusOptions) -> BusError {
    let identity = options.access.identity().map_or_else(|| "nobody".into(), ToString::to_string);
    BusError::NotAdmitted { url: options.url.clone(), identity }
}

/// Why trying to connect ended.
enum Ended {
    /// What was given as servers is none.
    Useless(String),
    /// A server does not know the key, or wants one.
    NotAdmitted,
}

/// Tries until a server answers; the caller's time-out ends it. A refusal (authorisation) ends it at once.
async fn connect_retrying(
    options: &async_nats::ConnectOptions,
    servers: &[String],
) -> Result<async_nats::Client, Ended> {
    use async_nats::ConnectErrorKind;
    loop {
        match options.clone().connect(servers).await {
            Ok(client) => return Ok(client),
            Err(error) => match error.kind() {
                ConnectErrorKind::ServerParse => return Err(Ended::Useless(error.to_string())),
                ConnectErrorKind::AuthorizationViolation => return Err(Ended::NotAdmitted),
                _ => tracing::debug!(%error, "connecting failed, trying again"),
            },
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

/// The subject that the server refused to publish on.
fn forbidden_subject(event: &async_nats::Event) -> Option<Arc<str>> {
    let async_nats::Event::ServerError(async_nats::ServerError::Other(text)) = event else { return None };
    let (_, rest) = text.split_once("Permissions Violation for Publish to \"")?;
    Some(rest.split('"').next()?.into())
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
        // The server says here what it refuses: a subject that this identity may not use, or the identity itself.
        async_nats::Event::ServerError(error) => tracing::warn!(%error, "the server refused something"),
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

    #[test]
    fn the_server_names_the_subject_that_it_refuses() {
        let said = |text: &str| async_nats::Event::ServerError(async_nats::ServerError::Other(text.into()));
        let refused = super::forbidden_subject(&said("Permissions Violation for Publish to \"a.b\""));
        assert_eq!(refused.as_deref(), Some("a.b"));
        assert_eq!(super::forbidden_subject(&said("Permissions Violation for Subscription to \"a.b\"")), None);
    }
}
