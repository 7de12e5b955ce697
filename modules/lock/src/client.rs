//! One connection of a server: what came, what is still to be sent, and how it ended.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use crate::connection::Incoming;
use crate::core::Writer;
use crate::frame::{BODY_BYTES_MAX, Frame, HEAD_BYTES};

/// Bytes that may wait to be sent: a taker asks one thing at a time, so more are a taker that does not listen.
const UNSENT_BYTES_MAX: usize = 4 * (HEAD_BYTES + BODY_BYTES_MAX);

/// How a connection is over.
#[derive(Debug)]
enum End {
    /// The taker said goodbye.
    Left,
    /// It broke, or is broken off.
    Cut(String),
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    pub(crate) from: SocketAddr,
    /// Since when it is there.
    pub(crate) since: Instant,
    /// Who it is, once it said so.
    pub(crate) writer: Option<Writer>,
    incoming: Incoming,
    outgoing: Vec<u8>,
    end: Option<End>,
}

impl Client {
    pub(crate) fn new(socket: TcpStream, from: SocketAddr) -> Self {
        let (incoming, outgoing) = (Incoming::default(), Vec::new());
        Self { socket, from, since: Instant::now(), writer: None, incoming, outgoing, end: None }
    }

    /// Reads what has come.
    pub(crate) fn read(&mut self) {
        if let Err(error) = self.incoming.read(&self.socket) {
            self.end(&error.to_string());
        }
    }

    /// The next thing that it said; also what it said before its connection broke.
    pub(crate) fn next(&mut self) -> Option<(Frame, Vec<u8>)> {
        if matches!(self.end, Some(End::Left)) {
            return None;
        }
        self.incoming.next().unwrap_or_else(|error| {
            self.end(&error.to_string());
            None
        })
    }

    /// Says something, now or when the socket takes it.
    pub(crate) fn say(&mut self, frame: Frame, body: &[u8]) {
        self.outgoing.extend_from_slice(&frame.encode(body));
        self.flush();
        if self.outgoing.len() > UNSENT_BYTES_MAX {
            self.end("it does not listen");
        }
    }

    /// Sends as much as the socket takes.
    pub(crate) fn flush(&mut self) {
        while !self.outgoing.is_empty() {
            match self.socket.write(&self.outgoing) {
                Ok(sent) => drop(self.outgoing.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.outgoing.clear();
                    return self.end(&error.to_string());
                }
            }
        }
    }

    /// Something is still to be sent.
    pub(crate) fn has_more(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// It said goodbye.
    pub(crate) fn leave(&mut self) {
        self.end.get_or_insert(End::Left);
    }

    /// It is over, for the first reason that is given.
    pub(crate) fn end(&mut self, reason: &str) {
        self.end.get_or_insert_with(|| End::Cut(reason.to_owned()));
    }

    pub(crate) fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// Why it was cut; nothing for one that left in order.
    pub(crate) fn cut_reason(&self) -> Option<&str> {
        match &self.end {
            Some(End::Cut(reason)) => Some(reason),
            Some(End::Left) | None => None,
        }
    }
}
