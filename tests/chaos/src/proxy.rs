//! A TCP proxy of our own between one part and nats-server, whose connections can be harmed in every way that a network harms them.
//!
//! What is held back is delivered later, as TCP does after a partition; what was swallowed never is, so such a connection ends with
//! the fault.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::fault::Line;

/// Read at once, bytes.
const CHUNK: usize = 64 * 1024;

/// A proxy; it ends with its runtime.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
    passed: Arc<AtomicU64>,
}

/// Which way something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From the part to the server.
    Out,
    /// From the server to the part.
    In,
}

/// What is done with what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Treatment {
    Pass,
    Hold,
    Swallow,
    Break,
}

fn treatment(line: Line, way: Way) -> Treatment {
    match (line, way) {
        (Line::Whole | Line::Slow(_), _) | (Line::Deaf, Way::Out) | (Line::Mute, Way::In) => Treatment::Pass,
        (Line::Partition, _) | (Line::Deaf, Way::In) | (Line::Mute, Way::Out) => Treatment::Hold,
        (Line::HalfOpen, _) => Treatment::Swallow,
        (Line::Cut | Line::Reset, _) => Treatment::Break,
    }
}

impl Proxy {
    /// A proxy before the server at `target`, on a free port of the loopback, for the runtime that this is called in.
    ///
    /// # Errors
    /// When no port is free.
    pub(crate) async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("open a proxy")?;
        let address = listener.local_addr().context("find the port of a proxy")?;
        let (line, seen) = watch::channel(Line::Whole);
        let passed = Arc::new(AtomicU64::new(0));
        tokio::spawn(accept(listener, target, seen, Arc::clone(&passed)));
        Ok(Self { address, line, passed })
    }

    /// The URL by which the part reaches the server.
    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// What happens on its connections from now on.
    pub(crate) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// Bytes that went through.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, line: watch::Receiver<Line>, passed: Arc<AtomicU64>) {
    while let Ok((part, _)) = listener.accept().await {
        tokio::spawn(connection(part, target, line.clone(), Arc::clone(&passed)));
    }
}

/// One connection, from its beginning to its end in both directions.
async fn connection(mut part: TcpStream, target: SocketAddr, line: watch::Receiver<Line>, passed: Arc<AtomicU64>) {
    let now = *line.borrow();
    if matches!(now, Line::Cut | Line::Reset) {
        return end(&part, now);
    }
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    // What is small goes at once, as without us.
    let _ = (part.set_nodelay(true), server.set_nodelay(true));
    let (from_part, to_part) = part.split();
    let (from_server, to_server) = server.split();
    // One direction that ends is the end of both.
    tokio::select! {
        () = carry(from_part, to_server, Way::Out, line.clone(), &passed) => {}
        () = carry(from_server, to_part, Way::In, line.clone(), &passed) => {}
    }
    let now = *line.borrow();
    end(&part, now);
    end(&server, now);
}

/// Ends a socket with a reset where that is the harm.
fn end(socket: &TcpStream, line: Line) {
    if line == Line::Reset {
        // A socket that is gone already is ended.
        let _ = socket.set_zero_linger();
    }
}

/// Carries one direction until it ends, or is broken.
async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    way: Way,
    mut line: watch::Receiver<Line>,
    passed: &AtomicU64,
) {
    let mut buffer = vec![0; CHUNK];
    let mut is_spoiled = false;
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            changed = line.changed() => {
                let now = treatment(*line.borrow(), way);
                if changed.is_err() || now == Treatment::Break || (is_spoiled && now != Treatment::Swallow) {
                    return;
                }
                continue;
            }
        };
        let Ok(count @ 1..) = read else { return };
        let settled = line.wait_for(|line| treatment(*line, way) != Treatment::Hold).await.map(|line| *line);
        let Ok(now) = settled else { return };
        match treatment(now, way) {
            Treatment::Swallow => is_spoiled = true,
            Treatment::Pass if !is_spoiled => {
                if let Line::Slow(by) = now {
                    tokio::time::sleep(by).await;
                }
                if to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
                passed.fetch_add(count as u64, Ordering::Relaxed);
            }
            Treatment::Pass | Treatment::Hold | Treatment::Break => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Nothing came within this, and so nothing comes.
    const SILENCE: Duration = Duration::from_millis(300);
    const LIMIT: Duration = Duration::from_secs(10);

    /// A proxy before a server that says everything back, and a connection over it.
    async fn proxied() -> (Proxy, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let target = listener.local_addr().expect("it has one");
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = socket.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        let proxy = Proxy::start(target).await.expect("it starts");
        let mut part = TcpStream::connect(proxy.address).await.expect("it listens");
        say(&mut part).await;
        assert_eq!(hear(&mut part).await.expect("it is said back"), 4);
        (proxy, part)
    }

    async fn say(part: &mut TcpStream) {
        part.write_all(b"said").await.expect("it is taken");
    }

    async fn hear(part: &mut TcpStream) -> std::io::Result<usize> {
        let mut heard = [0; 4];
        timeout(LIMIT, part.read(&mut heard)).await.expect("something happens")
    }

    async fn hears_nothing(part: &mut TcpStream) -> bool {
        let mut heard = [0; 4];
        timeout(SILENCE, part.peek(&mut heard)).await.is_err()
    }

    #[tokio::test]
    async fn what_is_held_back_comes_once_it_is_over() {
        for line in [Line::Partition, Line::Deaf, Line::Mute] {
            let (proxy, mut part) = proxied().await;
            proxy.set(line);
            say(&mut part).await;
            assert!(hears_nothing(&mut part).await, "{line:?}");
            proxy.set(Line::Whole);
            assert_eq!(hear(&mut part).await.expect("it comes"), 4, "{line:?}");
        }
    }

    #[tokio::test]
    async fn what_was_swallowed_never_comes_and_its_connection_ends() {
        let (proxy, mut part) = proxied().await;
        proxy.set(Line::HalfOpen);
        say(&mut part).await;
        assert!(hears_nothing(&mut part).await);
        proxy.set(Line::Whole);
        assert!(matches!(hear(&mut part).await, Ok(0) | Err(_)));
    }

    #[tokio::test]
    async fn a_cut_ends_connections_and_makes_none_until_it_is_over() {
        for line in [Line::Cut, Line::Reset] {
            let (proxy, mut part) = proxied().await;
            proxy.set(line);
            let ended = hear(&mut part).await;
            assert!(matches!(ended, Ok(0) | Err(_)), "{line:?}: {ended:?}");
            assert_eq!(ended.is_err(), line == Line::Reset, "only a reset is an error");
            let mut next = TcpStream::connect(proxy.address).await.expect("it listens");
            assert!(matches!(hear(&mut next).await, Ok(0) | Err(_)), "{line:?}");
            proxy.set(Line::Whole);
            let mut last = TcpStream::connect(proxy.address).await.expect("it listens");
            say(&mut last).await;
            assert_eq!(hear(&mut last).await.expect("it is said back"), 4, "{line:?}");
        }
    }

    #[tokio::test]
    async fn a_slow_connection_passes_everything_later() {
        let (proxy, mut part) = proxied().await;
        proxy.set(Line::Slow(SILENCE * 2));
        say(&mut part).await;
        assert!(hears_nothing(&mut part).await);
        assert_eq!(hear(&mut part).await.expect("it comes"), 4);
        assert_eq!(proxy.passed(), 16);
    }
}
