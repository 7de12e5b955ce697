//! `muster mix`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::times::parse_duration;

#[derive(Debug, Subcommand)]
pub(crate) enum MixCommand {
    /// Start, stop and change jobs again and again, shuffled by a seed within what a file allows; ends all of it at the end, and on ctrl-C
    #[command(after_help = MIX_HELP)]
    Run(MixRunArguments),
}

#[derive(Debug, Args)]
pub(crate) struct MixRunArguments {
    /// TOML file with limits and a `[[job]]` table for each job
    pub(crate) file: PathBuf,
    /// Seed of the sequence, to repeat one; another each time without it
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// For how long
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub(crate) duration: Duration,
    /// Print the sequence of decisions, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

const MIX_HELP: &str = "The same file and seed give the same decisions, whatever becomes of them. The file:\n\n  \
    jobs_max = 6                      # jobs at once\n  \
    processes_max = 400               # processes at once\n  \
    pause = [\"2s\", \"20s\"]            # between two decisions\n  \
    weights = { start = 4, stop = 2, change = 3, pulses = 2, pulse = 2 }\n\n  \
    [[job]]\n  \
    name = \"disks\"\n  \
    module = \"high-io\"\n  \
    weight = 3                        # how often it is started, against the other jobs\n  \
    on = \"tag=disks\"                  # and `resources`, `reservation`, as of a start\n  \
    processes = [10, 60]              # of one start; a multiple of `multiple_of`\n  \
    lifetime = [\"30s\", \"5m\"]          # until it is stopped\n  \
    at_once_max = 2\n  \
    parameters = { file_size = \"8MiB\", block_size = [\"4KiB\", \"64KiB\"] }   # of a start: one, or one of several\n  \
    changes = { iops_max = [\"0\", \"100\", \"1000\"] }                        # also while it runs: live parameters\n  \
    pulses = [1, 2]                   # it has some of these, and others later\n\n  \
    [[pulse]]\n  \
    number = 1\n  \
    block = [\"500ms\", \"3s\"]\n  \
    free = [\"1s\", \"5s\"]";
