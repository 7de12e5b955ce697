//! `muster report` and `muster events`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use muster_model::FiringId;

use super::analyses::{
    CompareArguments, CoverageArguments, HistoryArguments, QuietArguments, TimelineArguments, UseArguments,
    WorstArguments,
};
use crate::target::ProcessName;
use crate::times::{Since, parse_bound, parse_duration, parse_moment, parse_since};

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
    /// Firings of triggers: what each armed machine did, how soon, and what it left
    Triggers(TriggerReportArguments),
    /// What ran together: at a moment, when something was found or fired, or while a job ran
    Together(TogetherArguments),
    /// What went wrong: errors, corruptions, and ends that were none of a pass, the newest first
    Errors(FilterArguments),
    /// One process from its placement to its final report, on one time axis
    History(HistoryArguments),
    /// Processes, errors, pulses, firings, reboots and a metric, in each stretch of time
    Timeline(TimelineArguments),
    /// Machines and devices that measure otherwise than their peers of the same type
    Worst(WorstArguments),
    /// Two runs beside each other, each metric with a test; exit code 7 where one has become worse
    Compare(CompareArguments),
    /// What has stopped to report
    Quiet(QuietArguments),
    /// Hours of modules on types of machines and devices, or of pairs of modules on one machine
    Coverage(CoverageArguments),
    /// Who had machines, who waited, what broke, what lay idle
    Use(UseArguments),
    /// How far the store is
    Status,
}

#[derive(Debug, Args)]
pub(crate) struct TriggerReportArguments {
    /// Triggers, 0 to 255; all without them
    #[arg(value_name = "N", value_parser = clap::value_parser!(u8))]
    pub(crate) triggers: Vec<u8>,
    /// Only this firing, as `report triggers` shows it
    #[arg(long, value_name = "FIRING", conflicts_with = "run")]
    pub(crate) firing: Option<FiringId>,
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["at", "corruption", "firing", "job"]))]
pub(crate) struct TogetherArguments {
    /// At this moment: so long ago like `5m`, or a time
    #[arg(long, value_name = "5m|TIME", value_parser = parse_moment)]
    pub(crate) at: Option<Since>,
    /// When this corruption was found; its machine first
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) corruption: Option<u64>,
    /// When this fired, as `report triggers` shows it
    #[arg(long, value_name = "FIRING")]
    pub(crate) firing: Option<FiringId>,
    /// Together with this job, and for how long
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) job: Option<u32>,
    /// Run; the newest without it, or the one of the moment
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub(crate) run: u32,
    /// Show besides what each had on this machine
    #[arg(long, default_value = "", hide_default_value = true, conflicts_with = "job")]
    pub(crate) machine: String,
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
    /// Only what came of this firing: files of a crash, histories
    #[arg(long, value_name = "FIRING", conflicts_with_all = ["process", "run", "corruption"])]
    pub(crate) firing: Option<FiringId>,
    /// Only files that crashes of machines left, of all runs, with or without a firing
    #[arg(long, conflicts_with_all = ["process", "run", "corruption"])]
    pub(crate) crash_files: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ArtifactGetArguments {
    /// Name of the file, as `artifact list` shows it
    #[arg(required_unless_present_any = ["corruption", "firing"], conflicts_with_all = ["corruption", "firing"])]
    pub(crate) name: Option<String>,
    /// All files of this corruption
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) corruption: Option<u64>,
    /// All that came of this firing, for each machine or process in a directory of its own
    #[arg(long, value_name = "FIRING", conflicts_with = "corruption")]
    pub(crate) firing: Option<FiringId>,
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
    /// Type of machine; all without it
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) machine_type: String,
    /// Device; all without it
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) device: String,
    /// Type of device; all without it
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) device_type: String,
    /// Process; all without it
    #[arg(long, value_name = "DPID|RUN/DPID", conflicts_with_all = ["job", "run"])]
    pub(crate) process: Option<ProcessName>,
    /// From when on: so long ago like `2h` or `-2h`, or a time; without a run, of any run
    #[arg(long, visible_alias = "since", value_name = "2h|TIME", value_parser = parse_bound, allow_hyphen_values = true)]
    pub(crate) from: Option<Since>,
    /// Until when: so long ago, or a time; now without it
    #[arg(long, value_name = "1h|TIME", value_parser = parse_bound, allow_hyphen_values = true)]
    pub(crate) to: Option<Since>,
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
