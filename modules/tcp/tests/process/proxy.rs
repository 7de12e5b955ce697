//! A proxy between the two, which does to packets what broken hardware does.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::spawn;

/// What happens to the bytes towards the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// Nothing.
    None,
    /// The connection is cut after so many bytes; later ones are left alone.
    CutAfter(usize),
    /// A bit of this byte flips.
    Flip(usize),
    /// Bytes are lost: from where, how many.
    Lose(usize, usize),
    /// Bytes come twice: from where, how many.
    Repeat(usize, usize),
}

/// A proxy; its connections end with it or with either side.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
}

impl Proxy {
    pub(crate) fn start(damage: Damage) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = listener.local_addr().expect("address");
        let target = Arc::new(Mutex::new(None));
        let proxy = Self { address, target: Arc::clone(&target) };
        spawn(move || {
            let mut damage = damage;
            for client in listener.incoming() {
                let client = client.expect("accept");
                let target = target.lock().expect("lock").expect("the target is known");
                let Ok(server) = TcpStream::connect(target) else { continue };
                let back = (server.try_clone().expect("clone"), client.try_clone().expect("clone"));
                spawn(move || carry(back.0, back.1, Damage::None));
                spawn(move || carry(client, server, damage));
                if matches!(damage, Damage::CutAfter(_)) {
                    damage = Damage::None;
                }
            }
        });
        proxy
    }

    /// Changes the server's words so that the client connects here.
    pub(crate) fn rewrite(self) -> crate::broker::Rewrite {
        Box::new(move |words| {
            let Ok(mut said) = serde_json::from_str::<serde_json::Value>(words) else { return words.to_owned() };
            let Some(addresses) = said.pointer_mut("/here/addresses") else { return words.to_owned() };
            let all: Vec<SocketAddr> = serde_json::from_value(addresses.take()).expect("addresses");
            let loopback = all.into_iter().find(|address| address.ip().is_loopback()).expect("a loopback address");
            *self.target.lock().expect("lock") = Some(loopback);
            *addresses = serde_json::json!([self.address]);
            said.to_string()
        })
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, damage: Damage) {
    let mut buffer = vec![0; 64 * 1024];
    let mut at = 0;
    while let Ok(count) = from.read(&mut buffer) {
        let Some(out) = damaged(&buffer[..count], at, damage) else { break };
        if count == 0 || to.write_all(&out).is_err() {
            break;
        }
        at += count;
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// What becomes of bytes that begin at `at` of the stream; none where the connection is cut.
fn damaged(bytes: &[u8], at: usize, damage: Damage) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    for (place, byte) in (at..).zip(bytes) {
        match damage {
            Damage::CutAfter(end) if place >= end => return None,
            Damage::Flip(flipped) if place == flipped => out.push(byte ^ 0x10),
            Damage::Lose(from, count) if (from..from + count).contains(&place) => {}
            _ => out.push(*byte),
        }
    }
    if let Damage::Repeat(from, count) = damage {
        return Some(repeated(bytes, at, from, count));
    }
    Some(out)
}

/// Bytes with those of a range said again right after it; the range must come in whole reads or be kept until it has.
fn repeated(bytes: &[u8], at: usize, from: usize, count: usize) -> Vec<u8> {
    thread_local! { static KEPT: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) } }
    KEPT.with_borrow_mut(|kept| {
        let mut out = Vec::new();
        for (place, byte) in (at..).zip(bytes) {
            out.push(*byte);
            if (from..from + count).contains(&place) {
                kept.push(*byte);
                if kept.len() == count {
                    out.append(kept);
                }
            }
        }
        out
    })
}
