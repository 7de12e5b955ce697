//! `muster rollout`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{NotifyArguments, ReservationNumber};
use crate::times::parse_duration;

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Take machines, boot them into a kernel, prove it, and start at a quorum
    #[command(after_help = START_HELP)]
    Start(Box<RolloutStartArguments>),
    /// List rollouts
    List {
        /// Ended ones too
        #[arg(long)]
        all: bool,
    },
    /// Show a rollout: which machine is how far, and what the quorum waits for; on a terminal until it is ready
    Show(RolloutShowArguments),
    /// Give all machines of a rollout back
    Cancel {
        #[command(flatten)]
        number: ReservationNumber,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

const START_HELP: &str = "A rollout is a reservation: `muster extend` and `muster checkin` take its number, and jobs run on it with \
    --reservation. Its machines go\nthrough install, reboot and proof side by side; one that is given up is replaced while others are free.\n\n  \
    at the target         it starts\n  \
    at the minimum        the countdown begins, and at its end it starts with what is ready\n  \
    below it again        the countdown is cancelled, and begins full the next time\n  \
    below it for give-up  it gives everything back, and exits with 6 where it is waited for";

#[derive(Debug, Args)]
pub(crate) struct RolloutStartArguments {
    /// The kernel, as `muster kernel list` shows it
    #[arg(long)]
    pub(crate) kernel: String,
    /// So many machines
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) target: u32,
    /// With so many it may start too; the target without it
    #[arg(long)]
    pub(crate) minimum: Option<u32>,
    /// How long it waits for more than the minimum
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    pub(crate) countdown: Duration,
    /// How long the minimum may take
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub(crate) give_up: Duration,
    /// Which machines: names, globs, or an expression; all of the kernel's architecture without it
    #[arg(long, value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    pub(crate) on: String,
    /// For how long, from the start
    #[arg(long = "for", value_name = "DURATION", default_value = "8h", value_parser = parse_duration)]
    pub(crate) duration: Duration,
    /// How long what runs there may take to end; it is stopped at once without it
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    pub(crate) drain: Duration,
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) comment: String,
    #[command(flatten)]
    pub(crate) notify: NotifyArguments,
    /// Start this on its machines when it is ready: `start high-io --per-disk 2`; the scheduler sees to it, whoever is logged out by then
    #[arg(long, value_name = "COMMAND")]
    pub(crate) then: Option<String>,
    /// Wait until it is ready
    #[arg(long)]
    pub(crate) wait: bool,
    /// Give up waiting after this
    #[arg(long, value_name = "DURATION", default_value = "4h", value_parser = parse_duration)]
    pub(crate) within: Duration,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RolloutShowArguments {
    #[command(flatten)]
    pub(crate) number: ReservationNumber,
    /// As it is now, also on a terminal
    #[arg(long)]
    pub(crate) once: bool,
}
