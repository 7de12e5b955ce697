//! Which OS processes belong to which test process, by what the kernel says of them: who started them, their group, and the
//! environment that they were given. A double fork escapes the first two, not the third.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use muster_module_protocol::environment;

use super::protocol::{Living, Name};

/// What /proc says of one process.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Its id.
    pub pid: u32,
    /// Who started it, or took it over.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// It has ended, and waits to be reaped.
    pub zombie: bool,
}

/// Every process of this machine, by id.
pub(crate) fn all() -> BTreeMap<u32, Seen> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, stat(pid)?))).collect()
}

/// What /proc says of a process; none when it is gone.
pub(crate) fn stat(pid: u32) -> Option<Seen> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    // The name, in parentheses, may contain anything; what follows the last one is numbers.
    let mut fields = text.get(text.rfind(')')? + 2..)?.split(' ');
    let zombie = matches!(fields.next()?, "Z" | "X");
    Some(Seen { pid, parent: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()?, zombie })
}

/// Whose a process is; none when it is gone.
pub(crate) fn user_of(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?.parse().ok()
}

/// Children of this process: by the kernel's lists of its threads, or by looking at every process where it keeps none. A list is
/// whole only while nobody else reaps: that is so for the thread that does.
pub(crate) fn own_children() -> BTreeSet<u32> {
    let Some(lists) = children_lists() else {
        let own = std::process::id();
        return all().into_values().filter(|seen| seen.parent == own).map(|seen| seen.pid).collect();
    };
    lists.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// None where the kernel keeps no lists (CONFIG_PROC_CHILDREN).
fn children_lists() -> Option<String> {
    let mut lists = String::new();
    for thread in std::fs::read_dir("/proc/self/task").ok()? {
        let list = std::fs::read_to_string(thread.ok()?.path().join("children"));
        match list {
            Ok(list) => lists.push_str(&list),
            // A thread that has ended has handed its children to another one, which may have been read already.
            Err(_) => return None,
        }
    }
    Some(lists)
}

/// Every descendant of a process.
pub(crate) fn below(all: &BTreeMap<u32, Seen>, root: u32) -> BTreeSet<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for seen in all.values() {
        children.entry(seen.parent).or_default().push(seen.pid);
    }
    let mut found = BTreeSet::new();
    let mut waiting = vec![root];
    while let Some(pid) = waiting.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            if found.insert(*child) {
                waiting.push(*child);
            }
        }
    }
    found
}

/// The test process that an OS process belongs to by its environment, if it is one of this agent's.
pub(crate) fn name_of(pid: u32, agent_socket: &Path) -> Option<Name> {
    let content = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let variables: BTreeMap<&[u8], &[u8]> = content.split(|byte| *byte == 0).filter_map(split_once).collect();
    let text = |name: &str| std::str::from_utf8(variables.get(name.as_bytes())?).ok();
    if text(environment::SOCKET)? != agent_socket.to_str()? {
        return None;
    }
    Some(format!("{}-{}-{}", text(environment::RUN)?, text(environment::DPID)?, text(environment::ATTEMPT)?))
}

fn split_once(variable: &[u8]) -> Option<(&[u8], &[u8])> {
    let place = variable.iter().position(|byte| *byte == b'=')?;
    Some((&variable[..place], &variable[place + 1..]))
}

/// Living test processes of this agent: those that lead the group which the keeper gave them.
pub(crate) fn of_socket(agent_socket: &Path) -> Vec<Living> {
    let leaders = all().into_values().filter(|seen| seen.group == seen.pid && !seen.zombie);
    leaders.filter_map(|seen| Some(Living { name: name_of(seen.pid, agent_socket)?, pid: seen.pid })).collect()
}
