//! The command line tool, as a person of a lab runs it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, ensure};

/// Runs `muster`.
#[derive(Debug, Clone)]
pub struct Client {
    /// Path of the program.
    pub program: PathBuf,
    /// By which it finds its lab.
    pub environment: BTreeMap<String, String>,
}

impl Client {
    /// Runs it, and returns what it printed.
    ///
    /// # Errors
    /// When it can not be run.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(&self.program);
        command.args(arguments).envs(&self.environment).stdin(Stdio::null());
        command.output().context("run muster")
    }

    /// Runs it, and returns its stdout.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn ok(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.run(arguments)?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "`muster {}` ended with {}: {}",
            arguments.join(" "),
            output.status,
            error.trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it with `--output json`.
    ///
    /// # Errors
    /// When it fails, or prints something else.
    pub fn json(&self, arguments: &[&str]) -> anyhow::Result<serde_json::Value> {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--output", "json"]);
        let printed = self.ok(&arguments)?;
        serde_json::from_str(&printed).with_context(|| format!("read what `muster {}` printed", arguments.join(" ")))
    }
}
