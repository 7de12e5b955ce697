//! One connection of a test process.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use muster_model::{Attempt, Dpid, ProcessId, RunId};
use muster_module_protocol::{ModuleMessage, PROTOCOL};

use super::lines::Lines;
use crate::peer;
use crate::users::owner_of;
use crate::workplace::directory_of;

/// What a process does not read is kept for it up to this; beyond it, it takes no more.
const UNSENT_BYTES_MAX: usize = 128 << 10;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    /// Who it is, once it has said hello.
    pub(super) id: Option<ProcessId>,
    /// Since when it is there.
    pub(super) since: Instant,
    lines: Lines,
    /// What is to be written, or was not read by the process yet.
    unsent: Vec<u8>,
    /// The kernel has no room for it: it says when it has.
    pub(super) is_full: bool,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Connection {
    /// One that has said nothing yet.
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let (lines, unsent) = (Lines::default(), Vec::new());
        Ok(Self { stream, id: None, since: Instant::now(), lines, unsent, is_full: false })
    }

    /// Reads once; adds what was said. False at the end of the connection.
    pub(super) fn receive(&mut self, buffer: &mut [u8], messages: &mut Vec<ModuleMessage>) -> bool {
        loop {
            return match self.stream.read(buffer) {
                Ok(0) => false,
                Ok(size) => self.lines.take(&buffer[..size], messages).is_ok(),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            };
        }
    }

    /// Keeps a line for the next [`Connection::write`]. False when too much waits: the process does not read.
    pub(super) fn say(&mut self, line: &[u8]) -> bool {
        let fits = self.unsent.len() + line.len() <= UNSENT_BYTES_MAX;
        if fits {
            self.unsent.extend_from_slice(line);
        }
        fits
    }

    /// Something is to be written.
    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Writes what was kept, as far as there is room. What can not be written any more is not: the end of the connection is about to
    /// be read.
    pub(super) fn write(&mut self) {
        let written = write(&mut self.stream, &self.unsent).unwrap_or(self.unsent.len());
        self.is_full = written < self.unsent.len();
        if self.is_full {
            self.unsent.drain(..written);
        } else {
            self.unsent = Vec::new();
        }
    }

    /// Nothing more is said on it; what the process has said is still read.
    pub(super) fn fall_silent(&mut self) {
        self.write();
        (self.unsent, self.is_full) = (Vec::new(), false);
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Root is at the other end.
    pub(super) fn is_root(&self) -> bool {
        rustix::net::sockopt::socket_peercred(&self.stream).is_ok_and(|peer| peer.uid.is_root())
    }

    /// Takes the first message; none where it is no hello, or says that it is another process.
    pub(super) fn take_hello(&mut self, message: &ModuleMessage, state: &Path) -> Option<ProcessId> {
        let id = hello_of(message)?;
        let peer = rustix::net::sockopt::socket_peercred(&self.stream).ok();
        let user = peer.map(|peer| peer.uid.as_raw()).filter(|user| *user != 0);
        if let (Some(user), Some(owner)) = (user, owner_of(&directory_of(state, id)))
            && user != owner
        {
            tracing::warn!(said = %id, user, owner, "a process says that it is another user's: its connection is ended");
            return None;
        }
        let pid = peer.map(|peer| peer.pid.as_raw_nonzero().get());
        if let Some(started) = pid.and_then(peer::started_as).filter(|started| *started != id) {
            tracing::warn!(said = %id, was = %started, "a process says that it is another one: its connection is ended");
            return None;
        }
        self.id = Some(id);
        self.id
    }
}

/// As much as is taken at once.
fn write(stream: &mut UnixStream, line: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < line.len() {
        match stream.write(&line[written..]) {
            Ok(size) => written += size,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// The process that is named, if the words are in order.
pub(super) fn process_of(run: u32, dpid: &str, attempt: u32) -> Option<ProcessId> {
    let dpid: Dpid = dpid.parse().ok()?;
    Some(ProcessId { run: RunId(run), dpid, attempt: Attempt(attempt) })
}

fn hello_of(message: &ModuleMessage) -> Option<ProcessId> {
    match message {
        ModuleMessage::Hello { protocol, run, dpid, attempt, .. } if *protocol == PROTOCOL => {
            process_of(*run, dpid, *attempt)
        }
        ModuleMessage::Hello { protocol, .. } => {
            tracing::warn!(protocol, "a module speaks another version of the protocol");
            None
        }
        _ => None,
    }
}
