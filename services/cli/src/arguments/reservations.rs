//! `muster reserve`, `muster reservation`, `muster extend` and `muster checkin`.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::times::parse_duration;

#[derive(Debug, Args)]
pub(crate) struct ReserveArguments {
    /// Which machines: names, globs, or an expression like `cpus>=4 and not tag=slow`; any without it
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) selector: String,
    /// How many machines
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
    /// For how long
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub(crate) duration: Duration,
    /// How long what runs there may take to end; it is stopped at once without it
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    pub(crate) drain: Duration,
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) comment: String,
    /// Wait until the machines are ready
    #[arg(long)]
    pub(crate) wait: bool,
    /// Give up waiting after this
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub(crate) within: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct ReservationNumber {
    /// Number of the reservation
    #[arg(value_name = "RESERVATION", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) reservation: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReservationCommand {
    /// List reservations
    List {
        /// Ended ones too
        #[arg(long)]
        all: bool,
    },
    /// Show a reservation
    Show(ReservationNumber),
}

#[derive(Debug, Args)]
pub(crate) struct ExtendArguments {
    #[command(flatten)]
    pub(crate) number: ReservationNumber,
    /// By how much
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) by: Duration,
}
