//! `muster module test`: runs a module by itself, without a lab, against the whole contract of docs/module-protocol.md, and says
//! line by line what it keeps, what it breaks, and what it lacks that a module need not have.
//!
//! It plays an agent (`agent`), starts the module's program as an agent would (`subject`), and leads it through trials
//! (`trials`), each a life of its own. What is wrong with a metric is told by `metrics`.

mod agent;
mod context;
mod metrics;
mod subject;
mod trials;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use muster_module_protocol::Manifest;
use serde::Serialize;

use super::manifest;
use super::modules::manifest_path;
use crate::arguments::ModuleTestArguments;
use crate::exit::Failure;
use crate::output::{self, Format};
use trials::Trials;

/// What is found of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Found {
    Keeps,
    Breaks,
    /// It need not have it.
    Lacks,
}

impl Found {
    fn as_str(self) -> &'static str {
        match self {
            Self::Keeps => "keeps",
            Self::Breaks => "BREAKS",
            Self::Lacks => "lacks",
        }
    }
}

/// One line.
#[derive(Debug, Serialize)]
struct Line {
    found: Found,
    rule: &'static str,
    detail: String,
}

/// What was found so far; each line is printed as it is found.
#[derive(Debug)]
struct Report {
    lines: Vec<Line>,
    prints: bool,
}

impl Report {
    fn say(&mut self, found: Found, rule: &'static str, detail: impl Into<String>) {
        let line = Line { found, rule, detail: detail.into() };
        if self.prints {
            let text = format!("{:<6}  {:<10}  {}\n", found.as_str(), rule, line.detail);
            // Whoever reads it may go away; the exit code says the same.
            let _: Result<(), Failure> = output::write(&text);
        }
        self.lines.push(line);
    }

    /// Keeps it, or breaks it in this way.
    fn check(&mut self, rule: &'static str, kept: &str, result: Result<(), String>) {
        match result {
            Ok(()) => self.say(Found::Keeps, rule, kept),
            Err(broken) => self.say(Found::Breaks, rule, broken),
        }
    }

    fn broken(&self) -> usize {
        self.lines.iter().filter(|line| line.found == Found::Breaks).count()
    }
}

/// A module that is to be tested.
#[derive(Debug)]
struct Tested {
    manifest: Manifest,
    program: PathBuf,
    parameters: BTreeMap<String, String>,
    disk: Option<PathBuf>,
}

pub(super) fn run(arguments: &ModuleTestArguments, format: Format) -> Result<(), Failure> {
    let path = manifest_path(&arguments.path);
    let text = std::fs::read_to_string(&path).with_context(|| format!("read the manifest {}", path.display()))?;
    let mut report = Report { lines: Vec::new(), prints: format == Format::Table };
    match tested(arguments, &path, &text) {
        Ok(tested) => {
            let kept =
                format!("{} {}, program {}", tested.manifest.name, tested.manifest.version, tested.program.display());
            report.say(Found::Keeps, "manifest", kept);
            Trials { tested: &tested, report: &mut report }.run()?;
        }
        Err(Wrong::Manifest(broken)) => report.say(Found::Breaks, "manifest", broken),
        Err(Wrong::Usage(reason)) => return Err(Failure::Usage(reason)),
    }
    if format != Format::Table {
        let json = serde_json::to_string_pretty(&report.lines).context("write the report")?;
        output::write(&format!("{json}\n"))?;
    }
    match report.broken() {
        0 => Ok(()),
        1 => Err(Failure::Other(anyhow!("{} breaks one rule; see docs/module-protocol.md", path.display()))),
        broken => Err(Failure::Other(anyhow!("{} breaks {broken} rules; see docs/module-protocol.md", path.display()))),
    }
}

/// Why there is nothing to test.
enum Wrong {
    Manifest(String),
    Usage(String),
}

fn tested(arguments: &ModuleTestArguments, path: &Path, text: &str) -> Result<Tested, Wrong> {
    let manifest = manifest::parse(text).map_err(Wrong::Manifest)?;
    manifest::module(&manifest).map_err(Wrong::Manifest)?;
    let beside = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let directory = arguments.artifacts.as_ref().unwrap_or(&beside);
    let suits = |architecture: &str| architecture == "any" || architecture == std::env::consts::ARCH;
    let artifact = manifest.artifacts.iter().find(|artifact| suits(&artifact.architecture));
    let artifact = artifact.ok_or_else(|| Wrong::Manifest(format!("no artifact is for {}", std::env::consts::ARCH)))?;
    let program =
        std::path::absolute(directory.join(&artifact.path)).unwrap_or_else(|_| directory.join(&artifact.path));
    check_program(&program)?;
    let parameters = parameters(&manifest, &arguments.parameters).map_err(Wrong::Usage)?;
    Ok(Tested { program, parameters, disk: arguments.disk.clone(), manifest })
}

fn check_program(program: &Path) -> Result<(), Wrong> {
    use std::os::unix::fs::PermissionsExt as _;
    let shown = program.display();
    match std::fs::metadata(program) {
        Err(error) => {
            Err(Wrong::Manifest(format!("artifact {shown}: {error}; say where it lies with --artifacts DIR")))
        }
        Ok(metadata) if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 => Ok(()),
        Ok(_) => Err(Wrong::Manifest(format!("artifact {shown} is not executable: chmod +x"))),
    }
}

/// Defaults, and what was given in their place.
fn parameters(manifest: &Manifest, given: &[(String, String)]) -> Result<BTreeMap<String, String>, String> {
    let mut parameters = BTreeMap::new();
    for known in &manifest.parameters {
        let value = given.iter().find(|(name, _)| *name == known.name).map(|(_, value)| value.clone());
        match value.or_else(|| known.default.clone()) {
            Some(value) => drop(parameters.insert(known.name.clone(), value)),
            None => return Err(format!("parameter `{0}` is required: give it with --param {0}=VALUE", known.name)),
        }
    }
    match given.iter().find(|(name, _)| !parameters.contains_key(name)) {
        Some((name, _)) => Err(format!("{} has no parameter `{name}`", manifest.name)),
        None => Ok(parameters),
    }
}
