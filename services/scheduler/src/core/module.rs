//! Test modules: what the catalogue holds, and whether a module may enter it.

use std::time::Duration;

use muster_model::{ModuleName, Refusal, RefusalCode, ResourceKind, Selector};

use super::limits::ROLES_MAX;
use super::parameters;

/// A count of one kind of resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Kind.
    pub kind: ResourceKind,
    /// How many different ones one process needs.
    pub count: u32,
    /// Thousandths of a place that it takes on each.
    pub weight_milli: u32,
}

/// An executable file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// `x86_64`, `aarch64`, or `any`.
    pub architecture: String,
    /// SHA-256, lower-case hex.
    pub sha256: String,
    /// Size, bytes.
    pub size_bytes: u64,
}

/// Form of a parameter's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterType {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// Bytes.
    Size,
    /// A time.
    Duration,
    /// One of a list.
    Choice,
}

/// One thing that a user may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Name.
    pub name: String,
    /// Form.
    pub form: ParameterType,
    /// Default; empty with `required`.
    pub default: String,
    /// Least value; empty means no bound.
    pub minimum: String,
    /// Greatest value; empty means no bound.
    pub maximum: String,
    /// Legal values of a choice.
    pub values: Vec<String>,
    /// Must be given.
    pub required: bool,
    /// For people.
    pub help: String,
    /// A running process takes a new value.
    pub live: bool,
}

/// An installed, characterised test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Name.
    pub name: ModuleName,
    /// Version.
    pub version: String,
    /// For people.
    pub description: String,
    /// Artifact per architecture.
    pub artifacts: Vec<Artifact>,
    /// What one process needs; at most one entry for a kind.
    pub requirements: Vec<Requirement>,
    /// Parameters, sorted by name.
    pub parameters: Vec<Parameter>,
    /// How long a stop may take before the process is killed.
    pub stop_grace: Duration,
    /// It ends by itself.
    pub ends_by_itself: bool,
    /// A running process whose iterations have not changed for so long is stalled; zero for never.
    pub stall: Duration,
    /// Roles of one gang, in order; empty for a module whose processes do not know each other.
    pub roles: Vec<String>,
    /// Its processes may announce that they reboot, shut down or crash their machine.
    pub reboots: bool,
    /// Its processes have to run as root.
    pub root: bool,
    /// Name of the parameter that says how many clients each of its processes gets; empty where it asks for none.
    pub clients: String,
    /// Selector of these.
    pub client_selector: String,
}

impl Module {
    /// It has an executable for machines of this architecture.
    #[must_use]
    pub fn runs_on(&self, architecture: &str) -> bool {
        self.artifacts.iter().any(|artifact| artifact.architecture == "any" || artifact.architecture == architecture)
    }

    /// Resources that one process uses.
    #[must_use]
    pub fn resources_each(&self) -> usize {
        self.requirements.iter().map(|requirement| requirement.count as usize).sum()
    }

    /// Weight of each resource of one process, in the order in which they are placed.
    pub fn weights(&self) -> impl Iterator<Item = u32> + '_ {
        self.requirements.iter().flat_map(|need| std::iter::repeat_n(need.weight_milli, need.count as usize))
    }

    /// It may enter the catalogue.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn check(&self) -> Result<(), Refusal> {
        let refuse = |why: String| {
            let next = "correct its manifest (module.toml) and add it again";
            Refusal::new(RefusalCode::Invalid, format!("add module {}", self.name), why, next)
        };
        if self.artifacts.is_empty() {
            return Err(refuse("it has no artifact, so no machine could run it".into()));
        }
        for artifact in &self.artifacts {
            let hex = artifact.sha256.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            if artifact.sha256.len() != 64 || !hex {
                return Err(refuse(format!(
                    "the SHA-256 of its artifact for {} is not 64 hex digits",
                    artifact.architecture
                )));
            }
        }
        for (index, need) in self.requirements.iter().enumerate() {
            if need.count == 0 || need.count > 256 {
                return Err(refuse(format!(
                    "it requires {} of {}; 1 to 256 are possible",
                    need.count,
                    need.kind.as_str()
                )));
            }
            if self.requirements[..index].iter().any(|other| other.kind == need.kind) {
                return Err(refuse(format!(
                    "it requires {} twice; give one requirement with a count",
                    need.kind.as_str()
                )));
            }
        }
        check_roles(&self.roles).map_err(refuse)?;
        self.check_clients().map_err(refuse)?;
        self.parameters.iter().try_for_each(|parameter| parameters::check_definition(parameter).map_err(refuse))
    }
}

impl Module {
    /// Clients are counted by a parameter that is a number.
    fn check_clients(&self) -> Result<(), String> {
        if self.clients.is_empty() {
            return if self.client_selector.is_empty() {
                Ok(())
            } else {
                Err("it selects clients and asks for none".into())
            };
        }
        let found = self.parameters.iter().find(|parameter| parameter.name == self.clients);
        if found.is_none_or(|parameter| parameter.form != ParameterType::Integer) {
            return Err(format!("`{}`, which counts its clients, is no integer parameter of it", self.clients));
        }
        Selector::parse(&self.client_selector).map_err(|error| format!("client_selector: {error}")).map(drop)
    }
}

/// A gang has two members or more, each with a name of its own.
fn check_roles(roles: &[String]) -> Result<(), String> {
    if roles.is_empty() {
        return Ok(());
    }
    if !(2..=ROLES_MAX).contains(&roles.len()) {
        return Err(format!("it has {} roles; a gang has 2 to {ROLES_MAX}, a module without gangs none", roles.len()));
    }
    for (index, role) in roles.iter().enumerate() {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if role.is_empty() || role.len() > 32 || !role.bytes().all(legal) {
            return Err(format!("`{role}` is not a name for a role: 1 to 32 of a-z, 0-9, `-` and `_`"));
        }
        if roles[..index].contains(role) {
            return Err(format!("role `{role}` is there twice"));
        }
    }
    Ok(())
}
