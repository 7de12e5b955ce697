//! The socket that test processes connect to: JSON lines in, JSON lines out. Who speaks is what its hello says.

use std::path::Path;

use anyhow::Context;
use muster_model::{Attempt, Dpid, ProcessId, RunId};
use muster_module_protocol::{AgentMessage, LINE_BYTES_MAX, ModuleMessage, PROTOCOL, decode_line, encode_line};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use crate::agent::Input;
use crate::peer;

/// Messages that wait for one module at most: it answers them one by one.
const OUTBOX_MAX: usize = 64;
/// How long a connection may be silent before it says who it is.
const HELLO_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// Path of a Unix socket at most, with its end (sockaddr_un).
const SOCKET_PATH_MAX: usize = 107;

/// What happens on the socket. `connection` tells an old connection of a process from its newest.
#[derive(Debug)]
pub(crate) enum ModuleInput {
    /// A process said hello.
    Connected {
        /// Who.
        id: ProcessId,
        /// Which connection.
        connection: u64,
        /// Where to answer.
        outbox: mpsc::Sender<AgentMessage>,
    },
    /// It said something else.
    Said {
        /// Who.
        id: ProcessId,
        /// What.
        message: ModuleMessage,
    },
    /// Its connection ended.
    Closed {
        /// Who.
        id: ProcessId,
        /// Which connection.
        connection: u64,
    },
}

/// Listens, for as long as the agent lives.
pub(crate) fn start(path: &Path, inputs: mpsc::Sender<Input>) -> anyhow::Result<()> {
    anyhow::ensure!(
        path.as_os_str().len() <= SOCKET_PATH_MAX,
        "listen on {}: a socket's path has at most {SOCKET_PATH_MAX} bytes; use a shorter --state",
        path.display()
    );
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).with_context(|| format!("listen on {}", path.display()))?;
    tokio::spawn(async move {
        let mut connection = 0;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    connection += 1;
                    tokio::spawn(serve(stream, connection, inputs.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a test process could not connect");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(())
}

async fn serve(stream: UnixStream, connection: u64, inputs: mpsc::Sender<Input>) {
    let pid = stream.peer_cred().ok().and_then(|credentials| credentials.pid());
    let (reading, writing) = stream.into_split();
    let mut reader = BufReader::new(reading);
    let Ok(Some(id)) = tokio::time::timeout(HELLO_TIMEOUT, read_hello(&mut reader)).await else {
        tracing::warn!("something connected to the agent's socket without saying hello");
        return;
    };
    if let Some(started) = pid.and_then(peer::started_as).filter(|started| *started != id) {
        tracing::warn!(said = %id, was = %started, "a process says that it is another one: its connection is ended");
        return;
    }
    let (outbox, messages) = mpsc::channel(OUTBOX_MAX);
    let connected = Input::Module(ModuleInput::Connected { id, connection, outbox });
    if inputs.send(connected).await.is_err() {
        return;
    }
    let writer = tokio::spawn(write_all(writing, messages));
    while let Some(message) = read(&mut reader).await {
        if inputs.send(Input::Module(ModuleInput::Said { id, message })).await.is_err() {
            break;
        }
    }
    writer.abort();
    let _ = inputs.send(Input::Module(ModuleInput::Closed { id, connection })).await;
}

async fn read_hello(reader: &mut BufReader<OwnedReadHalf>) -> Option<ProcessId> {
    match read(reader).await? {
        ModuleMessage::Hello { protocol, run, dpid, attempt, .. } if protocol == PROTOCOL => {
            let dpid: Dpid = dpid.parse().ok()?;
            Some(ProcessId { run: RunId(run), dpid, attempt: Attempt(attempt) })
        }
        ModuleMessage::Hello { protocol, .. } => {
            tracing::warn!(protocol, "a module speaks another version of the protocol");
            None
        }
        _ => None,
    }
}

/// The next message that is understood; none at the end of the connection.
async fn read(reader: &mut BufReader<OwnedReadHalf>) -> Option<ModuleMessage> {
    loop {
        let mut line = Vec::new();
        let size = (&mut *reader).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line).await.ok()?;
        if size == 0 || !line.ends_with(b"\n") {
            return None;
        }
        match decode_line(&line) {
            Ok(Some(message)) => return Some(message),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "a module said something that is not understood"),
        }
    }
}

async fn write_all(mut writing: OwnedWriteHalf, mut messages: mpsc::Receiver<AgentMessage>) {
    let mut waiting = Vec::with_capacity(OUTBOX_MAX);
    // What waits goes in one write.
    while messages.recv_many(&mut waiting, OUTBOX_MAX).await > 0 {
        let Ok(lines) = waiting.drain(..).map(|message| encode_line(&message)).collect::<Result<Vec<_>, _>>() else {
            return;
        };
        if writing.write_all(&lines.concat()).await.is_err() {
            return;
        }
    }
}
