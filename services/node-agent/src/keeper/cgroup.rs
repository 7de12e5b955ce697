//! A cgroup (version 2) for each process, where this keeper may make one: a kill then reaches whatever the process started,
//! however it hid. Where it may not, nothing is lost but that: see `descendants`.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::protocol::Limits;

/// What limits processes, memory and CPUs.
pub(crate) const CONTROLLERS: [&str; 3] = ["pids", "memory", "cpu"];
/// Where systemd puts agent and keeper below their unit, so that what is above can be divided (DelegateSubgroup=).
const AGENTS_GROUP: &str = "agent";
/// Two lines of a word and a digit, and room for some that later kernels add.
const EVENTS_BYTES: usize = 128;

/// Where the cgroups of this keeper's processes are made.
#[derive(Debug, Clone)]
pub(crate) struct Cgroups {
    /// None where cgroups can not be used.
    parent: Option<PathBuf>,
    /// Those of [`CONTROLLERS`] that limit what is in them.
    controllers: Vec<String>,
}

impl Cgroups {
    /// Finds the keeper's own cgroup, and makes one below it for this state directory.
    pub(crate) fn find(state: &Path) -> Self {
        let digest = blake3::hash(state.as_os_str().as_encoded_bytes()).to_hex();
        let own = own_cgroup().map(|own| if own.ends_with(AGENTS_GROUP) { above(own) } else { own });
        own.as_deref().map(divide);
        let parent = own.map(|own| own.join(format!("muster-{}", &digest[..12])));
        let parent = parent.filter(|parent| parent.is_dir() || fs::create_dir(parent).is_ok());
        let parent = parent.filter(|parent| parent.join("cgroup.kill").exists());
        if let Some(own) = parent.as_ref().and_then(|parent| parent.parent()) {
            remove_abandoned(own);
        }
        let controllers = parent.as_deref().map(divide).unwrap_or_default();
        Self { parent, controllers }
    }

    /// What limits the processes in them.
    pub(crate) fn controllers(&self) -> &[String] {
        &self.controllers
    }

    /// Makes the cgroup of a process that is about to start.
    pub(crate) fn make(&self, name: &str, limits: &Limits) -> Option<OwnedFd> {
        let group = self.parent.as_ref()?.join(name);
        // With its parent, which another keeper may just have taken for abandoned.
        fs::create_dir(&group).or_else(|_| fs::create_dir_all(&group)).ok()?;
        for (file, value) in settings(&self.controllers, limits) {
            if let Err(error) = fs::write(group.join(file), value.to_string()) {
                eprintln!("muster-keeper: {name} can not be limited by {file}: {error}");
            }
        }
        Some(fs::File::open(&group).ok()?.into())
    }

    /// Puts a process that has started already into a cgroup of its own.
    pub(crate) fn enter(&self, name: &str, pid: u32) {
        let Some(parent) = &self.parent else { return };
        let group = parent.join(name);
        if fs::create_dir_all(&group).is_ok() {
            // It fails when the process is gone already.
            let _ = fs::write(group.join("cgroup.procs"), pid.to_string());
        }
    }

    /// Kills everything in the cgroup of a process.
    pub(crate) fn kill(&self, name: &str) {
        if let Some(parent) = &self.parent {
            let _ = fs::write(parent.join(name).join("cgroup.kill"), "1");
        }
    }

    /// Kills what a process that is gone left in its cgroup.
    pub(crate) fn leave(&self, name: &str) {
        // Killing is slow: only where somebody is left.
        if self.is_populated(name) {
            self.kill(name);
        }
    }

    fn is_populated(&self, name: &str) -> bool {
        let Some(parent) = &self.parent else { return false };
        let mut events = [0; EVENTS_BYTES];
        let read = fs::File::open(parent.join(name).join("cgroup.events")).and_then(|mut file| file.read(&mut events));
        match read {
            Ok(size) => !String::from_utf8_lossy(&events[..size]).contains("populated 0"),
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        }
    }

    /// Removes the cgroup of a process that is gone. One that is populated stays: see [`Cgroups::leave`].
    pub(crate) fn remove(&self, name: &str) {
        if let Some(parent) = &self.parent {
            let _ = fs::remove_dir(parent.join(name));
        }
    }

    /// Removes everything that is empty, when the keeper ends.
    pub(crate) fn close(&self) {
        if let Some(parent) = &self.parent {
            remove_empty_below(parent);
            let _ = fs::remove_dir(parent);
        }
    }
}

/// What is written into which file of a cgroup.
fn settings(controllers: &[String], limits: &Limits) -> Vec<(&'static str, u64)> {
    let all = [
        ("pids", "pids.max", limits.processes),
        ("memory", "memory.max", limits.memory_bytes),
        ("cpu", "cpu.weight", limits.cpu_weight),
    ];
    let set =
        all.into_iter().filter(|(controller, _, value)| *value > 0 && controllers.iter().any(|it| it == controller));
    set.map(|(_, file, value)| (file, value)).collect()
}

/// Lets controllers limit what is made in a cgroup, those that can; gives which do. A cgroup with processes in it can not be divided.
fn divide(group: &Path) -> Vec<String> {
    let control = group.join("cgroup.subtree_control");
    for controller in CONTROLLERS {
        let _ = fs::write(&control, format!("+{controller}"));
    }
    let divided = fs::read_to_string(&control).unwrap_or_default();
    let ours = divided.split_whitespace().filter(|name| CONTROLLERS.contains(name));
    ours.map(str::to_owned).collect()
}

fn above(mut group: PathBuf) -> PathBuf {
    group.pop();
    group
}

fn own_cgroup() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?.split(' ').nth(4)?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(mount).join(path))
}

/// Removes what killed keepers left. Whatever has processes stays, and who needs its empty one makes it again.
fn remove_abandoned(own: &Path) {
    for entry in fs::read_dir(own).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("muster-") {
            remove_empty_below(&entry.path());
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// rmdir leaves a cgroup that has processes alone.
fn remove_empty_below(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_limited_and_can_be_is_written() {
        let limits = Limits { processes: 5, memory_bytes: 7, cpu_weight: 0, ..Limits::default() };
        let all = CONTROLLERS.map(str::to_owned);
        assert_eq!(settings(&all, &limits), [("pids.max", 5), ("memory.max", 7)]);
        assert_eq!(settings(&all[..1], &limits), [("pids.max", 5)]);
        assert!(settings(&[], &limits).is_empty());
    }
}
