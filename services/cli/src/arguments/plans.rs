//! `muster plan`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::times::parse_duration;

#[derive(Debug, Subcommand)]
pub(crate) enum PlanCommand {
    /// Look whether a plan could be started, and start nothing
    Check(PlanFileArguments),
    /// Start a plan: one job of steps in sequence, each of tasks side by side
    Start(PlanStartArguments),
    /// Show a plan with its steps, tasks and attempts
    Show(PlanShowArguments),
}

#[derive(Debug, Args)]
pub(crate) struct PlanFileArguments {
    /// TOML file with a `[[step]]` table for each step and a `[[step.task]]` table for each of its tasks; docs/plans.md has all of it
    pub(crate) file: PathBuf,
    /// Run on the machines of this reservation; as the file says without it
    #[arg(long, value_name = "R")]
    pub(crate) reservation: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct PlanStartArguments {
    #[command(flatten)]
    pub(crate) file: PlanFileArguments,
    /// Wait until the plan has ended
    #[arg(long)]
    pub(crate) wait: bool,
    /// Give up waiting after this; 7d without it
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) within: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct PlanShowArguments {
    /// Job number
    pub(crate) job: u32,
}
