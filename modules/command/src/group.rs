//! The process group of the program: found in /proc, so that this process, which may be in it, is never signalled itself.

use std::fs;

use rustix::process::{Pid, Signal, getpgrp, getpid, kill_process};

/// A process group without ourselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group(Pid);

impl Group {
    /// Our own group, if we lead it: an agent gives each test process one and kills by it, so the program must stay in it.
    pub(crate) fn own() -> Option<Self> {
        let group = getpgrp();
        (group == getpid()).then_some(Self(group))
    }

    /// The group that a process leads.
    pub(crate) fn led_by(pid: u32) -> Option<Self> {
        i32::try_from(pid).ok().and_then(Pid::from_raw).map(Self)
    }

    /// Its living members, ourselves excepted.
    pub(crate) fn members(self) -> Vec<Pid> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
        pids.filter(|pid| *pid != getpid() && self.has(*pid)).collect()
    }

    fn has(self, pid: Pid) -> bool {
        let stat = fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        parse_stat(&String::from_utf8_lossy(&stat)) == Some((self.0.as_raw_nonzero().get(), false))
    }

    /// Signals all members; how many there were.
    pub(crate) fn signal(self, signal: Signal) -> usize {
        let members = self.members();
        for pid in &members {
            // One that has ended meanwhile needs no signal.
            let _: Result<(), rustix::io::Errno> = kill_process(*pid, signal);
        }
        members.len()
    }
}

/// Group, and whether it has ended already, of a line of /proc/PID/stat. The name in parentheses may hold anything.
fn parse_stat(stat: &str) -> Option<(i32, bool)> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X");
    let group = fields.nth(1)?.parse().ok()?;
    Some((group, ended))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_read_after_the_last_parenthesis() {
        assert_eq!(parse_stat("12 (a) Z 9 (b) S 1 77 77 0"), Some((77, false)));
        assert_eq!(parse_stat("12 (a b) Z 1 78 78 0"), Some((78, true)));
        assert_eq!(parse_stat(""), None);
    }
}
