//! A module's manifest: `module.toml` beside its artifacts, and what `MODULE describe` prints as JSON.

use serde::{Deserialize, Serialize};

/// What a module says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name: `[a-z0-9][a-z0-9_-]{0,31}`.
    pub name: String,
    /// Version.
    pub version: String,
    /// One line, for people.
    #[serde(default)]
    pub description: String,
    /// Executable per architecture.
    #[serde(default)]
    pub artifacts: Vec<ManifestArtifact>,
    /// What one process needs.
    #[serde(default)]
    pub requires: Vec<ManifestRequirement>,
    /// What may be set at a start.
    #[serde(default)]
    pub parameters: Vec<ManifestParameter>,
    /// How long a stop may take before the process is killed: `5s`.
    #[serde(default = "stop_grace")]
    pub stop_grace: String,
    /// It ends by itself.
    #[serde(default)]
    pub ends_by_itself: bool,
    /// Roles of one gang, in order: each member is a process of its own, all on different machines. Empty for no gangs.
    #[serde(default)]
    pub roles: Vec<String>,
    /// A running process whose iterations have not changed for so long is stalled: `30s`. Empty for never.
    #[serde(default)]
    pub stall: String,
    /// Its processes may announce that they reboot, shut down or crash their machine.
    #[serde(default)]
    pub reboots: bool,
    /// Its processes have to run as root: the policy of a machine says whether they may. Others have a user of their own.
    #[serde(default)]
    pub root: bool,
    /// Name of the parameter that says how many further machines each of its processes gets as clients. Empty for none.
    #[serde(default)]
    pub clients: String,
    /// Selector of these machines; empty for any.
    #[serde(default)]
    pub client_selector: String,
}

fn stop_grace() -> String {
    "10s".into()
}

/// An executable file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestArtifact {
    /// `x86_64`, `aarch64`, or `any` for scripts.
    pub architecture: String,
    /// Path, relative to the manifest.
    pub path: String,
    /// SHA-256, lower-case hex; checked where given, computed where not.
    #[serde(default)]
    pub sha256: String,
}

/// A count of one kind of resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestRequirement {
    /// `cpu`, `disk`, `nic`, `memory`, `tape`.
    pub kind: String,
    /// How many; 1 without it.
    #[serde(default = "one")]
    pub count: u32,
    /// Thousandths of a place that one process takes on it; 1000 without it.
    #[serde(default = "whole")]
    pub weight_milli: u32,
}

fn one() -> u32 {
    1
}

fn whole() -> u32 {
    1000
}

/// One thing that may be set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestParameter {
    /// Name.
    pub name: String,
    /// `text`, `integer`, `boolean`, `size`, `duration`, `choice`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Default; required where absent.
    #[serde(default)]
    pub default: Option<String>,
    /// Least value.
    #[serde(default)]
    pub minimum: Option<String>,
    /// Greatest value.
    #[serde(default)]
    pub maximum: Option<String>,
    /// Legal values of a choice.
    #[serde(default)]
    pub values: Vec<String>,
    /// One line, for people.
    #[serde(default)]
    pub help: String,
    /// A running process takes a new value (`set`); others are refused while it runs.
    #[serde(default)]
    pub live: bool,
}
