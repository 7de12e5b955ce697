//! `muster report` and `muster events`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::target::ProcessName;
use crate::times::{Since, parse_duration, parse_since};

#[derive(Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// What ran, and how it ended
    Summary(FilterArguments),
    /// Performance by module, machine, device, a type of either, process or time
    Perf(PerfArguments),
    /// What pulses came to, by process: the real duty, and how late it woke after edges
    Pulses(PulseReportArguments),
    /// Wrong data that tests found: all, or one word by word with its owner and how to read it again
    Corruption(CorruptionArguments),
    /// How far the store is
    Status,
}

#[derive(Debug, Args)]
pub(crate) struct PulseReportArguments {
    /// Job number
    pub(crate) job: u32,
}

#[derive(Debug, Args)]
pub(crate) struct CorruptionArguments {
    /// Number of the one to explain; all of the run without it
    #[arg(value_name = "ID", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) number: Option<u64>,
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ArtifactCommand {
    /// List files of processes
    List(ArtifactListArguments),
    /// Fetch files, and check them by their SHA-256
    Get(ArtifactGetArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ArtifactListArguments {
    /// Process; all of the run without it
    #[arg(value_name = "DPID|RUN/DPID")]
    pub(crate) process: Option<ProcessName>,
    /// Run; the newest without it
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub(crate) run: u32,
    /// Only those of this corruption
    #[arg(long, value_name = "ID", conflicts_with_all = ["process", "run"], value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) corruption: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct ArtifactGetArguments {
    /// Name of the file, as `artifact list` shows it
    #[arg(required_unless_present = "corruption", conflicts_with = "corruption")]
    pub(crate) name: Option<String>,
    /// All files of this corruption
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) corruption: Option<u64>,
    /// Directory to put them into; it is made where it is missing
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) to: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct FilterArguments {
    /// Run; the newest without it
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub(crate) run: u32,
    /// Job; all without it
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub(crate) job: u32,
    /// Module; all without it
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) module: String,
    /// Machine; all without it
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) machine: String,
}

#[derive(Debug, Args)]
pub(crate) struct PerfArguments {
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    /// What to group by
    #[arg(long, value_enum, default_value = "module")]
    pub(crate) by: DimensionName,
    /// Only this metric; may be given often
    #[arg(long = "metric", value_name = "NAME")]
    pub(crate) metrics: Vec<String>,
    /// Width of a time bucket, with `--by time`
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub(crate) bucket: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DimensionName {
    /// By module.
    Module,
    /// By machine.
    Machine,
    /// By type of machine.
    MachineType,
    /// By device.
    Device,
    /// By type of device.
    DeviceType,
    /// By process.
    Process,
    /// By time.
    Time,
}

#[derive(Debug, Args)]
pub(crate) struct EventsArguments {
    /// Go on as events come
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// From when on: a duration like `5m`, a sequence number, or a time; all without it
    #[arg(long, value_name = "5m|SEQUENCE|TIME", value_parser = parse_since)]
    pub(crate) since: Option<Since>,
    /// Only this log; may be given often
    #[arg(long = "log", value_enum, ignore_case = true)]
    pub(crate) logs: Vec<LogName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogName {
    /// What runs.
    Jobs,
    /// What is on machines.
    Machines,
    /// Who has machines.
    Reservations,
}

impl LogName {
    /// All logs.
    pub(crate) const ALL: [Self; 3] = [Self::Jobs, Self::Machines, Self::Reservations];
}
