//! `cargo xtask test`: every check of the project, in the order in which a mistake is cheapest to find.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;

use crate::build::{run_cargo, target};
use crate::containers;

/// How long one program of tests may take: the longest, which boots machines in QEMU, takes 15 minutes on two cores. One that hangs is
/// ended with all its processes, and the others still run.
const PROGRAM_MAX: Duration = Duration::from_secs(30 * 60);
/// How long it has to end by itself, once it was told to.
const ENDING_MAX: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct TestArguments {
    /// Run only the tests whose name contains this
    filter: Option<String>,
    /// Run the container test alone: compose.yaml on a Docker engine of its own, as root
    #[arg(long, conflicts_with = "filter")]
    containers: bool,
}

pub(crate) fn run(arguments: &TestArguments) -> anyhow::Result<()> {
    let start = Instant::now();
    if arguments.containers {
        return containers::run();
    }
    if arguments.filter.is_none() {
        step(start, "format");
        run_cargo(&["fmt", "--all", "--check"], &[])?;
        step(start, "lints");
        run_cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])?;
        step(start, "documentation");
        run_cargo(&["doc", "--quiet", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")])?;
    }
    step(start, "programs");
    run_cargo(&["build", "--quiet", "--workspace", "--bins", "--examples"], &[])?;
    step(start, "servers");
    muster_testkit::tools::nats_server()?;
    muster_testkit::tools::postgres_programs()?;
    muster_testkit::qemu::obtain()?;
    step(start, "tests");
    let programs = target().join("debug");
    let mut command = vec!["test", "--quiet", "--workspace", "--no-fail-fast"];
    command.extend(arguments.filter.as_deref());
    let (name, runner) = limited();
    run_cargo(&command, &[("MUSTER_PROGRAMS", &programs.to_string_lossy()), (&name, &runner)])?;
    if arguments.filter.is_none() {
        step(start, "containers");
        containers::run()?;
    }
    step(start, "done: everything passed");
    Ok(())
}

/// The setting of cargo that runs each program of tests under coreutils' `timeout`: its variable and its value. On a terminal the
/// programs stay in its foreground group, so that an interrupt reaches them.
fn limited() -> (String, String) {
    let place = if std::io::stdin().is_terminal() { "--foreground " } else { "" };
    let target = format!("{}_UNKNOWN_LINUX_GNU", std::env::consts::ARCH.to_uppercase());
    let (kill, limit) = (ENDING_MAX.as_secs(), PROGRAM_MAX.as_secs());
    (format!("CARGO_TARGET_{target}_RUNNER"), format!("timeout --verbose {place}--kill-after={kill} {limit}"))
}

fn step(start: Instant, name: &str) {
    eprintln!("[{:>4} s] {name}", start.elapsed().as_secs());
}
