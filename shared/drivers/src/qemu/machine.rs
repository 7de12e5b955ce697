//! The virtual machine behind a QMP socket: a process that runs is power, none is none.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;
use tokio::process::Child;
use tokio::time::sleep;

use super::process;
use super::qmp::talk;
use crate::program::{Program, first_line};
use crate::{Deadline, DriverError};

/// Between two looks at a QEMU that starts or ends.
const STEP: Duration = Duration::from_millis(50);

/// The virtual machine of a socket.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) socket: PathBuf,
}

impl Machine {
    /// Ends QEMU: by its own word, or, where it does not answer, by a kill.
    pub(super) async fn off(&self, deadline: Deadline) -> Result<(), DriverError> {
        let quit = talk(&self.socket, deadline.half(), async |qmp| {
            // It may be gone before it answers.
            let _ = qmp.execute("quit", json!({})).await;
            Ok(())
        });
        match quit.await {
            Err(DriverError::Unclear(_)) if process::kill(&self.socket) => {}
            quit => {
                quit?;
            }
        }
        self.wait_until_gone(deadline).await
    }

    /// The process may still be ending after its last answer, with the disk in its hands.
    async fn wait_until_gone(&self, deadline: Deadline) -> Result<(), DriverError> {
        loop {
            match talk(&self.socket, deadline, async |_| Ok(())).await {
                Ok(None) => return Ok(()),
                Ok(Some(())) | Err(DriverError::Unclear(_)) if !deadline.has_passed() => sleep(STEP).await,
                Ok(Some(())) => {
                    let (socket, given) = (self.socket.display(), deadline.given());
                    return Err(DriverError::Unclear(format!("QEMU at {socket} did not end within {given:?}")));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts QEMU, and returns when it answers. A machine that is there already is let run.
    pub(super) async fn on(&self, start: &Program, deadline: Deadline) -> Result<(), DriverError> {
        if self.run(deadline).await? {
            return Ok(());
        }
        let log = self.log();
        let open = std::fs::File::create(&log)
            .map_err(|error| DriverError::Unable(format!("write QEMU's log {}: {error}", log.display())))?;
        let mut command = start.command();
        command.stdout(Stdio::null()).stderr(open);
        let mut child = command.spawn().map_err(|error| start.not_started(&error))?;
        let started = self.wait_until_there(&mut child, &log, deadline).await;
        if started.is_err() {
            end(&child);
        }
        started
    }

    /// What QEMU complains of goes beside its socket: it outlives us, and so must its log.
    fn log(&self) -> PathBuf {
        let mut name = self.socket.clone().into_os_string();
        name.push(".log");
        name.into()
    }

    /// The program may end with 0, leaving QEMU behind (-daemonize), or go on as QEMU itself.
    async fn wait_until_there(&self, child: &mut Child, log: &Path, deadline: Deadline) -> Result<(), DriverError> {
        loop {
            let ended = child.try_wait().ok().flatten().filter(|status| !status.success());
            if let Some(status) = ended {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                let said = first_line(&said).unwrap_or("it said nothing");
                return Err(DriverError::Refused(format!("the program that starts QEMU ended with {status}: {said}")));
            }
            match self.run(deadline).await {
                Ok(true) => return Ok(()),
                // It listens before it looks at the rest of its arguments, and may end while one talks to it.
                Ok(false) | Err(DriverError::Unclear(_)) => {}
                Err(error) => return Err(error),
            }
            if deadline.has_passed() {
                let (socket, given) = (self.socket.display(), deadline.given());
                return Err(DriverError::Unclear(format!(
                    "QEMU does not listen on {socket} {given:?} after its start"
                )));
            }
            sleep(STEP).await;
        }
    }

    /// Lets a virtual machine run that is there and stands still. False where there is none.
    async fn run(&self, deadline: Deadline) -> Result<bool, DriverError> {
        let there = talk(&self.socket, deadline, async |qmp| {
            match qmp.status().await?.as_str() {
                // Its guest has switched itself off, and QEMU was told to stay.
                "shutdown" => {
                    qmp.execute("system_reset", json!({})).await?;
                    qmp.execute("cont", json!({})).await?;
                }
                "prelaunch" | "paused" => {
                    qmp.execute("cont", json!({})).await?;
                }
                _ => {}
            }
            Ok(())
        });
        Ok(there.await?.is_some())
    }

    /// What is said of a machine that has no power.
    pub(super) fn not_there(&self) -> DriverError {
        DriverError::Refused(format!(
            "nothing listens on {}: QEMU does not run; give it power first",
            self.socket.display()
        ))
    }
}

/// Kills a program that did not start QEMU, with whatever it started.
fn end(child: &Child) {
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    if let Some(pid) = pid {
        // It fails only where nothing is left of the group.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}
