//! The lease decides who tries to lead; the log decides who does.
//!
//! Asks the bucket of leases, and keeps what `holding` decides from the answers. Not responsible for what a leader does with it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::kv;
use bytes::Bytes;
use muster_bus::subjects::{self, Service};
use muster_bus::{Bus, BusError, RequestError, boot_time, streams};
use muster_proto::v1::Envelope;

use crate::holding::{self, Held, Holding, Look, RENEW_EVERY, Renewal};

/// How soon the loss of a lease is noticed.
const LOSS_CHECK: Duration = Duration::from_millis(50);
/// How long one question to the bucket may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait before the bucket is asked again.
const RETRY_DELAY: Duration = Duration::from_millis(200);
/// How often a follower looks for a leader.
const PROBE_EVERY: Duration = Duration::from_millis(120);
/// A leader that does not answer a probe for so long is slow, not gone.
const PROBE_TIMEOUT: Duration = Duration::from_millis(250);

/// A lease that is or was ours.
#[derive(Debug)]
pub(crate) struct Lease {
    store: kv::Store,
    key: &'static str,
    value: Bytes,
    holding: Mutex<Holding>,
}

impl Lease {
    /// Whether the lease holds by our own clock.
    pub(crate) fn is_valid(&self) -> bool {
        self.holding().is_valid(boot_time())
    }

    /// The leader's loop says that it turns.
    pub(crate) fn turned(&self) {
        self.holding().turned(boot_time());
    }

    fn holding(&self) -> MutexGuard<'_, Holding> {
        // Whatever panicked: each change is one assignment.
        self.holding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews the lease until it is lost.
    pub(crate) async fn keep(&self) {
        let mut renewed = true;
        loop {
            tokio::time::sleep(if renewed { RENEW_EVERY } else { RETRY_DELAY }).await;
            let renewal = self.holding().renewal(boot_time());
            match renewal {
                Renewal::Lost => return,
                Renewal::Hangs => {
                    tracing::warn!("the leader's loop does not turn: its lease is not renewed");
                    renewed = false;
                }
                Renewal::Over(revision) => renewed = self.renew(revision).await,
            }
        }
    }

    /// Waits until the lease is lost.
    pub(crate) async fn lost(&self) {
        while self.is_valid() {
            tokio::time::sleep(LOSS_CHECK).await;
        }
    }

    /// Gives the lease back, so that another can lead at once.
    pub(crate) async fn release(&self) {
        let revision = {
            let mut holding = self.holding();
            holding.end();
            holding.revision()
        };
        let deleted =
            tokio::time::timeout(ASK_TIMEOUT, self.store.delete_expect_revision(self.key, Some(revision))).await;
        if !matches!(deleted, Ok(Ok(()))) {
            tracing::debug!(key = self.key, "a lease was not given back: it ends by its age");
        }
    }

    async fn renew(&self, revision: u64) -> bool {
        let sent = boot_time();
        let updating = self.store.update(self.key, self.value.clone(), revision);
        if let Ok(Ok(revision)) = tokio::time::timeout(ASK_TIMEOUT, updating).await {
            self.holding().renewed(sent, revision);
            return true;
        }
        self.read_back().await;
        false
    }

    /// After a renewal with unknown outcome.
    async fn read_back(&self) {
        let Ok(Ok(entry)) = tokio::time::timeout(ASK_TIMEOUT, self.store.entry(self.key)).await else { return };
        let held = held(entry.as_ref(), &self.value);
        if matches!(held, Held::Others(_)) {
            tracing::info!(key = self.key, "another instance took the lease");
        }
        self.holding().read_back(held);
    }
}

/// What stands in the bucket, as the holder of `value` sees it.
fn held(entry: Option<&kv::Entry>, value: &Bytes) -> Held {
    match entry {
        None => Held::Nothing(0),
        Some(entry) if entry.operation != kv::Operation::Put => Held::Nothing(entry.revision),
        Some(entry) if entry.value == *value => Held::Ours(entry.revision),
        Some(entry) => Held::Others(entry.revision),
    }
}

/// Looks for a leader, and takes the lease when there is none.
pub(crate) async fn acquire(bus: &Bus, service: Service, instance: &str) -> Lease {
    let mut candidate = Candidate { bus, service, value: value(instance), looking: holding::Candidate::default() };
    loop {
        match candidate.round().await {
            Ok(Some(lease)) => return lease,
            Ok(None) => tokio::time::sleep(PROBE_EVERY).await,
            Err(error) => {
                tracing::debug!(%error, "looking for a leader failed, trying again");
                candidate.looking.failed();
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }
}

/// Instance, and a nonce: a process that comes back under the same name is another holder.
fn value(instance: &str) -> Bytes {
    format!("{instance} {}", uuid::Uuid::now_v7()).into()
}

struct Candidate<'a> {
    bus: &'a Bus,
    service: Service,
    value: Bytes,
    looking: holding::Candidate,
}

impl Candidate<'_> {
    async fn round(&mut self) -> Result<Option<Lease>, BusError> {
        let store = bounded("open the bucket of leases", self.bus.jetstream().get_key_value(streams::LEASES)).await?;
        let entry = bounded("read the lease", store.entry(self.service.as_str())).await?;
        let held = held(entry.as_ref(), &self.value);
        let revision = match (self.looking.look(held), held) {
            (Look::Take(revision), _) => return self.take(store, revision).await,
            (Look::Probe, Held::Ours(revision) | Held::Others(revision) | Held::Nothing(revision)) => revision,
        };
        if !self.looking.probed(self.is_leader_there().await) {
            return Ok(None);
        }
        tracing::info!(service = self.service.as_str(), "nobody answers as leader: taking the lease");
        self.take(store, revision).await
    }

    /// False only when the server knows that nobody listens.
    async fn is_leader_there(&self) -> bool {
        let asked = self.bus.request(&subjects::leader(self.service), &Envelope::default(), PROBE_TIMEOUT).await;
        !matches!(asked, Err(RequestError::NoResponders { .. }))
    }

    async fn take(&self, store: kv::Store, revision: u64) -> Result<Option<Lease>, BusError> {
        let sent = boot_time();
        let key = self.service.as_str();
        match tokio::time::timeout(ASK_TIMEOUT, store.update(key, self.value.clone(), revision)).await {
            Ok(Ok(revision)) => Ok(Some(Lease {
                store,
                key,
                value: self.value.clone(),
                holding: Mutex::new(Holding::taken(sent, revision, boot_time())),
            })),
            // Another was quicker, or the outcome is unknown: the next round reads what stands there.
            Ok(Err(error)) => {
                tracing::debug!(%error, "the lease was not taken");
                Ok(None)
            }
            Err(_) => Ok(None),
        }
    }
}

async fn bounded<T, E: std::fmt::Display>(
    what: &str,
    asking: impl Future<Output = Result<T, E>>,
) -> Result<T, BusError> {
    let failed = |reason: String| BusError::Failed { what: what.into(), reason };
    let answer = tokio::time::timeout(ASK_TIMEOUT, asking).await.map_err(|_| failed("no answer".into()))?;
    answer.map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
