//! Words between two members of a gang that run by hand: datagrams, which are lost as an agent would lose them. The member with
//! the first role listens at the place, the other one sends there; each datagram is the line that an agent would have written.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_module_protocol::{AgentMessage, Context, LINE_BYTES_MAX, decode_line, encode_line};

use crate::error::SdkError;
use crate::peers::PeerWords;
use crate::run::spawn;
use crate::shared::Shared;

/// One end of the place.
#[derive(Debug)]
pub(crate) struct MeetingPlace {
    socket: Arc<UdpSocket>,
    /// Where the other one is, once that is known.
    other: Arc<Mutex<Option<SocketAddr>>>,
    role: String,
    dpid: String,
}

impl MeetingPlace {
    /// Opens this process's end at an address, `HOST:PORT`.
    pub(crate) fn open(address: String, context: &Context, shared: Arc<Shared>) -> Result<Self, SdkError> {
        let gang = context.gang.as_ref();
        let role = gang.map(|gang| gang.role.clone()).unwrap_or_default();
        let listens = gang.and_then(|gang| gang.members.first()).is_some_and(|first| first.role == role);
        let (socket, other) = open(&address, listens).map_err(|error| SdkError::MeetingPlace(address, error))?;
        let (socket, other) = (Arc::new(socket), Arc::new(Mutex::new(other)));
        let (heard_on, heard_from) = (Arc::clone(&socket), Arc::clone(&other));
        spawn(move || listen(&heard_on, &heard_from, &shared))?;
        Ok(Self { socket, other, role, dpid: context.dpid.clone() })
    }

    /// Says words, if anybody is there to hear them.
    pub(crate) fn say(&self, words: &str) {
        let message = AgentMessage::Peer { from: self.role.clone(), dpid: self.dpid.clone(), data: words.to_owned() };
        let other = *lock(&self.other);
        if let (Some(other), Ok(line)) = (other, encode_line(&message)) {
            // Lost words are said again by whoever needs an answer.
            let _: std::io::Result<usize> = self.socket.send_to(&line, other);
        }
    }
}

fn open(address: &str, listens: bool) -> std::io::Result<(UdpSocket, Option<SocketAddr>)> {
    let nowhere = || std::io::Error::other("it names no address; write HOST:PORT");
    let place = address.to_socket_addrs()?.next().ok_or_else(nowhere)?;
    if listens {
        return Ok((UdpSocket::bind(place)?, None));
    }
    let any: SocketAddr = match place {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    Ok((UdpSocket::bind(any)?, Some(place)))
}

/// Hears words for as long as the process lives; whoever spoke last is whom we answer.
fn listen(socket: &UdpSocket, other: &Mutex<Option<SocketAddr>>, shared: &Shared) {
    let mut datagram = vec![0; LINE_BYTES_MAX];
    loop {
        // An error is that of an earlier send to a port where nobody is yet.
        let Ok((size, from)) = socket.recv_from(&mut datagram) else { continue };
        if let Ok(Some(AgentMessage::Peer { from: role, dpid, data })) = decode_line(&datagram[..size]) {
            *lock(other) = Some(from);
            shared.heard_peer(PeerWords { role, dpid, words: data });
        }
    }
}

fn lock(other: &Mutex<Option<SocketAddr>>) -> MutexGuard<'_, Option<SocketAddr>> {
    other.lock().unwrap_or_else(PoisonError::into_inner)
}
