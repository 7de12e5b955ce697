//! A way to nats-server on which every envelope is put as another release would say or see it.
//!
//! The protocol: one line that says what comes, and its payload where there is one (docs.nats.io, "NATS protocol").

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream};

use crate::release::Release;

/// Where envelopes are: subjects of Muster, and answers.
const OF_MUSTER: [&str; 2] = ["muster.v1.", "_INBOX"];

/// A relay; it ends with its runtime.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    changed: Arc<AtomicU64>,
}

impl Relay {
    /// A relay before the server at `target`, on a free port of the loopback.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(target: SocketAddr, release: Release) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("open a relay")?;
        let address = listener.local_addr().context("find the port of a relay")?;
        let (changed, release) = (Arc::new(AtomicU64::new(0)), Arc::new(release));
        let count = Arc::clone(&changed);
        tokio::spawn(async move {
            while let Ok((part, _)) = listener.accept().await {
                tokio::spawn(connection(part, target, Arc::clone(&release), Arc::clone(&count)));
            }
        });
        Ok(Self { address, changed })
    }

    /// The URL by which a part reaches the server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Envelopes that went through and were changed.
    #[must_use]
    pub fn changed(&self) -> u64 {
        self.changed.load(Ordering::Relaxed)
    }
}

async fn connection(part: TcpStream, target: SocketAddr, release: Arc<Release>, changed: Arc<AtomicU64>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let _ = (part.set_nodelay(true), server.set_nodelay(true));
    let (from_part, to_part) = part.into_split();
    let (from_server, to_server) = server.into_split();
    // One direction that ends is the end of both.
    tokio::select! {
        _ = carry(from_part, to_server, &release, &changed) => {}
        _ = carry(from_server, to_part, &release, &changed) => {}
    }
}

/// Carries one direction, operation by operation, until it ends.
async fn carry(
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    release: &Release,
    changed: &AtomicU64,
) -> std::io::Result<()> {
    let (mut from, mut to) = (BufReader::new(from), BufWriter::new(to));
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).await? > 0 {
        match Operation::read(&line) {
            Some(operation) => {
                let mut bytes = vec![0; operation.headers + operation.payload + 2];
                from.read_exact(&mut bytes).await?;
                let (headers, payload) = bytes[..bytes.len() - 2].split_at(operation.headers);
                let other = operation.is_of_muster().then(|| release.envelope(payload)).flatten();
                let payload = other.as_deref().unwrap_or(payload);
                changed.fetch_add(u64::from(other.is_some()), Ordering::Relaxed);
                to.write_all(operation.line(payload.len()).as_bytes()).await?;
                to.write_all(headers).await?;
                to.write_all(payload).await?;
                to.write_all(b"\r\n").await?;
            }
            None => to.write_all(&line).await?,
        }
        line.clear();
        if from.buffer().is_empty() {
            to.flush().await?;
        }
    }
    Ok(())
}

/// An operation that brings a payload.
struct Operation<'a> {
    /// PUB, HPUB, MSG or HMSG, and what stands before the sizes.
    words: Vec<&'a str>,
    has_headers: bool,
    headers: usize,
    payload: usize,
}

impl<'a> Operation<'a> {
    fn read(line: &'a [u8]) -> Option<Self> {
        let mut words: Vec<&str> = std::str::from_utf8(line).ok()?.split_ascii_whitespace().collect();
        let has_headers = match *words.first()? {
            "PUB" | "MSG" => false,
            "HPUB" | "HMSG" => true,
            _ => return None,
        };
        let whole: usize = words.pop()?.parse().ok()?;
        let headers = if has_headers { words.pop()?.parse().ok()? } else { 0 };
        Some(Self { words, has_headers, headers, payload: whole.checked_sub(headers)? })
    }

    fn is_of_muster(&self) -> bool {
        self.words.get(1).is_some_and(|subject| OF_MUSTER.iter().any(|start| subject.starts_with(start)))
    }

    /// The line for a payload of this size.
    fn line(&self, payload: usize) -> String {
        let start = self.words.join(" ");
        if self.has_headers {
            format!("{start} {} {}\r\n", self.headers, self.headers + payload)
        } else {
            format!("{start} {payload}\r\n")
        }
    }
}
