//! A mix: jobs that start, stop and change again and again, shuffled by a seed within what a file allows.
//!
//! Responsible for reading the file and for the sequence of decisions, both pure. Not for carrying decisions out: see `commands/mix.rs`.

mod plan;
mod sequence;
#[cfg(test)]
mod tests;

pub(crate) use plan::{Plan, parse};
pub(crate) use sequence::{Action, Decision, Sequence};
