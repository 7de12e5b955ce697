//! `muster admin` and `muster generate`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use muster_bus::UserName;

use super::{
    AuditCommand, EnrollArguments, IdentityArguments, KeysArguments, LogName, RetireArguments, TelemetryCommand,
    UserCommand,
};
use crate::times::parse_duration;

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Make the streams, object stores and buckets that are missing, or with --keys the keys of a new pool
    Init(InitArguments),
    /// Let a machine in: it gets a token, makes a key of its own and presents it
    Enroll(EnrollArguments),
    /// People who may connect
    #[command(subcommand)]
    User(UserCommand),
    /// List who may connect
    Identities(KeysArguments),
    /// Put an identity out: its connections are cut at once
    Revoke(IdentityArguments),
    /// Give an identity another key; the old one is worth nothing from then on. A service that commands agents gets another signing
    /// key too, which agents take from the former one; that goes on counting until `retire`
    Rotate(IdentityArguments),
    /// Have agents take nothing more that is signed with former keys of a service
    Retire(RetireArguments),
    /// Rebuild a lost decision log from the archive
    Recover(RecoverArguments),
    /// Copy the decision logs, modules and kernels into a folder, while everything goes on
    Backup(BackupArguments),
    /// Put a backup into an empty system, as new lineages of its logs
    Restore(RestoreArguments),
    /// Show every service: leader, term, position
    Status,
    /// What the telemetry store keeps of samples
    #[command(subcommand)]
    Telemetry(TelemetryCommand),
    /// Who did what, and whether the decision logs are as they were written
    #[command(subcommand)]
    Audit(AuditCommand),
}

#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// Make the keys of a new pool in this directory, and nothing else: of every service, of an administrator and of the servers'
    /// operator, the part of the servers' configuration that lets them in, and what machines know their services by
    #[arg(long, value_name = "DIR", conflicts_with_all = ["new_system", "if_missing", "size_divisor"])]
    pub(crate) keys: Option<PathBuf>,
    /// With --keys: name of the first administrator; the user without it
    #[arg(long, value_name = "NAME", requires = "keys", value_parser = UserName::new)]
    pub(crate) administrator: Option<UserName>,
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

#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// A new folder
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Logs of processes and files that tests left, too
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    /// The folder of a backup
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Only modules, kernels and other files: the logs are in use, or recovered from their archive
    #[arg(long)]
    pub(crate) objects: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// Wait at most so long for what differs to be repaired
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(crate) wait: Duration,
    /// A warning is a failure too
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GenerateCommand {
    /// docs/cli.md
    Cli,
    /// docs/subjects.md
    Subjects,
    /// docs/permissions.md
    Permissions,
    /// What completes a command line of `muster` in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Manual pages: one for each command, into a directory
    Man {
        /// The directory
        directory: PathBuf,
    },
}
