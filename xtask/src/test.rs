//! `cargo xtask test`: every check of the project, in the order in which a mistake is cheapest to find.

use std::time::Instant;

use clap::Args;

use crate::build::{run_cargo, target};

#[derive(Args)]
pub(crate) struct TestArguments {
    /// Run only the tests whose name contains this
    filter: Option<String>,
}

pub(crate) fn run(arguments: &TestArguments) -> anyhow::Result<()> {
    let start = Instant::now();
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
    step(start, "tests");
    let programs = target().join("debug");
    let mut command = vec!["test", "--quiet", "--workspace", "--no-fail-fast"];
    command.extend(arguments.filter.as_deref());
    run_cargo(&command, &[("MUSTER_PROGRAMS", &programs.to_string_lossy())])?;
    step(start, "done: everything passed");
    Ok(())
}

fn step(start: Instant, name: &str) {
    eprintln!("[{:>4} s] {name}", start.elapsed().as_secs());
}
