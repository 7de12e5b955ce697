//! The server's listener: it lets its peer in and refuses strangers, saying so.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use muster_sdk::{Session, Token, listen_anywhere, plain_address};

use crate::record::{Hello, RECORD_BYTES, Record};
use crate::settings::{Direction, Settings};
use crate::trouble::Trouble;

/// How long who connects may take to say who it is.
const HELLO_MAX: Duration = Duration::from_millis(500);
/// Connections that are looked at in one go.
const ACCEPT_MAX: usize = 32;
/// Strangers that are reported one by one; what comes after them is refused as well.
const STRANGERS_SAID_MAX: u64 = 20;

/// The listener, and who has come in.
#[derive(Debug)]
pub(crate) struct Door {
    listener: TcpListener,
    token: Token,
    streams: usize,
    packet_bytes: usize,
    direction: Direction,
    /// Connections of the newest meeting.
    arrived: Vec<(Hello, TcpStream)>,
    /// Life of the peer, and its meeting, that was complete last.
    latest: (u64, u64),
    strangers: u64,
}

impl Door {
    pub(crate) fn open(settings: &Settings, token: Token) -> Result<Self, Trouble> {
        let listener = listen_anywhere().map_err(|error| Trouble::Setting(format!("listening failed: {error}")))?;
        Ok(Self {
            listener,
            token,
            streams: settings.streams,
            packet_bytes: settings.packet_bytes,
            direction: settings.direction,
            arrived: Vec::new(),
            latest: (0, 0),
            strangers: 0,
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().map_or(0, |address| address.port())
    }

    /// Looks at who has connected; true where the peer is among them.
    pub(crate) fn accept(&mut self, session: &Session) -> bool {
        for _ in 0..ACCEPT_MAX {
            let Ok((socket, from)) = self.listener.accept() else { break };
            match self.admit(&socket) {
                Ok(hello) => self.let_in(hello, socket),
                Err(reason) => self.refuse(session, socket, from, &reason),
            }
        }
        !self.arrived.is_empty()
    }

    /// All connections of a meeting in the order of their streams, once they are complete.
    pub(crate) fn complete(&mut self) -> Option<Vec<(Hello, TcpStream)>> {
        if self.arrived.len() < self.streams {
            return None;
        }
        self.arrived.sort_by_key(|(hello, _)| hello.stream);
        self.latest = self.arrived.first().map_or(self.latest, |(hello, _)| (hello.instance, hello.meeting));
        Some(std::mem::take(&mut self.arrived))
    }

    fn admit(&self, mut socket: &TcpStream) -> Result<Hello, String> {
        let mut bytes = [0; RECORD_BYTES];
        let read = socket
            .set_nonblocking(false)
            .and_then(|()| socket.set_read_timeout(Some(HELLO_MAX)))
            .and_then(|()| socket.read_exact(&mut bytes));
        read.map_err(|error| format!("it did not say who it is: {error}"))?;
        let Some(Record::Hello(hello)) = Record::decode(&bytes) else {
            return Err("it does not speak as a peer does".into());
        };
        if hello.token != self.token {
            return Err("its token is not the one that the peer was told".into());
        }
        let fits = hello.packet_bytes == self.packet_bytes as u64
            && hello.streams == self.streams as u64
            && hello.stream < hello.streams
            && hello.direction == self.direction;
        if fits { Ok(hello) } else { Err("its packet_size, streams or direction differ from the server's".into()) }
    }

    /// Keeps a connection of the newest meeting; a stream that comes twice in it counts as it came last. What is left of a meeting
    /// that is over is closed.
    fn let_in(&mut self, hello: Hello, socket: TcpStream) {
        let (instance, meeting) = self.latest;
        if hello.instance == instance && hello.meeting <= meeting {
            return;
        }
        let newest = self.arrived.first().map_or(hello.meeting, |(first, _)| first.meeting.max(hello.meeting));
        if hello.meeting == newest {
            self.arrived.retain(|(known, _)| known.meeting == newest && known.stream != hello.stream);
            self.arrived.push((hello, socket));
        }
    }

    fn refuse(&mut self, session: &Session, mut stranger: TcpStream, from: SocketAddr, reason: &str) {
        self.strangers += 1;
        if self.strangers <= STRANGERS_SAID_MAX {
            session.event("stranger_refused", &format!("{}: {reason}", plain_address(from)));
        }
        // A stranger may hear it or not.
        let _: std::io::Result<()> = stranger
            .set_write_timeout(Some(HELLO_MAX))
            .and_then(|()| stranger.write_all(&Record::Refused(reason.to_owned()).encode()));
    }
}

/// Hears a record, within the read timeout of the connection.
pub(crate) fn hear(mut socket: &TcpStream) -> std::io::Result<Record> {
    let mut bytes = [0; RECORD_BYTES];
    socket.read_exact(&mut bytes)?;
    Record::decode(&bytes)
        .ok_or_else(|| std::io::Error::new(ErrorKind::InvalidData, "it does not speak as a peer does"))
}
