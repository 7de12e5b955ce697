//! The command line: what can be typed. Nothing is done here.

mod admin;
mod analyses;
mod boots;
mod clients;
mod exports;
mod jobs;
mod kernels;
mod machines;
mod mix;
mod past;
mod plans;
mod pulses;
mod reports;
mod reservations;
mod rollouts;
mod telemetry;
mod test_events;
mod triggers;

use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub(crate) use admin::{AdminCommand, GenerateCommand, InitArguments, RecoverArguments};
pub(crate) use analyses::{
    CompareArguments, CoverageArguments, HistoryArguments, QuietArguments, TimelineArguments, UseArguments,
    WorstArguments,
};
pub(crate) use boots::{
    HoldCommand, MachineBootArguments, MachinePowerArguments, MachineRevertArguments, MachineSetArguments, PowerWait,
    PowerWord,
};
pub(crate) use clients::ClientCommand;
pub(crate) use exports::{ExportArguments, ExportFormat};
pub(crate) use jobs::{
    JobsArguments, LogsArguments, MasterCommand, ModuleAddArguments, ModuleCommand, ModuleTestArguments, PsArguments,
    RerunArguments, RunIdCommand, StartArguments, StopArguments, TargetArguments, TopArguments, Until, WaitArguments,
    WhyArguments,
};
pub(crate) use kernels::{KernelAddArguments, KernelCommand};
pub(crate) use machines::{
    ConfirmedSelector, FileSystemName, FormatArguments, KindName, LoadNumberCommand, LoadNumberSetArguments,
    MachineCommand, MachineFlagArguments, MountArguments, ProtectionArguments, ResourceCommand, SelectorArguments,
    StorageArguments,
};
pub(crate) use mix::MixCommand;
pub(crate) use past::{AtArguments, DiffArguments, PastListing};
pub(crate) use plans::{PlanCommand, PlanFileArguments, PlanShowArguments, PlanStartArguments};
pub(crate) use pulses::{PulseClearArguments, PulseCommand, PulseLadderArguments, PulseSetArguments, SetArguments};
pub(crate) use reports::{
    ArtifactCommand, ArtifactGetArguments, ArtifactListArguments, CorruptionArguments, DimensionName, EventsArguments,
    FilterArguments, LogName, PerfArguments, ReportCommand, TogetherArguments, TriggerReportArguments,
};
pub(crate) use reservations::{
    CheckinArguments, DismissArguments, ExtendArguments, NotifyArguments, QuotaCommand, QuotaSetArguments,
    ReservationCommand, ReservationNumber, ReserveArguments,
};
pub(crate) use rollouts::{RolloutCommand, RolloutShowArguments, RolloutStartArguments};
pub(crate) use telemetry::{ReinitialiseArguments, Retention, RetentionArguments, TelemetryCommand};
pub(crate) use test_events::{EmitArguments, WaitEventArguments};
pub(crate) use triggers::{ArmArguments, DisarmArguments, FireArguments, TriggerCommand};

use crate::output::Format;
use crate::times::parse_duration;

/// Muster: starts test processes on a pool of machines, watches them, and says what happened.
#[derive(Debug, Parser)]
#[command(name = "muster", version, after_help = EXIT_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    /// Without one, on a terminal: the command center.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXIT_HELP: &str = "Without a command, on a terminal, it is the command center. Exit codes: 0 ok, 1 failure, 2 usage, 3 refused, 4 not found, 5 timed out waiting, \
    6 quorum not reached, 7 tests failed, 69 bus unreachable. Data go to stdout, everything else to stderr.";

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// NATS server, `nats://host:port`, several with commas
    #[arg(long, global = true, env = "MUSTER_NATS", default_value = "nats://127.0.0.1:4222", hide_env_values = true)]
    pub(crate) nats: String,
    /// On whose behalf; the login name without it
    #[arg(long, global = true, env = "MUSTER_USER", hide_env_values = true)]
    user: Option<String>,
    /// Form of the data on stdout
    #[arg(long, global = true, env = "MUSTER_OUTPUT", value_enum, default_value = "table", hide_env_values = true)]
    pub(crate) output: Format,
    /// How long a request may take, with all of its retries
    #[arg(long, global = true, default_value = "15s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

impl Global {
    /// The user: as said, else the login name, else the number of the account.
    pub(crate) fn user(&self) -> String {
        let login = || ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|n| !n.is_empty()));
        let named = self.user.clone().filter(|user| !user.is_empty()).or_else(login);
        named.or_else(account_name).unwrap_or_else(|| format!("uid{}", rustix::process::getuid().as_raw()))
    }
}

/// Name of the account that this process runs as; none where it is not a local one.
fn account_name() -> Option<String> {
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    let own = rustix::process::getuid().as_raw().to_string();
    let mut lines = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fields.get(2) == Some(&own.as_str())).map(|fields| fields[0].to_owned())
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Machines of the pool
    #[command(subcommand)]
    Machine(MachineCommand),
    /// What tests may use on machines
    #[command(subcommand)]
    Resource(ResourceCommand),
    /// Capacity weights of types of resources
    #[command(subcommand)]
    LoadNumber(LoadNumberCommand),
    /// Whether machines are switched and rebooted at all
    #[command(subcommand)]
    Hold(HoldCommand),
    /// Kernels that machines can be booted into
    #[command(subcommand)]
    Kernel(KernelCommand),
    /// The catalogue of test modules
    #[command(subcommand)]
    Module(ModuleCommand),
    /// Start processes of a module
    Start(StartArguments),
    /// Start a job again: the same placement, seed and parameters
    Rerun(RerunArguments),
    /// Jobs that start, stop and change again and again
    #[command(subcommand)]
    Mix(MixCommand),
    /// Plans: steps in sequence, each of tasks side by side
    #[command(subcommand)]
    Plan(PlanCommand),
    /// Stop jobs or processes
    Stop(StopArguments),
    /// Change a job that runs
    Set(SetArguments),
    /// Square waves that gate the iterations of processes
    #[command(subcommand)]
    Pulse(PulseCommand),
    /// Wait until a job runs or has ended
    Wait(WaitArguments),
    /// Say an event, for whoever waits for it
    Emit(EmitArguments),
    /// Wait until a test, or a person, says an event
    WaitEvent(WaitEventArguments),
    /// List processes
    Ps(PsArguments),
    /// List jobs
    Jobs(JobsArguments),
    /// Watch the pool, its jobs, its busiest machines and its stalled processes
    Top(TopArguments),
    /// Show all that is known of a job or process
    Show(TargetArguments),
    /// Explain why a job, process or reservation is where it is
    Why(WhyArguments),
    /// Print the log of a process, or of an agent
    Logs(LogsArguments),
    /// Triggers: what machines do when something fires
    #[command(subcommand)]
    Trigger(TriggerCommand),
    /// The run of the system
    #[command(subcommand)]
    RunId(RunIdCommand),
    /// Which command center gives the commands of job control
    #[command(subcommand)]
    Master(MasterCommand),
    /// Show the pool clock
    Clock,
    /// Check machines out
    Reserve(ReserveArguments),
    /// Reservations
    #[command(subcommand)]
    Reservation(ReservationCommand),
    /// Rollouts: machines that are taken into a kernel, and a quorum of them
    #[command(subcommand)]
    Rollout(RolloutCommand),
    /// Quotas: what users may have, and have had
    #[command(subcommand)]
    Quota(QuotaCommand),
    /// Move the deadline of a reservation
    Extend(ExtendArguments),
    /// Check machines in: give a reservation back
    Checkin(CheckinArguments),
    /// Give one machine of a reservation back
    Dismiss(DismissArguments),
    /// Clients of a test, inside of it
    #[command(subcommand)]
    Client(ClientCommand),
    /// Reports from the store
    #[command(subcommand)]
    Report(ReportCommand),
    /// Write the results of a job or plan for other programs
    Export(ExportArguments),
    /// The pool as it was at a moment
    At(AtArguments),
    /// What became otherwise between two moments
    Diff(DiffArguments),
    /// Files that tests left
    #[command(subcommand)]
    Artifact(ArtifactCommand),
    /// Print the decision logs, one JSON object for each event
    Events(EventsArguments),
    /// Turn one message from stdin into JSON: for `nats sub 'muster.v1.>' --translate 'muster decode'`
    Decode,
    /// Set up and look after a system
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Print generated pages of the documentation
    #[command(subcommand, hide = true)]
    Generate(GenerateCommand),
}

#[cfg(test)]
mod tests;
