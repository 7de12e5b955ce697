//! Messages as nobody should say them: built at random from the descriptors of the wire, then bent. Whatever is said, a service
//! takes it or refuses it, and never panics; what it takes keeps every invariant of its state.
//!
//! Responsible for what is said and who is to understand it (`wild` and `bend` make the messages, `meet` is who hears them). Not for how it
//! travels: the end-to-end tests say the same to live services.

mod bend;
mod meet;
mod wild;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use meet::States;
use meet::{Met, TYPES, Type};
pub use wild::Wild;

use crate::{Random, SimulationOptions};

/// What a run is a function of.
#[derive(Debug, Clone, Copy)]
pub struct MalformedOptions {
    /// Seed of everything that is random.
    pub seed: u64,
    /// Messages of each type.
    pub messages: u64,
}

/// What became of the messages of one type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// The type, or what it is said as.
    pub name: &'static str,
    /// Not even messages.
    pub undecodable: u64,
    /// Understood by nobody, or refused.
    pub refused: u64,
    /// Taken, and the state keeps every invariant with it.
    pub taken: u64,
}

/// Says so many messages of each type, the types on all cores, and tells what became of each type.
///
/// # Errors
/// The first message that made a service panic or break an invariant, in hexadecimal, with its type.
pub fn run(options: MalformedOptions, tell: impl Fn(&Tally) + Sync) -> Result<Vec<Tally>, String> {
    let states = crate::world::World::new(SimulationOptions::new(options.seed, 8)).states()?;
    let (next, tallies) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let of_types = || {
        while let Some(kind) = TYPES.get(next.fetch_add(1, Ordering::Relaxed)) {
            let tally = of_type(kind, options, &states)?;
            tell(&tally);
            tallies.lock().map_err(|_| "another thread panicked")?.push(tally);
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let results: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(of_types)).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".into()))).collect()
    });
    results.into_iter().collect::<Result<(), String>>()?;
    tallies.into_inner().map_err(|_| "a thread panicked".into())
}

fn of_type(kind: &Type, options: MalformedOptions, states: &States) -> Result<Tally, String> {
    let mut wild = Wild::new(Random::new(options.seed));
    let mut tally = Tally { name: kind.name, ..Tally::default() };
    for number in 0..options.messages {
        let bytes = wild.message(kind.message, kind.body);
        // Every other one is a message; its values are what is wrong.
        let bytes = if number % 2 == 0 { bytes } else { bend::bent(bytes, &mut wild.random) };
        let met = catch_unwind(AssertUnwindSafe(|| (kind.meet)(states, &bytes)));
        match met {
            Ok(Ok(Met::Undecodable)) => tally.undecodable += 1,
            Ok(Ok(Met::Refused)) => tally.refused += 1,
            Ok(Ok(Met::Taken)) => tally.taken += 1,
            Ok(Err(broken)) => return Err(said(kind, &bytes, &broken)),
            Err(_) => return Err(said(kind, &bytes, "a panic")),
        }
    }
    Ok(tally)
}

fn said(kind: &Type, bytes: &[u8], came_to: &str) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}: {came_to}, after {hex}", kind.name)
}
