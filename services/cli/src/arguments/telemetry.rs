//! `muster admin telemetry`.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::times::parse_duration;

#[derive(Debug, Subcommand)]
pub(crate) enum TelemetryCommand {
    /// Show what is kept of samples: hot rows, chunks, backlog, gaps, rejects, bounds, retention
    Status,
    /// Show or set how long tables keep what they hold: `chunk=30d`, or `chunk=off` to keep everything
    Retention(RetentionArguments),
    /// Take all samples away; positions in the streams stay, so that nothing is stored twice
    Reinitialise(ReinitialiseArguments),
}

#[derive(Debug, Args)]
pub(crate) struct RetentionArguments {
    /// Table and time; without it the present retention is shown
    #[arg(value_name = "TABLE=30d|off", value_parser = parse_retention)]
    pub(crate) retention: Option<Retention>,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// How long a table keeps what it holds; none keeps everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Retention {
    pub(crate) table: String,
    pub(crate) keep: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct ReinitialiseArguments {
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

fn parse_retention(text: &str) -> Result<Retention, String> {
    let (table, keep) = text.split_once('=').ok_or("give a table and a time, like `chunk=30d` or `chunk=off`")?;
    let keep = match keep {
        "off" => None,
        time => Some(parse_duration(time)?),
    };
    if keep.is_some_and(|keep| keep.as_secs() == 0) {
        return Err("the shortest time is 1s; `off` keeps everything".into());
    }
    Ok(Retention { table: table.into(), keep })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_is_a_table_and_a_time() {
        let of = |keep| Retention { table: "chunk".into(), keep };
        assert_eq!(parse_retention("chunk=30d"), Ok(of(Some(Duration::from_secs(30 * 86_400)))));
        assert_eq!(parse_retention("chunk=off"), Ok(of(None)));
        for wrong in ["chunk", "chunk=", "chunk=soon", "chunk=0s"] {
            assert!(parse_retention(wrong).is_err(), "{wrong}");
        }
    }
}
