//! What the agent decides, without I/O, clock or randomness: the life of a process, whether a command may act, what orders
//! mean, and what leaves the spool.

pub mod authority;
pub(crate) mod crash_files;
pub(crate) mod errands;
pub mod fence;
pub mod gang;
pub(crate) mod life;
mod life_words;
pub mod orders;
pub(crate) mod outcome;
pub(crate) mod ssh;
pub(crate) mod triggers;
pub(crate) mod window;
pub(crate) mod words;

#[cfg(test)]
mod life_tests;
