//! The simulation: all three decision cores, with agents, users and a bus that misbehaves, on virtual time in one thread.
//!
//! Each run has two phases. First everything goes wrong that can: messages are lost, repeated, delayed and reordered, services
//! and agents crash at any point of their work, machines reboot and go back to snapshots, connections are cut, leaders are taken over
//! from without noticing, and every clock is wrong by something and steps. Then everything heals, and everything must settle (I9). After
//! every decision each core's own check runs, and the invariants that hold between the parts are checked from what really happened on the
//! machines. A run is a function of its options: the same seed gives the same trace.
//!
//! What is real: the cores, their events on the wire, their snapshots, and the messages between services and agents. What is a
//! model: the ledger around a core (`service`), the node agent (`agent`), the bus (`bus`).

mod agent;
mod bus;
mod clock;
mod faults;
pub mod malformed;
mod options;
mod pace;
mod parts;
mod plans;
mod random;
mod service;
mod settle;
mod trace;
mod truth;
mod user;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use options::{Flaw, SimulationOptions};
pub use random::Random;
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

/// Runs with this and the next seeds, `seeds` of them, on all cores, until an invariant does not hold. Summaries are told as runs end.
///
/// # Errors
/// The first violation that was found.
pub fn run_many(first: SimulationOptions, seeds: u64, tell: impl Fn(Summary) + Sync) -> Result<(), Violation> {
    let (next, found) = (AtomicU64::new(0), Mutex::new(None));
    let is_found = || found.lock().is_ok_and(|found| found.is_some());
    let one_after_another = &|| {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= seeds || is_found() {
                return;
            }
            match run(SimulationOptions { seed: first.seed.wrapping_add(number), ..first }) {
                Ok(summary) => tell(summary),
                Err(violation) => {
                    if let Ok(mut found) = found.lock() {
                        found.get_or_insert(violation);
                    }
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(one_after_another))));
    found.into_inner().ok().flatten().map_or(Ok(()), Err)
}
