//! Commands about pulses, and about jobs that change while they run.

use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::times::parse_duration;

#[derive(Debug, Subcommand)]
pub(crate) enum PulseCommand {
    /// Define a pulse, or define it otherwise: it takes effect at once, on every machine
    Set(PulseSetArguments),
    /// List the pulses that are defined, and who is gated by them
    List,
    /// Take definitions away: who has such a pulse goes on free of it
    Clear(PulseClearArguments),
    /// Hold jobs that run, free one after another, and name what was in when the first trouble came
    Ladder(PulseLadderArguments),
}

#[derive(Debug, Args)]
pub(crate) struct PulseLadderArguments {
    /// Job numbers, in the order in which they are freed
    #[arg(value_name = "JOB", required = true)]
    pub(crate) jobs: Vec<u32>,
    /// How long each step lasts
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub(crate) step: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct PulseSetArguments {
    /// Number, 0 to 255
    #[arg(value_parser = clap::value_parser!(u32).range(0..=255), allow_negative_numbers = true)]
    pub(crate) number: u32,
    /// How long it blocks: 1ms to 24h
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(crate) block: Duration,
    /// How long it lets processes go on: 1ms to 24h
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(crate) free: Duration,
    /// Moves the wave, so that several with the same times take turns
    #[arg(long, value_name = "DURATION", default_value = "0s", hide_default_value = true, value_parser = parse_duration, allow_hyphen_values = true)]
    pub(crate) phase: Duration,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["numbers", "all"]))]
pub(crate) struct PulseClearArguments {
    /// Numbers, 0 to 255
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(0..=255), allow_negative_numbers = true)]
    pub(crate) numbers: Vec<u32>,
    /// All of them
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["parameters", "pulses"]))]
pub(crate) struct SetArguments {
    /// Job number
    pub(crate) job: u32,
    /// Parameters that its module takes while it runs
    #[arg(value_name = "NAME=VALUE", value_parser = super::jobs::parse_parameter)]
    pub(crate) parameters: Vec<(String, String)>,
    /// Its pulses from here on, like `3,7`; `none` lets it go on free
    #[arg(long = "pulse", value_name = "N[,M]|none")]
    pub(crate) pulses: Option<PulseList>,
}

/// Pulses as they are given to a job that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PulseList(pub(crate) Vec<u32>);

impl FromStr for PulseList {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(Vec::new()));
        }
        let number = |word: &str| match word.parse::<u32>() {
            Ok(number @ 0..=255) => Ok(number),
            _ => Err(format!("`{word}` is no pulse: they are numbered 0 to 255; write `3,7`, or `none`")),
        };
        text.split(',').map(number).collect::<Result<_, _>>().map(Self)
    }
}
