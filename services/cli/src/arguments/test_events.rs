//! `muster emit` and `muster wait-event`.

use std::time::Duration;

use clap::Args;

use crate::times::parse_duration;

#[derive(Debug, Args)]
pub(crate) struct EmitArguments {
    /// Name: 1 to 64 of a-z, 0-9, `_`, `-` and `.`, beginning with a letter
    pub(crate) name: String,
    /// What it says, at most 4 KiB
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) data: String,
}

#[derive(Debug, Args)]
pub(crate) struct WaitEventArguments {
    /// Name of the event
    pub(crate) name: String,
    /// Only one that a process of this job says
    #[arg(long, value_name = "JOB", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) job: Option<u32>,
    /// One that was said so shortly before is taken too: the newest 256 of the run are remembered
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) since: Option<Duration>,
    /// One with a higher number than this is taken too, whenever it was said
    #[arg(long, value_name = "NUMBER", conflicts_with = "since")]
    pub(crate) after: Option<u64>,
    /// Give up waiting after this
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub(crate) within: Duration,
}
