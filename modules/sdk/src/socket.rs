//! A connection to the agent that never blocks: lines out, lines in.

use std::io::{Error, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use muster_module_protocol::LINE_BYTES_MAX;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// Bytes read at once.
const READ_BYTES: usize = 4096;

#[derive(Debug)]
pub(crate) struct Socket {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    written: usize,
}

impl Socket {
    /// Connects without waiting, even where the agent accepts nothing.
    pub(crate) fn connect(path: &Path) -> std::io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(Self { stream: socket.into(), input: Vec::new(), output: Vec::new(), written: 0 })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Whether all of what was given to [`Self::put`] is written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.output.is_empty()
    }

    /// Sets the line to write; the one before must be flushed.
    pub(crate) fn put(&mut self, line: &[u8]) {
        debug_assert!(self.is_flushed(), "one line at a time");
        self.output.extend_from_slice(line);
    }

    /// Writes what can be written now.
    pub(crate) fn flush(&mut self) -> std::io::Result<()> {
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads what has come; an error where the connection has ended.
    pub(crate) fn fill(&mut self) -> std::io::Result<()> {
        let mut chunk = [0; READ_BYTES];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.input.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if self.input.len() > LINE_BYTES_MAX && !self.input.contains(&b'\n') {
                return Err(Error::new(ErrorKind::InvalidData, "the agent sent a line without an end"));
            }
            if self.input.len() > 2 * LINE_BYTES_MAX {
                return Ok(());
            }
        }
    }

    /// The next whole line that has come.
    pub(crate) fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.input.iter().position(|byte| *byte == b'\n')?;
        Some(self.input.drain(..=end).collect())
    }
}
