//! What is kept of a stream for as long as the process lives, whatever becomes of its connections.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use muster_sdk::{Found, Latency};

use crate::core::Sequence;

/// The first packet of every flow.
const FIRST_PACKET: u64 = 1;

/// Both directions of one stream.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Last packet that was sent.
    sent: AtomicU64,
    /// Packets that were received and found right.
    received: AtomicU64,
    sequence: Mutex<Sequence>,
    found: Mutex<Found>,
    latency: Mutex<Latency>,
}

impl Stream {
    pub(crate) fn new() -> Self {
        Self {
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sequence: Mutex::new(Sequence::new(FIRST_PACKET)),
            found: Mutex::default(),
            latency: Mutex::default(),
        }
    }

    /// Last packet that was sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Says which packet was sent last. After a break this is less than before: what the receiver lacks is sent again.
    pub(crate) fn set_sent(&self, last: u64) {
        self.sent.store(last, Ordering::Relaxed);
    }

    /// Packets that were received and found right.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Counts packets that were received and found right.
    pub(crate) fn add_received(&self, packets: u64) {
        self.received.fetch_add(packets, Ordering::Relaxed);
    }

    /// The order of what was received.
    pub(crate) fn sequence(&self) -> MutexGuard<'_, Sequence> {
        self.sequence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found wrong, where the test goes on after it.
    pub(crate) fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long packets were on their way.
    pub(crate) fn latency(&self) -> MutexGuard<'_, Latency> {
        self.latency.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
