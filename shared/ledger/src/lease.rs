//! The lease decides who tries to lead; the log decides who does.
//!
//! A lease is counted on its holder's own CLOCK_BOOTTIME, from before the renewal was sent: what the server thinks of its age does
//! not matter here. Not responsible for what a leader does with it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream::kv;
use bytes::Bytes;
use muster_bus::subjects::{self, Service};
use muster_bus::{Bus, BusError, RequestError, boot_time, streams};
use muster_model::nanoseconds;
use muster_proto::v1::Envelope;

/// How often a lease is renewed; and a loop that did not turn for so long does not renew.
const RENEW_EVERY: Duration = Duration::from_secs(2);
/// How soon the loss of a lease is noticed.
const LOSS_CHECK: Duration = Duration::from_millis(50);
/// How long one question to the bucket may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait before the bucket is asked again.
const RETRY_DELAY: Duration = Duration::from_millis(200);
/// How often a follower looks for a leader.
const PROBE_EVERY: Duration = Duration::from_millis(120);
/// A leader that does not answer a probe for so long is slow, not gone.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// So many probes that reach nobody, one after the other, let a follower take the lease of a dead leader.
const PROBES_TO_TAKE: u32 = 3;

/// A lease that is or was ours.
#[derive(Debug)]
pub(crate) struct Lease {
    store: kv::Store,
    key: &'static str,
    value: Bytes,
    revision: AtomicU64,
    valid_until: AtomicI64,
    turned_at: AtomicI64,
}

impl Lease {
    /// Whether the lease holds by our own clock.
    pub(crate) fn is_valid(&self) -> bool {
        boot_time() < self.valid_until.load(Ordering::Acquire)
    }

    /// The leader's loop says that it turns.
    pub(crate) fn turned(&self) {
        self.turned_at.store(boot_time(), Ordering::Release);
    }

    /// Renews the lease until it is lost.
    pub(crate) async fn keep(&self) {
        let mut renewed = true;
        loop {
            tokio::time::sleep(if renewed { RENEW_EVERY } else { RETRY_DELAY }).await;
            if !self.is_valid() {
                return;
            }
            let turned = boot_time() - self.turned_at.load(Ordering::Acquire);
            if turned > nanoseconds(RENEW_EVERY) {
                tracing::warn!("the leader's loop does not turn: its lease is not renewed");
                renewed = false;
                continue;
            }
            renewed = self.renew().await;
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
        self.valid_until.store(0, Ordering::Release);
        let revision = self.revision.load(Ordering::Acquire);
        let deleted =
            tokio::time::timeout(ASK_TIMEOUT, self.store.delete_expect_revision(self.key, Some(revision))).await;
        if !matches!(deleted, Ok(Ok(()))) {
            tracing::debug!(key = self.key, "a lease was not given back: it ends by its age");
        }
    }

    async fn renew(&self) -> bool {
        let sent = boot_time();
        let revision = self.revision.load(Ordering::Acquire);
        let updating = self.store.update(self.key, self.value.clone(), revision);
        if let Ok(Ok(revision)) = tokio::time::timeout(ASK_TIMEOUT, updating).await {
            self.revision.store(revision, Ordering::Release);
            self.valid_until.store(sent + nanoseconds(streams::LEASE_AGE), Ordering::Release);
            return true;
        }
        self.read_back().await;
        false
    }

    /// After a renewal with unknown outcome: adopts the revision of our own value, and sees the loss of the lease. How long the lease
    /// holds is not prolonged by it.
    async fn read_back(&self) {
        match tokio::time::timeout(ASK_TIMEOUT, self.store.entry(self.key)).await {
            Ok(Ok(Some(entry))) if entry.operation == kv::Operation::Put && entry.value == self.value => {
                self.revision.store(entry.revision, Ordering::Release);
            }
            Ok(Ok(Some(entry))) if entry.operation == kv::Operation::Put => {
                tracing::info!(key = self.key, "another instance took the lease");
                self.valid_until.store(0, Ordering::Release);
            }
            Ok(Ok(found)) => {
                // Expired or lost with the server: nobody holds it, and ours still counts. Renewing means to make it anew.
                self.revision.store(found.map_or(0, |entry| entry.revision), Ordering::Release);
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }
}

/// Looks for a leader, and takes the lease when there is none.
pub(crate) async fn acquire(bus: &Bus, service: Service, instance: &str) -> Lease {
    let mut candidate = Candidate { bus, service, value: value(instance), unanswered: 0, seen: 0 };
    loop {
        match candidate.round().await {
            Ok(Some(lease)) => return lease,
            Ok(None) => tokio::time::sleep(PROBE_EVERY).await,
            Err(error) => {
                tracing::debug!(%error, "looking for a leader failed, trying again");
                candidate.unanswered = 0;
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
    /// Probes in a row that reached nobody, while the lease had the revision `seen`.
    unanswered: u32,
    seen: u64,
}

impl Candidate<'_> {
    async fn round(&mut self) -> Result<Option<Lease>, BusError> {
        let store = bounded("open the bucket of leases", self.bus.jetstream().get_key_value(streams::LEASES)).await?;
        let entry = bounded("read the lease", store.entry(self.service.as_str())).await?;
        let Some(entry) = entry else { return self.take(store, 0).await };
        if entry.operation != kv::Operation::Put || entry.value == self.value {
            return self.take(store, entry.revision).await;
        }
        if entry.revision != self.seen {
            (self.seen, self.unanswered) = (entry.revision, 0);
        }
        if self.is_leader_there().await {
            self.unanswered = 0;
            return Ok(None);
        }
        self.unanswered += 1;
        if self.unanswered < PROBES_TO_TAKE {
            return Ok(None);
        }
        tracing::info!(service = self.service.as_str(), "nobody answers as leader: taking the lease");
        self.take(store, entry.revision).await
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
                revision: AtomicU64::new(revision),
                valid_until: AtomicI64::new(sent + nanoseconds(streams::LEASE_AGE)),
                turned_at: AtomicI64::new(boot_time()),
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
