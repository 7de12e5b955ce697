//! The network test `tcp`: two processes on different machines send each other packets that describe themselves, and verify
//! every one that they receive, its content and its place in the sequence.
//!
//! A packet is a transfer of `muster-pattern`: its sectors say who wrote it, in which stream, as which packet, when, and of how
//! many sectors it is. What wrong data are is told by that crate; what a wrong sequence is, by `core`. The two find each other
//! by words of the SDK (`meeting`), talk over plain sockets (`talk`), and meet again when a connection breaks: a stream goes on
//! where its receiver stands, so the counts of both ends agree at the end.

mod core;
mod door;
mod finding;
mod flow;
mod inject;
mod meeting;
mod pace;
mod receiver;
mod record;
mod sender;
mod settings;
mod socket;
mod stream;
mod talk;
mod tally;
mod trouble;

use std::process::ExitCode;

use muster_sdk::{Ending, Session};

use meeting::Meeting;
use settings::Settings;
use tally::Tally;
use trouble::Trouble;

/// Runs the module.
#[must_use]
pub fn main() -> ExitCode {
    muster_sdk::run(include_str!("../module.toml"), test)
}

fn test(session: &Session) -> Result<Ending, Trouble> {
    let settings = Settings::read(session)?;
    let mut meeting = Meeting::new(session, &settings)?;
    let mut tally = Tally::new(&settings);
    let ending = match talk::run(session, &settings, &mut meeting, &mut tally) {
        Ok(()) => Ending::pass(),
        Err(Trouble::Corrupt(reason)) => Ending::fail(&reason),
        Err(Trouble::NotMet) => Ending::skip("stopped before it met its peer"),
        Err(trouble) => Ending::error(&trouble.to_string()),
    };
    Ok(tally.finish(ending))
}
