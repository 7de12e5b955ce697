//! A TCP proxy before a nats-server, that loses, changes or keeps back single frames, or the whole connection.
//!
//! It knows of the protocol only where a frame ends, so that what passes is what the client and the server said.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Frames that wait for one side.
const FRAMES_MAX: usize = 4_096;
const DEADLINE: Duration = Duration::from_secs(10);

/// What becomes of a frame.
pub(crate) enum Fate {
    Pass,
    /// It is lost; the connection lives.
    Lose,
    /// It is kept back until [`Proxy::deliver_late`].
    Keep,
}

type Rule = Box<dyn FnMut(&mut Vec<u8>) -> Fate + Send>;

struct Shared {
    server: String,
    to_server: Mutex<Rule>,
    to_client: Mutex<Rule>,
    kept: Mutex<Vec<Vec<u8>>>,
    is_closed: AtomicBool,
    cuts: watch::Sender<u64>,
}

/// A proxy; it ends when dropped.
pub(crate) struct Proxy {
    url: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A proxy before the server at `url`.
    pub(crate) async fn start(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let own = format!("nats://{}", listener.local_addr().expect("bound"));
        let shared = Arc::new(Shared {
            server: url.strip_prefix("nats://").expect("a NATS URL").to_owned(),
            to_server: Mutex::new(Box::new(|_| Fate::Pass)),
            to_client: Mutex::new(Box::new(|_| Fate::Pass)),
            kept: Mutex::default(),
            is_closed: AtomicBool::new(false),
            cuts: watch::Sender::new(0),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self { url: own, shared, accepting }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Judges every frame from the server from now on.
    pub(crate) fn to_client(&self, rule: impl FnMut(&mut Vec<u8>) -> Fate + Send + 'static) {
        *self.shared.to_client.lock().expect("not poisoned") = Box::new(rule);
    }

    /// Judges every frame to the server from now on.
    pub(crate) fn to_server(&self, rule: impl FnMut(&mut Vec<u8>) -> Fate + Send + 'static) {
        *self.shared.to_server.lock().expect("not poisoned") = Box::new(rule);
    }

    /// How many frames are kept back.
    pub(crate) fn kept(&self) -> usize {
        self.shared.kept.lock().expect("not poisoned").len()
    }

    /// Ends every connection that there is.
    pub(crate) fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Ends every connection, and refuses new ones until [`Proxy::open`].
    pub(crate) fn close(&self) {
        self.shared.is_closed.store(true, Ordering::Release);
        self.cut();
    }

    /// Takes connections again.
    pub(crate) fn open(&self) {
        self.shared.is_closed.store(false, Ordering::Release);
    }

    /// Brings what was kept back to the server, as a network does that was slow with it. The server has read it when this returns.
    pub(crate) async fn deliver_late(&self) {
        let kept = std::mem::take(&mut *self.shared.kept.lock().expect("not poisoned"));
        let mut stream = TcpStream::connect(&self.shared.server).await.expect("the server listens");
        stream.write_all(b"CONNECT {\"verbose\":false,\"headers\":true}\r\n").await.expect("written");
        for frame in kept {
            stream.write_all(&frame).await.expect("written");
        }
        stream.write_all(b"PING\r\n").await.expect("written");
        let mut reader = BufReader::new(stream);
        let heard = async {
            let mut line = String::new();
            while !line.starts_with("PONG") {
                line.clear();
                assert!(reader.read_line(&mut line).await.expect("readable") > 0, "the server hung up");
            }
        };
        tokio::time::timeout(DEADLINE, heard).await.expect("the server answers in time");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

/// Whether a frame is the acknowledgement of a message of `stream`.
pub(crate) fn is_acknowledgement(frame: &[u8], stream: &str) -> bool {
    contains(frame, format!("{{\"stream\":\"{stream}\",\"seq\":").as_bytes())
}

/// Whether a frame is a message that is published on `subject`.
pub(crate) fn is_published(frame: &[u8], subject: &str) -> bool {
    let line = frame.split(|byte| *byte == b'\r').next().unwrap_or_default();
    (line.starts_with(b"PUB ") || line.starts_with(b"HPUB ")) && contains(line, format!(" {subject} ").as_bytes())
}

/// Whether a frame is a message of `stream` on its way to a reader.
pub(crate) fn is_delivery(frame: &[u8], stream: &str) -> bool {
    contains(frame, format!(" $JS.ACK.{stream}.").as_bytes())
}

fn contains(frame: &[u8], part: &[u8]) -> bool {
    frame.windows(part.len()).any(|window| window == part)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if !shared.is_closed.load(Ordering::Acquire) {
            connections.spawn(connection(client, shared.clone()));
        }
    }
}

/// Carries frames in both directions until one side ends or the connection is cut.
async fn connection(client: TcpStream, shared: Arc<Shared>) {
    let mut cuts = shared.cuts.subscribe();
    let Ok(server) = TcpStream::connect(&shared.server).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let mut tasks = JoinSet::new();
    for (from, mut to, is_to_server) in [(from_client, to_server, true), (from_server, to_client, false)] {
        let (frames, mut frames_end) = mpsc::channel::<Vec<u8>>(FRAMES_MAX);
        tasks.spawn(judge(from, frames, shared.clone(), is_to_server));
        tasks.spawn(async move {
            while let Some(frame) = frames_end.recv().await {
                if to.write_all(&frame).await.is_err() {
                    return;
                }
            }
        });
    }
    tokio::select! {
        _ = cuts.changed() => {}
        _ = tasks.join_next() => {}
    }
}

async fn judge(from: OwnedReadHalf, frames: mpsc::Sender<Vec<u8>>, shared: Arc<Shared>, is_to_server: bool) {
    let mut from = BufReader::new(from);
    while let Some(mut frame) = read_frame(&mut from).await {
        let rule = if is_to_server { &shared.to_server } else { &shared.to_client };
        let fate = rule.lock().expect("not poisoned")(&mut frame);
        match fate {
            Fate::Pass => drop(frames.send(frame).await),
            Fate::Keep => shared.kept.lock().expect("not poisoned").push(frame),
            Fate::Lose => {}
        }
    }
}

/// A line, and the payload that it announces, if it does.
async fn read_frame(from: &mut BufReader<OwnedReadHalf>) -> Option<Vec<u8>> {
    let mut frame = Vec::new();
    if from.read_until(b'\n', &mut frame).await.ok()? == 0 {
        return None;
    }
    let line = String::from_utf8_lossy(&frame).into_owned();
    let mut words = line.split_whitespace();
    if let Some("PUB" | "HPUB" | "MSG" | "HMSG") = words.next() {
        let size: usize = words.next_back()?.parse().ok()?;
        let start = frame.len();
        frame.resize(start + size + 2, 0);
        from.read_exact(&mut frame[start..]).await.ok()?;
    }
    Some(frame)
}
