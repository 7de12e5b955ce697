//! Which processes belong to a lab, and the end of it: found by what they have in their environment, for who brought them up may be gone.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::text;
use crate::loop_device::dismount_below;
use crate::{is_alive, wait_until};

/// Ends every process of the lab in `directory`, by pid, and dismounts the test areas that its agents mounted.
///
/// # Errors
/// When one of them does not die within ten seconds.
pub fn down(directory: &Path) -> anyhow::Result<()> {
    let _ = std::fs::remove_file(directory.join("lab.json"));
    let gone = || {
        let members = members(directory);
        for pid in &members {
            kill(*pid);
        }
        members.is_empty()
    };
    wait_until("every process of the lab is gone", Duration::from_secs(10), gone)?;
    dismount_below(directory);
    Ok(())
}

/// Deletes everything that a lab in `directory` wrote; what it ran is to be ended before ([`down`]).
///
/// # Errors
/// When something can not be deleted.
pub fn remove(directory: &Path) -> std::io::Result<()> {
    crate::postgres::remove(&directory.join("postgres"))?;
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Environment of the lab that was left up in `directory`; none if there is none.
#[must_use]
pub fn left_up(directory: &Path) -> Option<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(directory.join("lab.json")).ok()?;
    serde_json::from_str(&text).ok()
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Processes whose environment names the lab's folder: that is how keepers and test processes, which outlive their agent by design,
/// are found. PostgreSQL writes its title over its environment, so it is found by its own file.
pub(super) fn members(directory: &Path) -> Vec<u32> {
    let needle = format!("{}/", text(directory));
    let own = std::process::id();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    let postgres = std::fs::read_to_string(directory.join("postgres/data/postmaster.pid")).unwrap_or_default();
    let postgres = postgres.lines().next().and_then(|line| line.parse().ok());
    let named = pids.filter(|pid| *pid != own && names_in_environment(*pid, &needle));
    named.chain(postgres).filter(|pid| is_alive(*pid)).collect()
}

/// Whoever looks at a lab from a shell has these too, and is none of its processes.
const GIVEN_TO_PEOPLE: [&str; 2] = ["MUSTER_KEYS=", "MUSTER_CREDENTIALS="];

fn names_in_environment(pid: u32, needle: &str) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let mut variables = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    variables
        .any(|variable| variable.contains(needle) && !GIVEN_TO_PEOPLE.iter().any(|name| variable.starts_with(name)))
}
