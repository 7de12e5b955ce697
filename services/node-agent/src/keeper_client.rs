//! The agent's side of the keeper's socket: starts a keeper where none is, and connects again when it is gone.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use crate::agent::Input;
use crate::keeper::KeeperPaths;
use crate::keeper::protocol::{FromKeeper, LINE_BYTES_MAX, ToKeeper};

/// Requests that wait for the keeper at most; each may carry many processes.
const REQUESTS_MAX: usize = 4_096;
/// A started keeper listens within this.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks for the keeper's socket.
const CONNECT_PAUSE: Duration = Duration::from_millis(20);
/// How long the end of the keeper is waited for.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Before a keeper that could not be started is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Says things to the keeper. What was said to a connection that is gone is never said on the next one: what became of it is
/// read from the keeper's answer to hello.
#[derive(Debug)]
pub(crate) struct KeeperHandle {
    requests: mpsc::Sender<(u64, ToKeeper)>,
    /// Connections that the agent knows to be gone.
    gone: u64,
    /// The agent ends: a keeper that is gone is not replaced.
    closing: Arc<AtomicBool>,
}

impl KeeperHandle {
    /// Hands a request over; false when the keeper does not take any more.
    pub(crate) fn say(&self, request: ToKeeper) -> bool {
        self.requests.try_send((self.gone, request)).is_ok()
    }

    /// Tells the keeper to end, and waits a moment for it.
    pub(crate) async fn close(&mut self, inputs: &mut mpsc::Receiver<Input>) {
        self.closing.store(true, Ordering::Release);
        if !self.say(ToKeeper::Shutdown) {
            return;
        }
        let gone = async {
            while let Some(input) = inputs.recv().await {
                if matches!(input, Input::KeeperGone) {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, gone).await;
    }

    /// The agent has taken note that a connection is gone.
    pub(crate) fn connection_gone(&mut self) {
        self.gone += 1;
    }
}

/// Keeps a connection to the keeper for as long as the agent lives.
pub(crate) fn start(paths: KeeperPaths, program: PathBuf, inputs: mpsc::Sender<Input>) -> KeeperHandle {
    let (requests, waiting) = mpsc::channel(REQUESTS_MAX);
    let closing = Arc::new(AtomicBool::new(false));
    tokio::spawn(keep_connected(paths, program, inputs, waiting, closing.clone()));
    KeeperHandle { requests, gone: 0, closing }
}

async fn keep_connected(
    paths: KeeperPaths,
    program: PathBuf,
    inputs: mpsc::Sender<Input>,
    mut requests: mpsc::Receiver<(u64, ToKeeper)>,
    closing: Arc<AtomicBool>,
) {
    let mut gone = 0;
    while !closing.load(Ordering::Acquire) {
        let stream = match connect_or_start(&paths, &program).await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the keeper can not be reached: nothing can be started or killed"
                );
                tokio::time::sleep(RESTART_PAUSE).await;
                continue;
            }
        };
        let (reading, writing) = stream.into_split();
        tokio::select! {
            () = read_all(reading, &inputs) => {}
            ended = write_all(writing, &mut requests, gone) => if ended { return },
        }
        gone += 1;
        if inputs.send(Input::KeeperGone).await.is_err() {
            return;
        }
        tracing::info!("the connection to the keeper ended");
    }
}

async fn connect_or_start(paths: &KeeperPaths, program: &Path) -> anyhow::Result<UnixStream> {
    if let Ok(stream) = UnixStream::connect(paths.socket()).await {
        return Ok(stream);
    }
    start_keeper(paths, program)?;
    let deadline = tokio::time::Instant::now() + START_TIMEOUT;
    loop {
        match UnixStream::connect(paths.socket()).await {
            Ok(stream) => return Ok(stream),
            Err(error) if tokio::time::Instant::now() >= deadline => {
                return Err(error).with_context(|| format!("connect to {}", paths.socket().display()));
            }
            Err(_) => tokio::time::sleep(CONNECT_PAUSE).await,
        }
    }
}

fn start_keeper(paths: &KeeperPaths, program: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(paths.directory()).context("make the keeper's directory")?;
    let log = paths.directory().join("keeper.log");
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(&log)
        .with_context(|| format!("open {}", log.display()))?;
    let mut child = tokio::process::Command::new(program)
        .arg("--state")
        .arg(&paths.state)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("share the keeper's log")?)
        .stderr(log)
        .kill_on_drop(false)
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    tracing::info!(pid = child.id(), "started the keeper");
    // Reaped if it ends before us; otherwise it goes on without us.
    tokio::spawn(async move { child.wait().await });
    Ok(())
}

async fn read_all(reading: OwnedReadHalf, inputs: &mpsc::Sender<Input>) {
    let mut reader = BufReader::new(reading);
    loop {
        let mut line = Vec::new();
        let limited = (&mut reader).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line).await;
        if !matches!(limited, Ok(size) if size > 0) {
            return;
        }
        match serde_json::from_slice::<FromKeeper>(&line) {
            Ok(message) => {
                if inputs.send(Input::Keeper(message)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(%error, "the keeper said something that can not be understood");
                return;
            }
        }
    }
}

/// Gives true when the agent ends.
async fn write_all(
    mut writing: OwnedWriteHalf,
    requests: &mut mpsc::Receiver<(u64, ToKeeper)>,
    connection: u64,
) -> bool {
    let mut next = ToKeeper::Hello;
    loop {
        let Ok(mut line) = serde_json::to_vec(&next) else { return false };
        line.push(b'\n');
        if writing.write_all(&line).await.is_err() {
            return false;
        }
        next = loop {
            match requests.recv().await {
                Some((said_to, request)) if said_to == connection => break request,
                Some(_) => {}
                None => return true,
            }
        };
    }
}
