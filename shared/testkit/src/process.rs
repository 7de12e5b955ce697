//! One child process of a lab: its own process group, its log in a file, ended by pid.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal};

use crate::crash_point::{CrashPoint, Watch};
use crate::wait::wait_until;

/// A process that was stopped stands still within this.
const STANDSTILL_MAX: Duration = Duration::from_secs(10);

/// How a process is started; kept, so that it can be started again.
#[derive(Debug, Clone)]
pub struct Spawn {
    /// Name, for people.
    pub name: String,
    /// Program.
    pub program: PathBuf,
    /// Arguments.
    pub arguments: Vec<String>,
    /// Environment, beside the inherited one.
    pub environment: BTreeMap<String, String>,
    /// File that stdout and stderr are appended to.
    pub log: PathBuf,
    /// User to run as, where this process is root.
    pub user: Option<(u32, u32)>,
}

/// A running process; killed when dropped, unless it is left up with its lab.
#[derive(Debug)]
pub struct Process {
    spawn: Spawn,
    child: Option<Child>,
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// When the program can not be run.
    pub fn start(spawn: Spawn) -> anyhow::Result<Self> {
        let child = spawn_child(&spawn)?;
        Ok(Self { spawn, child: Some(child) })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spawn.name
    }

    /// Gives it further arguments, which count from its next start.
    pub fn give(&mut self, arguments: &[&str]) {
        self.spawn.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.spawn.log
    }

    /// OS process id; none when it is not running.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Sends it a signal. After SIGSTOP it stands still.
    ///
    /// # Errors
    /// When it is not running, or goes on.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.child.as_ref().and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?));
        let pid = pid.with_context(|| format!("signal {}: it is not running", self.spawn.name))?;
        rustix::process::kill_process(pid, signal).with_context(|| format!("signal {}", self.spawn.name))?;
        if signal == Signal::STOP {
            // The call comes back while its threads still run, and answer.
            wait_until(&format!("{} stands still", self.spawn.name), STANDSTILL_MAX, || stands_still(pid))?;
        }
        Ok(())
    }

    /// Kills it with SIGKILL and collects it.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to end (SIGTERM), and kills it after `grace`. True if it ended by itself.
    pub fn stop(&mut self, grace: Duration) -> bool {
        let asked = Instant::now();
        if self.signal(Signal::TERM).is_ok() {
            while asked.elapsed() < grace {
                if !self.is_running() {
                    self.child = None;
                    return true;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        self.kill9();
        false
    }

    /// Starts it again, in the same way; kills it first if it still runs.
    ///
    /// # Errors
    /// When the program can not be run.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill9();
        self.child = Some(spawn_child(&self.spawn)?);
        Ok(())
    }

    /// Starts it again as [`Process::restart`] does, to be killed where the point says. Whoever starts it once more after that starts it
    /// as ever.
    ///
    /// # Errors
    /// When the program can not be run, or the kernel does not let it be watched.
    pub fn restart_to_crash(&mut self, point: CrashPoint) -> anyhow::Result<Watch> {
        self.kill9();
        let mut command = command_of(&self.spawn)?;
        let prepared = Watch::prepare(&mut command)?;
        self.child = Some(spawn(&mut command, &self.spawn)?);
        Watch::begin(&prepared, point)
    }

    /// Lets it outlive this value: a lab that is left up.
    pub(crate) fn forget(&mut self) {
        self.child = None;
    }

    /// The end of its log, for error messages.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.spawn.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// Whether a process that is not ours to wait for is alive and not a zombie.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    state(Path::new(&format!("/proc/{pid}/stat"))).is_some_and(|state| state != 'Z')
}

/// Unit of sizes in /proc/PID/statm: a page, which is 4 KiB on every architecture that we run on.
const PAGE_BYTES: u64 = 4_096;

/// What a process holds in memory, bytes, shared pages with it; none when it is gone.
#[must_use]
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let sizes = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    Some(sizes.split_whitespace().nth(1)?.parse::<u64>().ok()? * PAGE_BYTES)
}

/// Whether every thread of a process was stopped.
fn stands_still(pid: Pid) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).into_iter().flatten();
    threads.map_while(Result::ok).all(|thread| state(&thread.path().join("stat")) == Some('T'))
}

/// State of a process or a thread, as its file `stat` has it (proc_pid_stat(5)).
fn state(stat: &Path) -> Option<char> {
    let text = std::fs::read_to_string(stat).ok()?;
    text.rsplit(')').next()?.trim_start().chars().next()
}

fn spawn_child(how: &Spawn) -> anyhow::Result<Child> {
    spawn(&mut command_of(how)?, how)
}

fn spawn(command: &mut Command, how: &Spawn) -> anyhow::Result<Child> {
    command.spawn().with_context(|| format!("start {} ({})", how.name, how.program.display()))
}

fn command_of(spawn: &Spawn) -> anyhow::Result<Command> {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(&spawn.log);
    let log = log.with_context(|| format!("open the log {}", spawn.log.display()))?;
    let mut command = Command::new(&spawn.program);
    command
        .args(&spawn.arguments)
        .envs(&spawn.environment)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("share the log")?)
        .stderr(log)
        .process_group(0);
    if let Some((user, group)) = spawn.user {
        command.uid(user).gid(group);
        // Where we stand may be closed to that user.
        command.current_dir(spawn.log.parent().context("the log is in a folder")?);
    }
    Ok(command)
}
