//! `muster admin` and `muster generate`.

use clap::{Args, Subcommand};

use super::{LogName, TelemetryCommand};

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Make the streams, object stores and buckets that are missing
    Init(InitArguments),
    /// Rebuild a lost decision log from the archive
    Recover(RecoverArguments),
    /// Show every service: leader, term, position
    Status,
    /// What the telemetry store keeps of samples
    #[command(subcommand)]
    Telemetry(TelemetryCommand),
}

#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// Begin a new system: write the first message of each decision log; refused where logs exist
    #[arg(long)]
    pub(crate) new_system: bool,
    /// With --new-system: leave a system that exists already as it is, instead of refusing
    #[arg(long, requires = "new_system")]
    pub(crate) if_missing: bool,
    /// Copies of each stream on the servers of a NATS cluster
    #[arg(long, default_value_t = 1, value_parser = parse_replicas)]
    pub(crate) replicas: usize,
    /// Divide the greatest sizes of the streams by this; without it, by the least power of two with which they fit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=1024))]
    pub(crate) size_divisor: Option<i64>,
}

fn parse_replicas(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        "5" => Ok(5),
        _ => Err("1, 3 or 5".into()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct RecoverArguments {
    /// The log
    #[arg(value_enum, ignore_case = true)]
    pub(crate) log: LogName,
    /// Take away what the log still holds; keep a copy of the stream first
    #[arg(long)]
    pub(crate) replace: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GenerateCommand {
    /// docs/cli.md
    Cli,
    /// docs/subjects.md
    Subjects,
}
