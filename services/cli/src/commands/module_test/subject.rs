//! The tested program as a process: started as an agent starts one, watched, and removed with all that it left behind.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, set_child_subreaper};

/// Pause between two looks at a process.
const LOOK: Duration = Duration::from_millis(10);
/// Rounds of killing what is left: each finds what was forked during the one before.
const SWEEPS_MAX: u32 = 20;

/// A running program; killed with its group when dropped.
#[derive(Debug)]
pub(super) struct Subject {
    child: Child,
    /// Children that were there before: not its.
    others: Vec<Pid>,
}

impl Subject {
    /// Starts it as the leader of a process group of its own. What leaves the group becomes our child, so that it is seen.
    pub(super) fn start(
        program: &Path,
        variables: &BTreeMap<&'static str, String>,
        directory: &Path,
        log: File,
    ) -> io::Result<Self> {
        set_child_subreaper(Some(rustix::process::getpid()))?;
        let others = children();
        let errors = log.try_clone()?;
        let mut command = Command::new(program);
        command.env_clear().envs(variables).current_dir(directory).process_group(0);
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn()?;
        Ok(Self { child, others })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end, at most until then.
    pub(super) fn wait(&mut self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            let ended = self.ended();
            if ended.is_some() || Instant::now() >= deadline {
                return ended;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Processes that it left: those in its group, and those that left it.
    pub(super) fn left(&self) -> (usize, usize) {
        let group = self.group();
        let in_group = processes().into_iter().filter(|stat| stat.group == group && stat.pid != group).count();
        let away = processes().into_iter().filter(|stat| self.is_away(stat)).count();
        (in_group, away)
    }

    fn group(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(i32::MAX)
    }

    fn is_away(&self, stat: &Stat) -> bool {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let is_new = !self.others.iter().any(|pid| pid.as_raw_nonzero().get() == stat.pid);
        stat.parent == own && stat.group != self.group() && is_new
    }

    /// Kills all of it.
    fn sweep(&mut self) {
        // What has ended needs no signal.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for _ in 0..SWEEPS_MAX {
            if let Some(group) = Pid::from_raw(self.group()) {
                let _: Result<(), rustix::io::Errno> = kill_process_group(group, Signal::KILL);
            }
            let away: Vec<Stat> = processes().into_iter().filter(|stat| self.is_away(stat)).collect();
            for pid in away.iter().filter_map(|stat| Pid::from_raw(stat.pid)) {
                let _: Result<(), rustix::io::Errno> = kill_process(pid, Signal::KILL);
            }
            if away.is_empty() && self.left().0 == 0 {
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        self.sweep();
    }
}

/// A living process.
#[derive(Debug)]
struct Stat {
    pid: i32,
    parent: i32,
    group: i32,
}

fn children() -> Vec<Pid> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    processes().into_iter().filter(|stat| stat.parent == own).filter_map(|stat| Pid::from_raw(stat.pid)).collect()
}

/// All that live, of those that this user may see.
fn processes() -> Vec<Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)).collect()
}

/// The name in parentheses may hold anything.
fn parse(pid: i32, stat: &str) -> Option<Stat> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?;
    let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (!matches!(state, "Z" | "X")).then_some(Stat { pid, parent, group })
}
