//! Machines that are checked out for a test: everything is as the test would find it, and a person starts it.
//!
//! Responsible for the two scripts in root's home, one that starts the test by hand and one that keeps the machine for longer, and for
//! taking all of it away when the machine changes hands.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use muster_model::ProcessId;
use muster_module_protocol::environment;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::core::orders::Order;
use crate::keeper::protocol::Spawn;
use crate::names::{id_of, name_of};
use crate::workplace::{self, Common, directory_of};

/// What was left for a person, as it is kept on the disk.
#[derive(Debug, Serialize, Deserialize)]
struct Left {
    scripts: Vec<PathBuf>,
}

/// Leaves the scripts of a process whose place is made; says what a person has to know.
///
/// # Errors
/// When they can not be written.
pub(crate) fn leave(common: &Common, order: &Order, spawn: &Spawn) -> anyhow::Result<String> {
    let dpid = order.id.dpid;
    let start = common.home.join(format!("muster-start-{dpid}"));
    let extend = common.home.join(format!("muster-extend-{dpid}"));
    let left = Left { scripts: vec![start.clone(), extend.clone()] };
    let marker = marker_of(&common.state, order.id);
    fs::create_dir_all(marker.parent().unwrap_or(&common.state)).context("make the folder of checkouts")?;
    // First what takes it away again.
    fs::write(&marker, serde_json::to_vec(&left).context("write down a checkout")?).context("write down a checkout")?;
    script(&start, &start_text(common, order, spawn))?;
    script(&extend, &extend_text(common))?;
    Ok(format!("set up for a person: {} starts it, {} keeps the machine for longer", start.display(), extend.display()))
}

fn script(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o700)))
        .with_context(|| format!("write {}", path.display()))
}

/// The module's own command line, with all that the process would have been given.
fn start_text(common: &Common, order: &Order, spawn: &Spawn) -> String {
    let mut lines = vec![
        "#!/bin/sh".to_owned(),
        format!("# Starts {} as Muster would have; further arguments come after its own.", spawn.argv0),
        "set -e".to_owned(),
        format!("cd {}", quoted(&spawn.directory)),
    ];
    let kept_back = [environment::SOCKET, environment::TOKEN];
    let given = spawn.environment.iter().filter(|(name, _)| !kept_back.contains(&name.as_str()));
    lines.extend(given.map(|(name, value)| format!("export {name}={}", quoted(value))));
    let mut words = vec![quoted(&spawn.program)];
    let spec = &common.spec;
    words.extend(
        spec.parameters.iter().map(|pair| format!("--param {}", quoted(&format!("{}={}", pair.key, pair.value)))),
    );
    for resource in common.inventory.resources.iter().filter(|resource| order.resources.contains(&resource.id)) {
        let flag = resource.kind().known().map_or("", |kind| kind.as_str());
        if matches!(flag, "disk" | "nic") {
            words.push(format!("--{flag} {}", quoted(&resource.path)));
        }
    }
    if let Some(seed) = spawn.environment.get(environment::SEED) {
        words.push(format!("--seed {seed}"));
    }
    if !spec.on_error.is_empty() {
        words.push(format!("--on-error {}", quoted(&spec.on_error)));
    }
    for (flag, name) in [("--work", environment::WORK), ("--results", environment::RESULTS)] {
        words.extend(spawn.environment.get(name).map(|path| format!("{flag} {}", quoted(path))));
    }
    lines.push(format!("exec {} \"$@\"", words.join(" ")));
    lines.join("\n") + "\n"
}

fn extend_text(common: &Common) -> String {
    let socket = quoted(&common.state.join("agent.sock").to_string_lossy());
    format!(
        "#!/bin/sh\n# Keeps this machine for longer: by an hour, or by what is given, as `30m`.\n\
         MUSTER_SOCKET={socket} exec muster extend --here --by \"${{1:-1h}}\"\n"
    )
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn marker_of(state: &Path, id: ProcessId) -> PathBuf {
    state.join("checkouts").join(name_of(id))
}

/// The place of a process stays for a person, although the scheduler has forgotten it.
pub(crate) fn is_kept(state: &Path, id: ProcessId) -> bool {
    marker_of(state, id).exists()
}

/// Takes away all that was left: what was started by hand is killed, scripts and directories go. What can not be removed is tried again
/// when the machine changes hands the next time.
pub(crate) fn clear(state: &Path) {
    let entries = fs::read_dir(state.join("checkouts")).into_iter().flatten().flatten();
    for entry in entries {
        if let Some(id) = entry.file_name().to_str().and_then(id_of)
            && let Err(error) = clear_one(state, id, &entry.path())
        {
            tracing::error!(%error, process = %id, "what was checked out can not be taken away");
        }
    }
}

fn clear_one(state: &Path, id: ProcessId, marker: &Path) -> io::Result<()> {
    let directory = directory_of(state, id);
    end_what_runs_by_hand(&directory);
    let left: Left = serde_json::from_slice(&fs::read(marker)?)?;
    for script in &left.scripts {
        if let Err(error) = fs::remove_file(script)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
    }
    workplace::remove(directory);
    fs::remove_file(marker)
}

/// Only what has this directory as its work directory by its environment, as all has that it starts: another agent of this host, as labs have,
/// has other directories for processes of the same name.
fn end_what_runs_by_hand(directory: &Path) {
    let word = format!("{}={}", environment::WORK, directory.display());
    let is_ours = |pid: &i32| {
        let read = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        read.split(|byte| *byte == 0).any(|variable| variable == word.as_bytes())
    };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for pid in numbers.filter(is_ours).filter_map(Pid::from_raw) {
        // One that has ended meanwhile is as good as killed.
        let _ = kill_process(pid, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_shell_are_quoted() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn what_runs_by_hand_in_a_directory_is_ended_and_its_namesake_of_another_agent_is_not() {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let start = |directory: &Path| {
            let mut program = std::process::Command::new("sleep");
            program.arg("60").env(environment::DPID, "00020001").env(environment::WORK, directory).spawn().unwrap()
        };
        let (mut ended, mut left) = (start(ours.path()), start(theirs.path()));
        end_what_runs_by_hand(ours.path());
        assert!(!ended.wait().unwrap().success());
        assert!(left.try_wait().unwrap().is_none(), "it is another agent's");
        left.kill().unwrap();
        left.wait().unwrap();
    }
}
