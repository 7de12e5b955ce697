//! `muster client`: inside a test, for its own clients.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::times::parse_duration;

/// Inside a test: machines that are reserved for it, and go back when it ends.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Ask for machines
    Ask(ClientAsk),
    /// List the clients of this test
    List,
    /// Wait until they are ready
    Wait {
        /// Go on with so many; all of them without it
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        ready: Option<u32>,
        /// Give up waiting after this
        #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
        within: Duration,
    },
    /// Keep a reservation of clients for longer
    Extend {
        /// Number of the reservation
        #[arg(value_name = "RESERVATION", value_parser = clap::value_parser!(u64).range(1..))]
        reservation: u64,
        /// By how much
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        by: Duration,
    },
    /// Give a machine back before the end
    Dismiss {
        /// The machine
        machine: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ClientAsk {
    /// Which machines: names, globs, or an expression like `cpus>=4 and not tag=slow`; any without it
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) selector: String,
    /// How many machines
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
    /// All of them or none; without it each comes as it becomes free
    #[arg(long)]
    pub(crate) together: bool,
    /// For how long at most: they end with the test
    #[arg(long = "for", value_name = "DURATION", default_value = "8h", value_parser = parse_duration)]
    pub(crate) duration: Duration,
    /// Before those with a lower one, from 0 to 100
    #[arg(long, default_value_t = 0)]
    pub(crate) priority: u32,
}
