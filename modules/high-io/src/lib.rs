//! The disk test `high-io`: it writes a self-describing pattern to a file of its own, in pseudo-random order and with direct
//! I/O, reads every transfer back and verifies it, and begins again with every bit changed.
//!
//! What wrong data are is told by `muster-pattern`; reading them again, saving and reporting them is done here
//! (`mismatch`). Many transfers at once go through io_uring, or one at a time where that can not be used (`engine`).

mod buffer;
mod clock;
mod device;
mod engine;
mod history;
mod mismatch;
mod order;
mod pass;
mod passes;
mod queue;
mod script;
mod settings;
mod tally;
mod target;
mod trouble;

use std::process::ExitCode;

use muster_sdk::{Ending, Session};

use passes::Passes;
use settings::Settings;
use target::Target;
use trouble::Trouble;

/// Runs the module.
#[must_use]
pub fn main() -> ExitCode {
    muster_sdk::run(include_str!("../module.toml"), test)
}

fn test(session: &Session) -> Result<Ending, Trouble> {
    let settings = Settings::read(session)?;
    let target = Target::create(session, &settings)?;
    let mut passes = match Passes::new(session, &settings, &target) {
        Ok(passes) => passes,
        Err(trouble) => {
            target.remove(session);
            return Err(trouble);
        }
    };
    session.ready();
    let ending = match passes.run() {
        Ok(()) => match passes.found() {
            None => Ending::pass(),
            Some(reason) => {
                target.keep_as_evidence(session);
                return Ok(passes.finish(Ending::fail(&reason)));
            }
        },
        Err(Trouble::Corrupt(reason)) => {
            target.keep_as_evidence(session);
            return Ok(passes.finish(Ending::fail(&reason)));
        }
        Err(Trouble::Device(reason)) => Ending::fail(&reason),
        Err(trouble) => Ending::error(&trouble.to_string()),
    };
    target.remove(session);
    Ok(passes.finish(ending))
}
