//! The command line: what can be typed. Nothing is done here.

mod admin;
mod analyses;
mod audit;
mod boots;
mod clients;
mod exports;
mod jobs;
mod kernels;
mod keys;
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

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use muster_bus::{Access, Credentials, Identity};

pub(crate) use admin::{
    AdminCommand, BackupArguments, DoctorArguments, GenerateCommand, InitArguments, RecoverArguments, RestoreArguments,
};
pub(crate) use analyses::{
    CompareArguments, CoverageArguments, HistoryArguments, QuietArguments, TimelineArguments, UseArguments,
    WorstArguments,
};
pub(crate) use audit::{AuditCommand, AuditListArguments, AuditVerifyArguments};
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
pub(crate) use keys::{
    ChangeArguments, EnrollArguments, IdentityArguments, KeysArguments, RetireArguments, UserAddArguments, UserCommand,
};
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

use crate::exit::Failure;
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

const DOCTOR_HELP: &str = "It ends with 0 when no check fails, and with 1 when one does, or with --strict when one warns. Without a \
    bus it ends with 69, as every command. Where a check warns or fails, the lines below the table say why, and what to do.";

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// NATS server, `nats://host:port`, several with commas
    #[arg(long, global = true, env = "MUSTER_NATS", default_value = "nats://127.0.0.1:4222", hide_env_values = true)]
    pub(crate) nats: String,
    /// File by which you show who you are (`muster admin user add`)
    #[arg(long, global = true, env = "MUSTER_CREDENTIALS", value_name = "FILE", hide_env_values = true)]
    credentials: Option<PathBuf>,
    /// Use a server that lets everybody in: a lab on this host, which nobody else reaches
    #[arg(long, global = true, env = "MUSTER_INSECURE_LOCAL", hide_env_values = true)]
    insecure_local: bool,
    /// On whose behalf; the person of the credentials, else the login name without it
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
    /// How this command comes onto the bus.
    ///
    /// # Errors
    /// When nothing was said of it, or the credentials can not be used.
    pub(crate) fn access(&self) -> Result<Access, Failure> {
        Ok(Access::new(self.credentials.as_deref(), self.insecure_local)?)
    }

    /// The user: who the credentials are of. Without any: as said, else the login name, else the number of the account.
    ///
    /// # Errors
    /// When the credentials can not be used, are not a person's, or another user was named.
    pub(crate) fn user(&self) -> Result<String, Failure> {
        let said = self.user.clone().filter(|user| !user.is_empty());
        let Some(file) = self.credentials.as_deref().filter(|_| !self.insecure_local) else {
            return Ok(said.unwrap_or_else(login));
        };
        let credentials = Credentials::open(file)?;
        let wrong = |why: String| Failure::Usage(format!("use the credentials {}: {why}", file.display()));
        match (credentials.identity(), said) {
            (Identity::User(name), Some(other)) if other != name.as_str() => Err(wrong(format!(
                "they are of {}, and --user or MUSTER_USER says {other}; leave that out",
                name.as_str()
            ))),
            (Identity::User(name), _) => Ok(name.as_str().to_owned()),
            (other, _) => Err(wrong(format!("they are of {other}, which is no person; use your own"))),
        }
    }
}

fn login() -> String {
    let named = |name: &&str| std::env::var(name).ok().filter(|user| !user.is_empty());
    let login = ["USER", "LOGNAME"].iter().find_map(named);
    login.or_else(account_name).unwrap_or_else(|| format!("uid{}", rustix::process::getuid().as_raw()))
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
    /// Examine the whole system: have every owning service repair what differs, and say what is not well, why, and what to do
    #[command(after_help = DOCTOR_HELP)]
    Doctor(DoctorArguments),
    /// Set up and look after a system
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Print generated pages of the documentation
    #[command(subcommand, hide = true)]
    Generate(GenerateCommand),
}

#[cfg(test)]
mod tests;
