//! The module `command`: runs any program as a test and judges it by its exit code, or by what it prints in a format that is
//! known (`format`). Wrappers (`modules/wrap`) are manifests of their own over this one program.
//!
//! The program needs to know nothing of Muster: this process answers the pings, hands a stop on, and says done. What the program
//! prints is the log. It is not for programs that speak the module protocol themselves.

mod child;
mod format;
mod group;
mod output;
mod settings;
mod verdict;
mod words;

use std::process::ExitCode;

use muster_sdk::{Ending, Session, environment};

use child::{Child, Start};
use settings::Settings;

/// Runs the module.
#[must_use]
pub fn main() -> ExitCode {
    muster_sdk::run(manifest(&std::env::var(environment::MODULE).unwrap_or_default()), test)
}

/// The manifest under whose name this program runs; that of `command` where the name is none of the wrappers'.
fn manifest(name: &str) -> &'static str {
    match name {
        "fio" => include_str!("../../wrap/fio/module.toml"),
        "iperf3" => include_str!("../../wrap/iperf3/module.toml"),
        "ltp" => include_str!("../../wrap/ltp/module.toml"),
        "memtester" => include_str!("../../wrap/memtester/module.toml"),
        "nagios" => include_str!("../../wrap/nagios/module.toml"),
        "stress-ng" => include_str!("../../wrap/stress-ng/module.toml"),
        "tap" => include_str!("../../wrap/tap/module.toml"),
        _ => include_str!("../module.toml"),
    }
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
    Ok(verdict::judge(&settings, end))
}
