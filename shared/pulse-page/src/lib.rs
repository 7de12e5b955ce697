//! The pulse page: a file of 8 KiB that an agent writes and its processes map read-only. It holds the definitions of the pulses and
//! what the pool time is, and no edges: every process computes those itself, so that they go on with the agent gone (decision 11).
//!
//! Not responsible for what pulses are (`muster-model`), nor for who obeys which.

mod layout;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use layout::{PAGE_BYTES, monotonic};
pub use reader::{PulsePage, Seen};
pub use writer::PulseWriter;
