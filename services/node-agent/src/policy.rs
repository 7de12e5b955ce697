//! The policy of this machine: a file of root's that is stronger than any command. It says what may run as root, as whom everything
//! else runs and with which limits, and what nobody may order here. What triggers may do is in a file of their own.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use muster_model::quantity::parse_size;
use serde::Deserialize;

use crate::trusted_file::{Trusted, TrustedFile};

/// The policy file.
pub(crate) type PolicyFile = TrustedFile<MachinePolicy>;

/// Every module may run as root.
const EVERY: &str = "*";
/// What comes before the digest of an artifact that may run as root, whatever its module is called.
const BY_DIGEST: &str = "sha256:";
/// Users of test processes are these where the file names no others: free on Debian, Fedora and where systemd gives users out.
const USERS_FIRST: u32 = 70_000;
const USERS_COUNT: u32 = 30_000;
/// With fewer, the same user would soon be another process's.
const USERS_COUNT_MIN: u32 = 1_000;
/// OS processes of one test process.
const PROCESSES: u64 = 4_096;
/// Descriptors of each of its OS processes.
const OPEN_FILES: u64 = 65_536;
/// What the kernel gives to whoever says nothing.
const CPU_WEIGHT: u64 = 100;
/// What is left to the agent and the system of this machine's memory, as a part of it.
const MEMORY_LEFT_PART: u64 = 20;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MachinePolicy {
    /// Modules that may run as root: names, `sha256:` and a digest, or `*`.
    root: Vec<String>,
    /// Test processes have users of their own; false where all run as the agent does.
    pub own_users: bool,
    /// ssh keys may be installed.
    pub ssh_keys: bool,
    /// The machine may be rebooted by order, and by tests.
    pub reboot: bool,
    /// Disks and tapes that are never touched, by their paths: these are no resources.
    pub never_touch: Vec<PathBuf>,
    /// Which users test processes have.
    pub users: UserRange,
    /// What one test process may take.
    limits: WrittenLimits,
}

/// Numbers of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UserRange {
    /// The first: the group that all of them have. Users come after it.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// Limits, as they are written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenLimits {
    processes: u64,
    open_files: u64,
    cpu_weight: u64,
    memory: String,
    core: String,
    work: String,
}

/// What one test process may take, together with all that it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// OS processes.
    pub processes: u64,
    /// Descriptors of each.
    pub open_files: u64,
    /// Its share of the CPUs, against 100 of others.
    pub cpu_weight: u64,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// A file of a crashed process, bytes.
    pub core_bytes: u64,
    /// Its work directory, bytes; none without a limit.
    pub work_bytes: Option<u64>,
}

impl Default for MachinePolicy {
    /// Without a file: nothing runs as root, and orders need the leave of the agent's own arguments alone.
    fn default() -> Self {
        Self {
            root: Vec::new(),
            own_users: true,
            ssh_keys: true,
            reboot: true,
            never_touch: Vec::new(),
            users: UserRange::default(),
            limits: WrittenLimits::default(),
        }
    }
}

impl Default for UserRange {
    fn default() -> Self {
        Self { first: USERS_FIRST, count: USERS_COUNT }
    }
}

impl Default for WrittenLimits {
    fn default() -> Self {
        let (memory, work) = (String::new(), String::new());
        let core = "0".to_owned();
        Self { processes: PROCESSES, open_files: OPEN_FILES, cpu_weight: CPU_WEIGHT, memory, core, work }
    }
}

impl Trusted for MachinePolicy {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let policy: Self = toml::from_str(text)?;
        let UserRange { first, count } = policy.users;
        ensure!(first > 0, "users.first is 0, and that is root");
        ensure!(count >= USERS_COUNT_MIN, "users.count is {count}, and has to be at least {USERS_COUNT_MIN}");
        ensure!(first.checked_add(count).is_some_and(|end| end < u32::MAX), "users go beyond what the kernel has");
        ensure!((1..=10_000).contains(&policy.limits.cpu_weight), "limits.cpu_weight is none of 1 to 10000");
        ensure!(policy.limits.processes > 0 && policy.limits.open_files > 0, "a limit is 0");
        for path in &policy.never_touch {
            ensure!(path.is_absolute(), "never_touch: {} is no absolute path", path.display());
        }
        policy.limits.allowance(0)?;
        Ok(policy)
    }
}

impl WrittenLimits {
    fn allowance(&self, machine_bytes: u64) -> anyhow::Result<Allowance> {
        let size = |name: &str, text: &str| parse_size(text).with_context(|| format!("limits.{name}"));
        let memory_bytes = match self.memory.as_str() {
            "" => machine_bytes - machine_bytes / MEMORY_LEFT_PART,
            text => size("memory", text)?,
        };
        let work_bytes = Some(self.work.as_str()).filter(|text| !text.is_empty());
        Ok(Allowance {
            processes: self.processes,
            open_files: self.open_files,
            cpu_weight: self.cpu_weight,
            memory_bytes,
            core_bytes: size("core", &self.core)?,
            work_bytes: work_bytes.map(|text| size("work", text)).transpose()?,
        })
    }
}

impl MachinePolicy {
    /// A module may run as root.
    ///
    /// # Errors
    /// It may not: says where that is permitted.
    pub(crate) fn check_root(&self, file: &Path, module: &str, sha256: &str) -> anyhow::Result<()> {
        let permits = |entry: &String| match entry.strip_prefix(BY_DIGEST) {
            Some(digest) => digest == sha256,
            None => entry == EVERY || entry == module,
        };
        ensure!(
            self.root.iter().any(permits),
            "the policy of this machine does not let the module {module} run as root: add it to `root` in {} there, or \
             choose other machines with --on",
            file.display()
        );
        Ok(())
    }

    /// What one test process may take on a machine with so much memory.
    pub(crate) fn allowance(&self, machine_bytes: u64) -> Allowance {
        self.limits.allowance(machine_bytes).expect("checked when the file was read")
    }

    /// A device is never touched: it is one that is named, by whatever path.
    pub(crate) fn is_never_touched(&self, path: &str) -> bool {
        let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let device = real(Path::new(path));
        self.never_touch.iter().any(|named| real(named) == device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_file_nothing_runs_as_root_and_everything_has_limits() {
        let policy = MachinePolicy::parse("").unwrap();
        assert_eq!(policy, MachinePolicy::default());
        let refused = policy.check_root(Path::new("/etc/muster/policy.toml"), "ltp", "ab").unwrap_err().to_string();
        assert!(refused.contains("ltp") && refused.contains("/etc/muster/policy.toml"), "{refused}");
        let allowance = policy.allowance(1_000);
        assert_eq!((allowance.memory_bytes, allowance.core_bytes, allowance.work_bytes), (950, 0, None));
        assert!(policy.own_users && policy.ssh_keys && policy.reboot);
    }

    #[test]
    fn a_module_runs_as_root_by_its_name_by_its_digest_or_where_all_do() {
        let check = |root: &str| MachinePolicy::parse(root).unwrap().check_root(Path::new("/p"), "ltp", "abc").is_ok();
        assert!(check("root = [\"ltp\"]") && check("root = [\"sha256:abc\"]") && check("root = [\"*\"]"));
        assert!(!check("root = [\"lt\"]") && !check("root = [\"sha256:ltp\", \"abc\", \"l*\"]") && !check("root = []"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for wrong in [
            "rot = []",
            "reboot = \"no\"",
            "never_touch = [\"sda\"]",
            "[users]\nfirst = 0",
            "[users]\ncount = 10",
            "[users]\nfirst = 4294967000",
            "[limits]\nmemory = \"much\"",
            "[limits]\nprocesses = 0",
            "[limits]\ncpu_weight = 0",
        ] {
            assert!(MachinePolicy::parse(wrong).is_err(), "{wrong}");
        }
        let policy = MachinePolicy::parse("[limits]\nmemory = \"1GiB\"\nwork = \"10MiB\"\ncore = \"1MiB\"\n").unwrap();
        let allowance = policy.allowance(0);
        assert_eq!((allowance.memory_bytes, allowance.core_bytes), (1 << 30, 1 << 20));
        assert_eq!(allowance.work_bytes, Some(10 << 20));
    }

    #[test]
    fn a_disk_is_recognised_by_whatever_path() {
        let folder = tempfile::tempdir().unwrap();
        let (disk, link) = (folder.path().join("disk"), folder.path().join("by-id"));
        std::fs::write(&disk, "").unwrap();
        std::os::unix::fs::symlink(&disk, &link).unwrap();
        let policy = MachinePolicy { never_touch: vec![link], ..MachinePolicy::default() };
        assert!(policy.is_never_touched(disk.to_str().unwrap()));
        assert!(!policy.is_never_touched(folder.path().to_str().unwrap()));
    }
}
