//! One pass over the file: its number, its transfers' size and order, and what each of them holds.

use muster_pattern::{Expectation, name_hash, scramble};
use muster_sdk::Session;

use crate::order::Order;
use crate::settings::{Access, Settings};
use crate::target::Target;

/// A pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass {
    /// Of the file's beginning; its sequence is the pass's number.
    expectation: Expectation,
    pub(crate) block_bytes: usize,
    pub(crate) order: Order,
    pub(crate) seed: u64,
}

impl Pass {
    /// What is before the first pass.
    pub(crate) fn new(expectation: Expectation, settings: &Settings) -> Self {
        Self { expectation, block_bytes: settings.block_bytes, order: Order::sequential(0), seed: 0 }
    }

    /// From 1.
    pub(crate) fn number(&self) -> u64 {
        self.expectation.sequence
    }

    /// Becomes the next one.
    pub(crate) fn begin_next(&mut self, settings: &Settings, seed: u64) {
        self.expectation.sequence += 1;
        let number = self.number();
        self.block_bytes = settings.block_bytes_of(number);
        self.seed = scramble(seed ^ number);
        let blocks = settings.file_bytes / self.block_bytes as u64;
        let random = match settings.access {
            Access::Random => true,
            Access::Sequential => false,
            Access::Alternating => number % 2 == 1,
        };
        self.order = if random { Order::random(self.seed, blocks) } else { Order::sequential(blocks) };
    }

    /// What the transfer at a place of the order holds.
    pub(crate) fn expectation_at(&self, place: u64) -> Expectation {
        Expectation { offset: self.order.at(place) * self.block_bytes as u64, ..self.expectation }
    }
}

/// What the beginning of the file holds before the first pass.
pub(crate) fn file_expectation(session: &Session, target: &Target) -> Expectation {
    Expectation {
        owner: session.owner(),
        target: name_hash(&target.path().to_string_lossy()),
        machine: name_hash(&session.context().machine),
        sequence: 0,
        offset: 0,
    }
}
