//! A module's program, its manifest and its files.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use muster_module_protocol::{Manifest, environment};

/// The program without an agent, with parameters as `NAME=VALUE`: it says on its stdout what it would say to the agent.
#[must_use]
pub fn by_hand(program: &str, parameters: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.env_remove(environment::SOCKET).args(parameters.iter().flat_map(|text| ["--param", text]));
    command
}

/// The manifest that a program prints.
///
/// # Panics
/// When it prints none.
#[must_use]
pub fn described(command: &mut Command) -> Manifest {
    let output = command.arg("describe").output().expect("run the program");
    serde_json::from_slice(&output.stdout).expect("a manifest")
}

/// The manifest of a `module.toml`.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn manifest(text: &str) -> Manifest {
    toml::from_str(text).expect("a manifest")
}

/// The parameters that an agent would tell: the manifest's defaults, and those that are given as `NAME=VALUE`.
///
/// # Panics
/// When one is given otherwise.
#[must_use]
pub fn parameters(manifest: Manifest, given: &[&str]) -> BTreeMap<String, String> {
    let defaults = manifest.parameters.into_iter().filter_map(|known| Some((known.name, known.default?)));
    let given = given.iter().map(|text| text.split_once('=').expect("NAME=VALUE"));
    defaults.chain(given.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}

/// Names of what is in a directory.
///
/// # Panics
/// When it can not be read.
#[must_use]
pub fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}
