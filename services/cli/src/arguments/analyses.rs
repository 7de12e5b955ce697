//! Reports that judge: what can be typed after `muster report`.

use std::time::Duration;

use clap::Args;

use super::FilterArguments;
use crate::target::ProcessName;
use crate::times::parse_duration;

#[derive(Debug, Args)]
pub(crate) struct HistoryArguments {
    /// Process
    #[arg(value_name = "DPID|RUN/DPID")]
    pub(crate) process: ProcessName,
    /// Run; the newest without it
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub(crate) run: u32,
}

#[derive(Debug, Args)]
pub(crate) struct TimelineArguments {
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    /// Width of a stretch of time; without it so that there are at most sixty
    #[arg(long, value_parser = parse_duration)]
    pub(crate) bucket: Option<Duration>,
    /// Show this metric beside
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) metric: String,
}

#[derive(Debug, Args)]
pub(crate) struct WorstArguments {
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    /// Only this metric; may be given often
    #[arg(long = "metric", value_name = "NAME")]
    pub(crate) metrics: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// The run that the other is compared with
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) before: u32,
    /// The run that is compared
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) after: u32,
    /// Only this metric; may be given often
    #[arg(long = "metric", value_name = "NAME")]
    pub(crate) metrics: Vec<String>,
    /// Only this module
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) module: String,
    /// Only this type of machine
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) machine_type: String,
    /// Only this type of device
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) device_type: String,
    /// A difference counts where chance alone makes it less often than this
    #[arg(long, default_value = "0.01", value_parser = parse_part)]
    pub(crate) significance: u32,
    /// A difference counts from this part of the median on
    #[arg(long, default_value = "0.05", value_parser = parse_part)]
    pub(crate) change: u32,
}

#[derive(Debug, Args)]
pub(crate) struct QuietArguments {
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    /// Quiet is what has sent no sample for so long before the newest of all
    #[arg(long, default_value = "1m", value_parser = parse_duration)]
    pub(crate) longer_than: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct CoverageArguments {
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    /// Pairs of modules that ran at the same time on one machine
    #[arg(long)]
    pub(crate) pairs: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UseArguments {
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    /// One row for each machine, with how much of its time it was available
    #[arg(long)]
    pub(crate) by_machine: bool,
}

/// A part of one, in millionths.
fn parse_part(text: &str) -> Result<u32, String> {
    let rule = "give a part of 1, like `0.01`";
    let part: f64 = text.parse().map_err(|_| rule.to_owned())?;
    let ppm = (part * 1e6).round();
    if !(1.0..1e6).contains(&ppm) {
        return Err(rule.into());
    }
    Ok(ppm as u32)
}
