//! `muster export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::target::ExportTarget;

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The format
    #[arg(value_enum)]
    pub(crate) format: ExportFormat,
    /// Job number, or `plan:NUMBER`
    #[arg(value_name = "JOB|plan:N")]
    pub(crate) target: ExportTarget,
    /// Run; the newest without it
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub(crate) run: u32,
    /// File to write; stdout without it
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// JUnit XML.
    Junit,
    /// Test Anything Protocol, version 13.
    Tap,
    /// Common Test Report Format.
    Ctrf,
}
