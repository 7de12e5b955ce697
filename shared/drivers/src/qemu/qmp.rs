//! QEMU's machine protocol on a Unix socket: one JSON object a line. A connection for each call, because QEMU serves one at a time.

use std::io;
use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout_at;

use crate::{Deadline, DriverError};

/// Longest line of QEMU, bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Events that are passed over while an answer is awaited.
const EVENTS_MAX: usize = 1000;

/// What went wrong in a conversation.
#[derive(Debug)]
pub(super) enum QmpError {
    /// QEMU said why it does not.
    Said(String),
    /// The conversation broke off.
    Broken(io::Error),
}

impl From<io::Error> for QmpError {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// A conversation with a QEMU that has answered.
pub(super) struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Begins a conversation; none where nobody listens, which is a machine without power.
    async fn open(socket: &Path) -> Result<Option<Self>, QmpError> {
        let stream = match UnixStream::connect(socket).await {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let mut qmp = Self { stream: BufReader::new(stream) };
        let greeting = qmp.line().await?;
        if greeting.get("QMP").is_none() {
            return Err(broken("it does not greet as QEMU does"));
        }
        qmp.execute("qmp_capabilities", json!({})).await?;
        Ok(Some(qmp))
    }

    /// One command, and what it returns.
    pub(super) async fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        self.stream.write_all(line.as_bytes()).await?;
        for _ in 0..EVENTS_MAX {
            let mut answer = self.line().await?;
            if let Some(error) = answer.get("error") {
                let said = error.get("desc").and_then(Value::as_str).unwrap_or("it does not say why");
                return Err(QmpError::Said(said.to_owned()));
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
        Err(broken("it tells events and does not answer"))
    }

    /// A command of the monitor for people, which answers with nothing when it was done.
    pub(super) async fn monitor(&mut self, line: &str) -> Result<String, QmpError> {
        let answer = self.execute("human-monitor-command", json!({ "command-line": line })).await?;
        answer.as_str().map(str::to_owned).ok_or_else(|| broken("its monitor does not answer with a text"))
    }

    /// What it calls the state of the virtual machine.
    pub(super) async fn status(&mut self) -> Result<String, QmpError> {
        let answer = self.execute("query-status", json!({})).await?;
        let status = answer.get("status").and_then(Value::as_str);
        status.map(str::to_owned).ok_or_else(|| broken("its status has no word"))
    }

    async fn line(&mut self) -> Result<Value, QmpError> {
        let mut line = Vec::new();
        (&mut self.stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return Err(QmpError::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_slice(&line).map_err(|_| broken("it sends no JSON"))
    }
}

fn broken(why: &str) -> QmpError {
    QmpError::Broken(io::Error::other(why))
}

/// Talks to the QEMU of a socket, within a deadline; none where nobody listens.
pub(super) async fn talk<T>(
    socket: &Path,
    deadline: Deadline,
    conversation: impl AsyncFnOnce(&mut Qmp) -> Result<T, QmpError>,
) -> Result<Option<T>, DriverError> {
    let shown = socket.display();
    if !socket.parent().is_some_and(Path::is_dir) {
        return Err(DriverError::Unable(format!("the folder of the QMP socket {shown} is not there; make it")));
    }
    let whole = async {
        let Some(mut qmp) = Qmp::open(socket).await? else { return Ok(None) };
        conversation(&mut qmp).await.map(Some)
    };
    match timeout_at(deadline.at(), whole).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(QmpError::Said(why))) => Err(DriverError::Refused(format!("QEMU at {shown}: {why}"))),
        // Not permitted, or a path that is too long for a socket.
        Ok(Err(QmpError::Broken(error)))
            if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput) =>
        {
            Err(DriverError::Unable(format!("talk to QEMU at {shown}: {error}")))
        }
        Ok(Err(QmpError::Broken(error))) => Err(DriverError::Unclear(format!("talk to QEMU at {shown}: {error}"))),
        Err(_) => Err(DriverError::Unclear(format!("QEMU at {shown} did not answer within {:?}", deadline.given()))),
    }
}
