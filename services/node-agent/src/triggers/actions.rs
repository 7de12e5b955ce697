//! What a trigger does: keys of the magic SysRq, commands of the policy, frames.

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use muster_model::{FiringSource, TriggerAction, TriggerOutcome};
use muster_module_protocol::SYSTEM_PATH;

use super::{Policy, Task};
use crate::triggers::policy::Command;

/// Key of the magic SysRq that crashes the kernel.
const CRASH_KEY: char = 'c';
/// Commands that run at once at most.
const COMMANDS_MAX: usize = 8;

/// Commands that run.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Something that has begun.
pub(super) enum Begun {
    /// It is over already.
    Over(TriggerOutcome, String),
    /// A command runs.
    Runs(Box<Running>),
}

/// A command that runs.
pub(super) struct Running {
    child: tokio::process::Child,
    command: Command,
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Begins an action of the policy. A crash does not come back from here.
pub(super) fn begin(task: &Task, policy: &Policy) -> Begun {
    match &task.acted.action {
        TriggerAction::Crash => press(CRASH_KEY, &policy.sysrq_trigger),
        TriggerAction::Sysrq(key) => press(*key, &policy.sysrq_trigger),
        TriggerAction::Packet => over(send(task, policy.packet_to), &format!("to {}", policy.packet_to)),
        TriggerAction::Command(name) => match policy.commands.get(name) {
            Some(command) => run(task, command),
            None => Begun::Over(TriggerOutcome::Forbidden, "the policy file has no such command".into()),
        },
        TriggerAction::DumpHistory | TriggerAction::StopJob(_) => {
            unreachable!("the agent's loop does these, which knows the processes")
        }
    }
}

fn over(result: std::io::Result<()>, detail: &str) -> Begun {
    match result {
        Ok(()) => Begun::Over(TriggerOutcome::Acted, detail.to_owned()),
        Err(error) => Begun::Over(TriggerOutcome::Failed, format!("{detail}: {error}")),
    }
}

fn press(key: char, path: &Path) -> Begun {
    let write = || std::fs::OpenOptions::new().append(true).open(path)?.write_all(key.to_string().as_bytes());
    over(write(), &format!("key {key} to {}", path.display()))
}

/// A frame whose text a network analyser finds: what fired, who, where.
fn send(task: &Task, to: SocketAddr) -> std::io::Result<()> {
    let any: SocketAddr =
        if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { (std::net::Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.set_broadcast(true)?;
    socket.send_to(payload(task).as_bytes(), to).map(drop)
}

fn payload(task: &Task) -> String {
    let firing = &task.firing;
    let by = match &firing.source {
        FiringSource::Process { machine, process, .. } => format!("{machine} {process}"),
        FiringSource::Person(actor) => actor.clone(),
    };
    let (number, machine, fired) = (firing.number, &task.acted.machine, firing.fired.0);
    format!("MUSTER-TRIGGER/1 trigger={number} firing={} machine={machine} fired_ns={fired} by={by}\n", firing.id)
}

fn run(task: &Task, command: &Command) -> Begun {
    if RUNNING.fetch_add(1, Ordering::Relaxed) >= COMMANDS_MAX {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
        return Begun::Over(TriggerOutcome::Failed, format!("{COMMANDS_MAX} commands run already"));
    }
    let spawned = tokio::process::Command::new(&command.program)
        .args(&command.arguments)
        .env_clear()
        .env("PATH", SYSTEM_PATH)
        .env("MUSTER_TRIGGER", task.firing.number.to_string())
        .env("MUSTER_FIRING", task.firing.id.to_string())
        .env("MUSTER_MACHINE", task.acted.machine.as_str())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    match spawned {
        Ok(child) => Begun::Runs(Box::new(Running { child, command: command.clone() })),
        Err(error) => {
            RUNNING.fetch_sub(1, Ordering::Relaxed);
            Begun::Over(TriggerOutcome::Failed, format!("{}: {error}", command.program.display()))
        }
    }
}

impl Begun {
    /// Waits for what came of it.
    pub(super) async fn end(self) -> (TriggerOutcome, String) {
        let mut running = match self {
            Self::Over(outcome, detail) => return (outcome, detail),
            Self::Runs(running) => running,
        };
        let timeout = running.command.timeout();
        match tokio::time::timeout(timeout, running.child.wait()).await {
            Ok(Ok(status)) if status.success() => (TriggerOutcome::Acted, status.to_string()),
            Ok(Ok(status)) => (TriggerOutcome::Failed, status.to_string()),
            Ok(Err(error)) => (TriggerOutcome::Failed, error.to_string()),
            Err(_) => (TriggerOutcome::Failed, format!("it was ended after {timeout:?}")),
        }
    }
}
