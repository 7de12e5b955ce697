//! Commands about modules, jobs, processes and runs.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::target::{ProcessName, Rerun, Target, WhyTarget};
use crate::times::parse_duration;

#[derive(Debug, Subcommand)]
pub(crate) enum ModuleCommand {
    /// Put a module into the catalogue
    Add(ModuleAddArguments),
    /// List the catalogue
    List,
    /// Show a module with its parameters
    Show {
        /// Module
        name: String,
    },
    /// Take a module out of the catalogue
    Remove {
        /// Module
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Run a module by itself against the whole contract, and say what it keeps and what it breaks; asks nobody
    Test(ModuleTestArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ModuleTestArguments {
    /// Folder with a module.toml, or the file itself
    pub(crate) path: PathBuf,
    /// Folder in which the artifact is looked for; beside the manifest without it
    #[arg(long, value_name = "DIR")]
    pub(crate) artifacts: Option<PathBuf>,
    /// A parameter of the module; may be given often
    #[arg(long = "param", short = 'p', value_name = "NAME=VALUE", value_parser = parse_parameter)]
    pub(crate) parameters: Vec<(String, String)>,
    /// Directory that stands for its disk; a folder of its own without it
    #[arg(long, value_name = "DIR")]
    pub(crate) disk: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ModuleAddArguments {
    /// Folder with a module.toml, or the file itself
    pub(crate) path: PathBuf,
    /// Folder in which the artifacts are looked for; beside the manifest without it
    #[arg(long, value_name = "DIR")]
    pub(crate) artifacts: Option<PathBuf>,
}

/// How far a job is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Until {
    /// All of its processes have run.
    Running,
    /// All of its processes have ended.
    End,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("count").required(true).args(["processes", "per_machine", "per_disk", "per_cpu"]))]
pub(crate) struct StartArguments {
    /// Module of the catalogue
    pub(crate) module: String,
    /// How many processes; of a module with gangs a multiple of its roles
    #[arg(long, short = 'n', value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub(crate) processes: Option<u32>,
    /// So many on each machine that fits
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub(crate) per_machine: Option<u32>,
    /// So many on each disk that may be used; a disk that several machines reach is one
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub(crate) per_disk: Option<u32>,
    /// So many on each CPU that may be used
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub(crate) per_cpu: Option<u32>,
    /// Which machines: names, globs, or an expression like `cpus>=4 and not tag=slow`; all without it
    #[arg(long, value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    pub(crate) on: String,
    /// Which resources: names (`disk-sda`, `node-1/disk-*`), or an expression like `kind=disk and type=ssd and size>=100GB`; all
    /// without it
    #[arg(long, value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    pub(crate) resources: String,
    /// A parameter of the module; may be given often
    #[arg(long = "param", short = 'p', value_name = "NAME=VALUE", value_parser = parse_parameter)]
    pub(crate) parameters: Vec<(String, String)>,
    /// Say where the processes would run, and start nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Wait until all processes have run; with `=end` until all have ended
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "running")]
    pub(crate) wait: Option<Until>,
    /// Give up waiting after this; without it 5m for running, 7d for the end
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) within: Option<Duration>,
    /// Run on the machines of this reservation
    #[arg(long, value_name = "R", default_value_t = 0, hide_default_value = true)]
    pub(crate) reservation: u64,
    /// Seed of the job, to repeat one; derived from the command without it
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub(crate) seed: u64,
    /// Pulses that gate every iteration, like `3,7`: a process goes on while all of them are free
    #[arg(long = "pulse", value_name = "N[,M]", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(0..=255))]
    pub(crate) pulses: Vec<u32>,
    /// What comes first when a process finds wrong data: `report` it and end, which is so without this; `continue` after the report, and fail in
    /// the end; `crash` its machine for a dump, with no report, where the machine's policy permits it; `trigger` N[,M...], then report and end
    #[arg(long, num_args = 1..=2, value_names = ["WHAT", "N[,M]"])]
    pub(crate) on_error: Vec<String>,
}

pub(crate) fn parse_parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write `name=value`".into()),
    }
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["targets", "all"]))]
pub(crate) struct StopArguments {
    /// Job numbers or DPIDs
    #[arg(value_name = "JOB|DPID")]
    pub(crate) targets: Vec<Target>,
    /// Everything that runs
    #[arg(long)]
    pub(crate) all: bool,
    /// How long the processes may take before they are killed; as the module says without it
    #[arg(long, value_parser = parse_duration)]
    pub(crate) grace: Option<Duration>,
    /// Wait until all of them have ended
    #[arg(long)]
    pub(crate) wait: bool,
    /// Give up waiting after this
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub(crate) within: Duration,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArguments {
    /// Job number
    pub(crate) job: u32,
    /// What to wait for
    #[arg(long = "for", value_enum, default_value = "end")]
    pub(crate) until: Until,
    /// Give up waiting after this; without it 5m for running, 7d for the end
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) within: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct PsArguments {
    /// Ended processes too
    #[arg(long)]
    pub(crate) all: bool,
    /// Of this job
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub(crate) job: u32,
    /// On this machine
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) machine: String,
}

#[derive(Debug, Args)]
pub(crate) struct JobsArguments {
    /// Ended jobs too
    #[arg(long)]
    pub(crate) all: bool,
    /// Tests too that were set up for a person to start
    #[arg(long)]
    pub(crate) checkouts: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TopArguments {
    /// Show one moment and end; so it is too with `--output json`, and where stdout is no terminal
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TargetArguments {
    /// Job number or DPID
    #[arg(value_name = "JOB|DPID")]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct WhyArguments {
    /// Job number, DPID, or `reservation:NUMBER`
    #[arg(value_name = "JOB|DPID|reservation:NUMBER")]
    pub(crate) target: WhyTarget,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("whose").required(true).args(["process", "agent"]))]
pub(crate) struct LogsArguments {
    /// DPID, or RUN/DPID for a run that is over
    #[arg(value_name = "DPID")]
    pub(crate) process: Option<ProcessName>,
    /// The log of the agent of this machine
    #[arg(long, value_name = "MACHINE")]
    pub(crate) agent: Option<String>,
    /// Go on as the log grows, until the process ends
    #[arg(long, short)]
    pub(crate) follow: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunIdCommand {
    /// Show the current run
    Show,
    /// Begin a new run: job numbers start again at 1
    New {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MasterCommand {
    /// Show who is master
    Show,
    /// In a command center: become master
    Take {
        /// Take it from another center
        #[arg(long)]
        take_over: bool,
    },
    /// In a command center: give the mastership up; it is not taken again by itself
    Release,
}

#[derive(Debug, Args)]
pub(crate) struct RerunArguments {
    /// A job, `RUN/JOB`, or every job of a run: `RUN/*`. Only of the current run
    #[arg(value_name = "JOB|RUN")]
    pub(crate) what: Rerun,
    /// Run on the machines of this reservation; on those of the job's own without it
    #[arg(long, value_name = "R", default_value_t = 0, hide_default_value = true)]
    pub(crate) reservation: u64,
    /// Say where the processes would run, and start nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Wait until all processes have run
    #[arg(long)]
    pub(crate) wait: bool,
}
