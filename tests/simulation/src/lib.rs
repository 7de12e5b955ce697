//! The simulation: all three decision cores, with agents, users and a bus that misbehaves, on virtual time in one thread.
//!
//! Each run has two phases. First everything goes wrong that can: messages are lost, repeated, delayed and reordered, services
//! and agents crash at any point of their work, machines reboot and go back to snapshots, connections are cut, leaders are taken over
//! from without noticing, and every clock is wrong by something. Then everything heals, and everything must settle (I9). After every decision each core's own check runs, and the invariants that hold between the parts are checked from
//! what really happened on the machines. A run is a function of its options: the same seed gives the same trace.
//!
//! What is real: the cores, their events on the wire, their snapshots, and the messages between services and agents. What is a
//! model: the ledger around a core (`service`), the node agent (`agent`), the bus (`bus`).

mod agent;
mod bus;
mod clock;
mod faults;
mod options;
mod parts;
mod plans;
mod random;
mod service;
mod settle;
mod trace;
mod truth;
mod user;
mod world;

use std::time::Duration;

pub use options::{Flaw, SimulationOptions};
pub use trace::{Summary, Violation};

/// Simulated time of one run, when nothing else is asked for.
pub const DURATION: Duration = Duration::from_secs(600);

/// Runs one simulation.
///
/// # Errors
/// The first invariant that does not hold, with the command that runs it again and what happened last.
pub fn run(options: SimulationOptions) -> Result<Summary, Violation> {
    world::World::new(options).run()
}

/// What `cargo xtask simulate` does: one seed, or the first `seeds` seeds, each with faults and with its summary on stdout.
///
/// # Errors
/// The first violation.
pub fn command_line(seed: Option<u64>, seeds: u64, machines: usize) -> Result<(), Violation> {
    let first = seed.unwrap_or(1);
    let count = if seed.is_some() { 1 } else { seeds };
    for seed in first..first.saturating_add(count) {
        let summary = run(SimulationOptions::new(seed, machines))?;
        println!("{summary}");
    }
    Ok(())
}
