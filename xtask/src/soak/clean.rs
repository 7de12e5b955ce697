//! `cargo xtask soak clean`: each module that verifies data runs by hand, in ever another form, until it has verified what was asked
//! for. Nothing is wrong with the data, so a single report is a false one, and fails the soak.

mod rounds;

use std::time::{Duration, Instant};

use anyhow::ensure;

use self::rounds::{Place, Round, rounds};
use super::SoakArguments;
use crate::build;

/// Modules that verify data.
pub(super) const MODULES: [&str; 4] = ["high-io", "memory", "tcp", "lock"];
/// How long one round lasts.
const ROUND: Duration = Duration::from_secs(20);
const GIB: f64 = (1_u64 << 30) as f64;

/// What a module has done.
#[derive(Debug, Default)]
struct Sum {
    verified_bytes: f64,
    rounds: u32,
    elapsed: Duration,
}

pub(super) fn run(arguments: &SoakArguments) -> anyhow::Result<()> {
    let all: Vec<String> = MODULES.map(str::to_owned).into();
    let modules = if arguments.modules.is_empty() { &all } else { &arguments.modules };
    let place = Place::new(&build::target().join("soak-clean"))?;
    let mut short = Vec::new();
    for module in modules {
        let sum = soak(module, arguments, &place)?;
        let (gib, seconds) = (sum.verified_bytes / GIB, sum.elapsed.as_secs_f64());
        println!("{module}: {gib:.1} GiB verified in {} rounds, {seconds:.0} s: no report", sum.rounds);
        if gib < f64::from(arguments.gib) {
            short.push(format!("{module} ({gib:.1} GiB)"));
        }
    }
    ensure!(short.is_empty(), "less than {} GiB in {} minutes: {}", arguments.gib, arguments.minutes, short.join(", "));
    Ok(())
}

fn soak(module: &str, arguments: &SoakArguments, place: &Place) -> anyhow::Result<Sum> {
    let program = build::shipped_module(&format!("muster-{module}"))?;
    let (begun, wanted) = (Instant::now(), f64::from(arguments.gib) * GIB);
    let rounds: Vec<Round> = rounds(module, place);
    let mut sum = Sum::default();
    for (number, round) in (1..).zip(rounds.iter().cycle()) {
        if sum.verified_bytes >= wanted || begun.elapsed() > Duration::from_secs(60 * arguments.minutes) {
            break;
        }
        sum.verified_bytes += round.run(&program, number, ROUND, place)?;
        (sum.rounds, sum.elapsed) = (number, begun.elapsed());
        let (gib, parameters) = (sum.verified_bytes / GIB, round.parameters.join(" "));
        eprintln!("{module}: {gib:.1} of {} GiB, no report, round {number} ({parameters})", arguments.gib);
    }
    Ok(sum)
}
