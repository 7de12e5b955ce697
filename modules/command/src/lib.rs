//! The module `command`: runs any program as a test and judges it by its exit code.
//!
//! The program needs to know nothing of Muster: this process answers the pings, hands a stop on, and says done. What the program
//! prints is the log. It is not for programs that speak the module protocol themselves.

mod child;
mod group;
mod settings;
mod verdict;
mod words;

use std::process::ExitCode;

use muster_sdk::{Ending, Session};

use child::{Child, Start};
use settings::Settings;

/// Runs the module.
#[must_use]
pub fn main() -> ExitCode {
    muster_sdk::run(include_str!("../module.toml"), test)
}

fn test(session: &Session) -> anyhow::Result<Ending> {
    let settings = Settings::read(session)?;
    let child = match Child::start(&settings)? {
        Start::Running(child) => child,
        Start::Missing => {
            return Ok(Ending::skip(&format!("program `{}` is not on this machine", settings.program)));
        }
    };
    session.ready();
    let end = child.wait(session, &settings)?;
    Ok(verdict::judge(&settings, &end))
}
