//! The scheduler: what runs. The only writer of the log JOBS.
//!
//! Responsible for the catalogue, jobs, placement, processes and the pool clock. Not for who gets machines (reservation), nor for
//! what is on them (machine-lifecycle): it follows their logs.

pub mod core;
mod wire;
