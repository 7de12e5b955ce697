//! The policy file of this machine: what triggers may do here. Only its owner, root, decides; nothing that comes over the bus can
//! permit more.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use muster_model::TriggerPolicy;
use muster_model::quantity::parse_duration;
use serde::Deserialize;

/// The file is not read beyond this.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Commands that it may name.
const COMMANDS_MAX: usize = 64;
/// A command is ended after this, where the file says nothing.
const COMMAND_TIMEOUT: &str = "60s";
/// Where keys of the magic SysRq go.
const SYSRQ_TRIGGER: &str = "/proc/sysrq-trigger";
/// To everybody on the network, port 9 (discard).
const PACKET_TO: &str = "255.255.255.255:9";

/// A file that was changed so shortly before it was read may be changed again without another time of change.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

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

/// The policy file: looked at whenever something acts, and read again where it is another than it was.
#[derive(Debug)]
pub(crate) struct PolicyFile {
    path: PathBuf,
    known: Mutex<Option<(Stamp, Arc<Policy>)>>,
}

/// What a change of a file changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    trust: (u32, u32),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        Some(Self {
            file: (meta.dev(), meta.ino()),
            size: meta.len(),
            trust: (meta.uid(), meta.mode()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }

    /// Whoever changes the file from now on gives it another time of change.
    fn is_settled(&self) -> bool {
        let changed = Duration::from_secs(u64::try_from(self.changed.0).unwrap_or(0));
        SystemTime::now().duration_since(UNIX_EPOCH).is_ok_and(|now| now > changed + SETTLED_AFTER)
    }
}

impl PolicyFile {
    /// The file at this path, which need not be there.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), known: Mutex::default() }
    }

    /// What it says now.
    ///
    /// # Errors
    /// As [`Policy::read`].
    pub(crate) fn read(&self) -> anyhow::Result<Arc<Policy>> {
        let stamp = Stamp::of(&self.path);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(stamp), Some((of, policy))) = (&stamp, &*known)
            && stamp == of
        {
            return Ok(Arc::clone(policy));
        }
        // The stamp is older than what is read: a change in between is noticed the next time.
        let settled = stamp.filter(Stamp::is_settled);
        *known = None;
        let policy = Arc::new(Policy::read(&self.path)?);
        *known = settled.map(|stamp| (stamp, Arc::clone(&policy)));
        Ok(policy)
    }
}

impl Policy {
    /// Reads the file. One that is not there permits nothing; one that is wrong permits nothing either, and says why.
    ///
    /// # Errors
    /// It can not be read, others than its owner could have written it, or it says what is not understood.
    fn read(path: &Path) -> anyhow::Result<Self> {
        let meta = match std::fs::metadata(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        let own = rustix::process::geteuid().as_raw();
        ensure!(
            (meta.uid() == 0 || meta.uid() == own) && meta.mode() & 0o022 == 0,
            "trust {}: it has to belong to root and be writable by its owner alone",
            path.display()
        );
        ensure!(meta.len() <= FILE_BYTES_MAX, "read {}: it is larger than {FILE_BYTES_MAX} bytes", path.display());
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("understand {}", path.display()))
    }

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
        while file.known.lock().unwrap().is_none() && begin.elapsed() < Duration::from_secs(20) {
            assert!(!crash());
            std::thread::yield_now();
        }
        assert!(file.known.lock().unwrap().is_some(), "a file that has long been so is not read again");
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
        assert_eq!(Policy::read(&path).unwrap(), Policy::default(), "without a file nothing is permitted");
        std::fs::write(&path, "crash = true").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Policy::read(&path).unwrap().permits.crash);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o664)).unwrap();
        assert!(Policy::read(&path).is_err());
    }
}
