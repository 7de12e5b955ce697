//! One run of a program: no shell, no input, bounded output, and an end by its deadline whatever it does.

use std::fmt::Write;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use muster_model::text::cut;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::{timeout, timeout_at};

use crate::{Deadline, DriverError};

/// Most output of a program, bytes of each of stdout and stderr.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// After a program's end its output is read for so long: a child of its own may hold it open.
const REST_OF_OUTPUT_MAX: Duration = Duration::from_millis(200);
/// A killed program is waited for so long; one that the kernel holds is left to it.
const REAP_MAX: Duration = Duration::from_secs(1);
/// Longest line of a program that is told, bytes.
const TOLD_BYTES_MAX: usize = 200;

/// A program, its arguments and what is added to its environment.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    name: String,
    arguments: Vec<String>,
    /// Never shown.
    environment: Vec<(&'static str, Hidden)>,
}

/// A value that is not printed.
#[derive(Clone)]
struct Hidden(String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hidden")
    }
}

/// What a program that ended has said.
#[derive(Debug)]
pub(crate) struct Said {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Its output.
    pub(crate) stdout: String,
    /// Its complaints.
    pub(crate) stderr: String,
}

impl Program {
    /// A program and its arguments.
    pub(crate) fn new(name: &str, arguments: &[&str]) -> Self {
        Self::owned((name.to_owned(), arguments.iter().map(|&argument| argument.to_owned()).collect()))
    }

    /// The same, of a command line that was filled in.
    pub(crate) fn owned((name, arguments): (String, Vec<String>)) -> Self {
        Self { name, arguments, environment: Vec::new() }
    }

    /// Adds arguments behind those that it has.
    pub(crate) fn add(&mut self, arguments: impl IntoIterator<Item = String>) {
        self.arguments.extend(arguments);
    }

    /// Adds a secret to its environment.
    pub(crate) fn hide(&mut self, name: &'static str, value: String) {
        self.environment.push((name, Hidden(value)));
    }

    /// How it is started: in a process group of its own, without input.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.name);
        command.args(&self.arguments).env("LC_ALL", "C").stdin(Stdio::null()).process_group(0);
        for (name, value) in &self.environment {
            command.env(name, &value.0);
        }
        command
    }

    /// What is said where it can not be started.
    pub(crate) fn not_started(&self, error: &io::Error) -> DriverError {
        DriverError::Unable(format!("run `{}`: {error}; install it, or name another", self.name))
    }

    /// Runs it; gives its stdout where it ends with 0.
    pub(crate) async fn succeed(&self, deadline: Deadline) -> Result<String, DriverError> {
        let said = self.run(deadline).await?;
        if said.status.success() { Ok(said.stdout) } else { Err(self.failed(&said)) }
    }

    /// Runs it, and gives what it said however it ended, unless something killed it.
    pub(crate) async fn run(&self, deadline: Deadline) -> Result<Said, DriverError> {
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut group = Group { child: command.spawn().map_err(|error| self.not_started(&error))? };
        match timeout_at(deadline.at(), group.output()).await {
            Ok(Ok(said)) if said.status.code().is_some() => Ok(said),
            Ok(Ok(said)) => Err(self.failed(&said)),
            Ok(Err(error)) => {
                group.end().await;
                Err(DriverError::Unclear(format!("`{}` was ended: {error}", self.name)))
            }
            Err(_) => {
                group.end().await;
                let given = deadline.given();
                Err(DriverError::Unclear(format!("`{}` did not end within {given:?} and was killed", self.name)))
            }
        }
    }

    /// The error of a run that ended otherwise than with 0: program, exit and what it complained of.
    pub(crate) fn failed(&self, said: &Said) -> DriverError {
        let mut text = format!("`{}` ended with ", self.name);
        // Writing to a String does not fail.
        let _ = match said.status.code() {
            Some(code) => write!(text, "{code}"),
            None => write!(text, "{}", said.status),
        };
        let told = told(&said.stderr).or(told(&said.stdout));
        let _ = write!(text, ": {}", told.as_deref().unwrap_or("it said nothing"));
        if said.status.code().is_some() { DriverError::Refused(text) } else { DriverError::Unclear(text) }
    }
}

/// What a complaint comes to: the line that it begins with and the one that it ends with. Some programs give the reason first, others a
/// warning first and the reason last.
fn told(text: &str) -> Option<String> {
    let first = first_line(text)?;
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(|line| cut(line, TOLD_BYTES_MAX));
    let last = last.filter(|last| *last != first);
    Some(last.map_or_else(|| first.to_owned(), |last| format!("{first}; {last}")))
}

/// The first line that says anything, short enough to be told.
pub(crate) fn first_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(|line| cut(line, TOLD_BYTES_MAX))
}

/// A child and whatever it started: killed with it, by the group's number, which is nobody else's while the child is not collected.
struct Group {
    child: Child,
}

impl Group {
    async fn output(&mut self) -> io::Result<Said> {
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let status = {
            let reading = async { tokio::try_join!(read(stdout, &mut out), read(stderr, &mut err)) };
            tokio::pin!(reading);
            tokio::select! {
                status = self.child.wait() => {
                    if let Ok(read) = timeout(REST_OF_OUTPUT_MAX, reading).await {
                        read?;
                    }
                    status?
                }
                read = &mut reading => {
                    read?;
                    self.child.wait().await?
                }
            }
        };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Said { status, stdout: text(out), stderr: text(err) })
    }

    /// Kills it, and waits for its end.
    async fn end(&mut self) {
        self.kill();
        let _ = timeout(REAP_MAX, self.child.wait()).await;
    }

    fn kill(&self) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = pid {
            // It fails only where nothing is left of the group.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn read(source: Option<impl AsyncRead + Unpin>, text: &mut Vec<u8>) -> io::Result<()> {
    let Some(source) = source else { return Ok(()) };
    let limit = OUTPUT_BYTES_MAX as u64;
    source.take(limit + 1).read_to_end(text).await?;
    if text.len() > OUTPUT_BYTES_MAX {
        return Err(io::Error::other(format!("it printed more than {OUTPUT_BYTES_MAX} bytes")));
    }
    Ok(())
}
