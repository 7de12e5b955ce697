//! The memory test `memory`: areas of memory hold a self-describing pattern, and what they hold is moved from one to another
//! again and again: by other ways, at other addresses, in sizes from the first cache to DRAM, within and between NUMA nodes.
//! Every move is verified where it arrived.
//!
//! What wrong data are is told by `muster-pattern`; reading them again, saving and reporting them is done here (`mismatch`).
//! It tests what the kernel gives it: it neither locks its memory nor chooses physical pages.

mod area;
mod core;
mod history;
mod machine;
mod mismatch;
mod passes;
mod settings;
mod tally;
mod trouble;
mod way;

use std::process::ExitCode;

use muster_sdk::{Ending, Session};

use passes::Passes;
use settings::Settings;
use trouble::Trouble;

/// Runs the module.
#[must_use]
pub fn main() -> ExitCode {
    muster_sdk::run(include_str!("../module.toml"), test)
}

fn test(session: &Session) -> Result<Ending, Trouble> {
    let settings = Settings::read(session)?;
    machine::pin(session);
    let mut passes = Passes::new(session, &settings)?;
    session.ready();
    let ending = match passes.run() {
        Ok(()) => passes.found().map_or_else(Ending::pass, |reason| Ending::fail(&reason)),
        Err(Trouble::Corrupt(reason)) => Ending::fail(&reason),
        Err(trouble) => Ending::error(&trouble.to_string()),
    };
    Ok(passes.finish(ending))
}
