//! The policy file of triggers: what they may do on this machine. Only its owner, root, decides; nothing that comes over the bus can
//! permit more.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use muster_model::TriggerPolicy;
use muster_model::quantity::parse_duration;
use serde::Deserialize;

use crate::trusted_file::{Trusted, TrustedFile};

/// Commands that it may name.
const COMMANDS_MAX: usize = 64;
/// A command is ended after this, where the file says nothing.
const COMMAND_TIMEOUT: &str = "60s";
/// Where keys of the magic SysRq go.
const SYSRQ_TRIGGER: &str = "/proc/sysrq-trigger";
/// To everybody on the network, port 9 (discard).
const PACKET_TO: &str = "255.255.255.255:9";

/// What the file says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    crash: bool,
    /// Keys, as one word.
    #[serde(default)]
    sysrq: String,
    #[serde(default = "sysrq_trigger")]
    sysrq_trigger: PathBuf,
    #[serde(default = "packet_to")]
    packet_to: SocketAddr,
    #[serde(default)]
    command: BTreeMap<String, Command>,
}

fn sysrq_trigger() -> PathBuf {
    SYSRQ_TRIGGER.into()
}

fn packet_to() -> SocketAddr {
    PACKET_TO.parse().expect("it is an address with a port")
}

/// A program that a trigger may run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Command {
    /// Path of the program; no shell looks at it.
    pub program: PathBuf,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// It is ended after this.
    #[serde(default = "command_timeout")]
    timeout: String,
}

fn command_timeout() -> String {
    COMMAND_TIMEOUT.into()
}

impl Command {
    /// It is ended after this.
    pub(crate) fn timeout(&self) -> Duration {
        parse_duration(&self.timeout).expect("checked when the file was read")
    }
}

/// What triggers may do on this machine, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    /// What is permitted.
    pub permits: TriggerPolicy,
    /// Where keys of the magic SysRq go.
    pub sysrq_trigger: PathBuf,
    /// Where frames go.
    pub packet_to: SocketAddr,
    /// Commands by name.
    pub commands: BTreeMap<String, Command>,
}

impl Default for Policy {
    /// Without a file: nothing that needs a permission.
    fn default() -> Self {
        Self {
            permits: TriggerPolicy::default(),
            sysrq_trigger: sysrq_trigger(),
            packet_to: packet_to(),
            commands: BTreeMap::new(),
        }
    }
}

/// The policy file of triggers.
pub(crate) type PolicyFile = TrustedFile<Policy>;

impl Trusted for Policy {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let file: File = toml::from_str(text)?;
        ensure!(file.command.len() <= COMMANDS_MAX, "more than {COMMANDS_MAX} commands");
        for (name, command) in &file.command {
            parse_duration(&command.timeout).with_context(|| format!("timeout of the command {name}"))?;
            ensure!(command.program.is_absolute(), "the program of the command {name} is no absolute path");
        }
        let commands: BTreeSet<String> = file.command.keys().cloned().collect();
        let permits = TriggerPolicy { crash: file.crash, sysrq: file.sysrq.chars().collect(), commands };
        let File { sysrq_trigger, packet_to, command, .. } = file;
        Ok(Self { permits, sysrq_trigger, packet_to, commands: command })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::trusted_file::read;

    #[test]
    fn a_file_says_what_is_permitted() {
        let text = "crash = true\nsysrq = \"wt\"\n[command.collect]\nprogram = \"/bin/true\"\narguments = [\"a b\"]\n";
        let policy = Policy::parse(text).unwrap();
        assert!(policy.permits.crash && policy.permits.sysrq == ['t', 'w'].into());
        assert_eq!(policy.commands["collect"].timeout(), Duration::from_secs(60));
        assert_eq!(policy.permits.commands, ["collect".to_owned()].into());
        assert!(Policy::parse("").unwrap().permits.is_empty());
        for wrong in
            ["crsh = true", "[command.x]\nprogram = \"true\"", "[command.x]\nprogram = \"/x\"\ntimeout = \"1\""]
        {
            assert!(Policy::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_change_of_the_file_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy.toml");
        let file = PolicyFile::new(&path);
        let crash = || file.read().unwrap().permits.crash;
        assert!(!crash(), "without a file nothing is permitted");
        // Of one size and faster than a clock tick: nothing but its content differs.
        for round in 0..200 {
            std::fs::write(&path, if round % 2 == 0 { "crash = true " } else { "crash = false" }).unwrap();
            assert_eq!(crash(), round % 2 == 0, "round {round}");
        }
        let begin = std::time::Instant::now();
        while !file.is_known() && begin.elapsed() < Duration::from_secs(20) {
            assert!(!crash());
            std::thread::yield_now();
        }
        assert!(file.is_known(), "a file that has long been so is not read again");
        assert!(!crash());
        std::fs::write(&path, "crash = true ").unwrap();
        assert!(crash());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o664)).unwrap();
        assert!(file.read().is_err(), "a file that others may write");
        std::fs::remove_file(&path).unwrap();
        assert!(!crash());
    }

    #[test]
    fn a_file_that_others_may_write_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy.toml");
        assert_eq!(read::<Policy>(&path).unwrap(), Policy::default(), "without a file nothing is permitted");
        std::fs::write(&path, "crash = true").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read::<Policy>(&path).unwrap().permits.crash);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o664)).unwrap();
        assert!(read::<Policy>(&path).is_err());
    }
}
