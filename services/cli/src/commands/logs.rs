//! `muster logs`: the log of a process, live from its agent or from the object store once it has ended, and the log of an agent.

use std::time::Duration;

use muster_bus::Log;
use muster_model::{Dpid, MachineId, ProcessId, RunId};
use muster_proto::v1::{self, agent_command};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Session, not_found, processes, show};
use crate::arguments::LogsArguments;
use crate::exit::Failure;
use crate::output::write_bytes;
use crate::target::ProcessName;

/// At most so many bytes are asked of an agent at once; it gives no more than 256 KiB.
const PAGE_SIZE: u32 = 256 * 1024;
/// How often a log is looked at for what was added.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(300);
/// Files of the object store are copied in pieces of this size.
const PIECE_SIZE: usize = 128 * 1024;

pub(super) async fn run(session: &Session, arguments: LogsArguments) -> Result<(), Failure> {
    if let Some(machine) = arguments.agent {
        let machine = MachineId::new(&machine).map_err(|error| Failure::Usage(error.to_string()))?;
        return live(session, &machine, None, arguments.follow).await.map(drop);
    }
    let Some(name) = arguments.process else {
        return Err(Failure::Usage("logs: name a process, or an agent with --agent".into()));
    };
    if let Some(run) = name.run {
        let (_, current) = session.client.jobs("logs", 0, false).await?;
        if run.0 != current {
            return of_ended_run(session, run, name.dpid).await;
        }
    }
    of_current_run(session, name, arguments.follow).await
}

/// An ended process: the store first, then its agent, which may not have brought it yet. A live one: its agent first.
async fn of_current_run(session: &Session, name: ProcessName, follow: bool) -> Result<(), Failure> {
    let process = show::process(session, "logs", name).await?;
    let id = ProcessId::from(process.id.unwrap_or_default());
    let machine = MachineId::new(&process.machine).map_err(|error| Failure::Other(error.into()))?;
    if processes::is_final(&process) && show_stored(session.client.bus().log(id, &machine).await?, 0).await? {
        return Ok(());
    }
    match live(session, &machine, Some(id), follow).await? {
        Ending::Complete => Ok(()),
        Ending::Gone { shown, why } => {
            if show_stored(session.client.bus().log(id, &machine).await?, shown).await? {
                return Ok(());
            }
            Err(Failure::Unreachable(format!("logs {}: {why}, and the store has no log of it yet", id.dpid)))
        }
    }
}

/// How reading from an agent ended.
enum Ending {
    /// Everything that there is was shown.
    Complete,
    /// The agent does not have it (any more), or can not be asked, after so many bytes.
    Gone { shown: u64, why: String },
}

/// Reads a log from the agent of a machine; with `follow` until the process has ended.
async fn live(session: &Session, machine: &MachineId, id: Option<ProcessId>, follow: bool) -> Result<Ending, Failure> {
    let mut from = 0;
    loop {
        let ask = v1::ReadLog { id: id.map(v1::ProcessId::from), from, limit: PAGE_SIZE };
        let reply = match session.client.agent(machine, "logs", agent_command::Kind::ReadLog(ask)).await {
            Ok(reply) => reply,
            Err(Failure::Unreachable(why)) if id.is_some() => return Ok(Ending::Gone { shown: from, why }),
            Err(failure) => return Err(failure),
        };
        let Some(part) = reply.log else {
            let why = format!("the agent of {machine} gives no log: {}", reply.detail);
            return if id.is_some() { Ok(Ending::Gone { shown: from, why }) } else { Err(Failure::Unreachable(why)) };
        };
        write_bytes(&part.data)?;
        from = part.from + part.data.len() as u64;
        let at_end = part.data.is_empty() || from >= part.size;
        if at_end && (part.complete || !follow) {
            return Ok(Ending::Complete);
        }
        if at_end {
            tokio::time::sleep(FOLLOW_INTERVAL).await;
        }
    }
}

/// A process of a run that is over: its last attempt, from the store.
async fn of_ended_run(session: &Session, run: RunId, dpid: Dpid) -> Result<(), Failure> {
    if show_stored(session.client.bus().last_log(run, dpid).await?, 0).await? {
        return Ok(());
    }
    Err(not_found(
        format!("logs {run}/{dpid}"),
        "log of it in the store".into(),
        "logs are there once a process has ended, for as long as the store keeps them",
    ))
}

/// Copies a log from the store to stdout, without its first `skip` bytes; false where the store does not have it.
async fn show_stored(log: Option<Log>, skip: u64) -> Result<bool, Failure> {
    match log {
        Some(Log::Whole(object)) => copy(object, skip).await?,
        Some(Log::Bundled(data)) => copy(data.as_ref(), skip).await?,
        None => return Ok(false),
    }
    Ok(true)
}

async fn copy(mut object: impl AsyncRead + Unpin, mut skip: u64) -> Result<(), Failure> {
    let mut piece = vec![0; PIECE_SIZE];
    loop {
        let read = object.read(&mut piece).await;
        let read =
            read.map_err(|error| Failure::Other(anyhow::Error::new(error).context("read the log from the store")))?;
        if read == 0 {
            return Ok(());
        }
        let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(read);
        skip -= skipped as u64;
        write_bytes(&piece[skipped..read])?;
    }
}
