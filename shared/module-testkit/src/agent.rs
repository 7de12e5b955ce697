//! An agent that the test plays, over a real socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use muster_module_protocol::{AgentMessage, ModuleMessage, decode_line, encode_line};

use crate::PATIENCE;

/// A life of an agent: it listens until it is dropped.
#[derive(Debug)]
pub struct Agent {
    listener: UnixListener,
    path: PathBuf,
}

impl Agent {
    /// Listens at a path.
    ///
    /// # Panics
    /// When it can not.
    #[must_use]
    pub fn listen(path: &Path) -> Self {
        Self { listener: UnixListener::bind(path).expect("listen"), path: path.to_owned() }
    }

    /// Waits for the next connection of a process.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().expect("accept");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Peer { lines: BufReader::new(stream) }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Where its directory is gone already, so is the socket.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The agent's end of a connection.
#[derive(Debug)]
pub struct Peer {
    lines: BufReader<UnixStream>,
}

impl Peer {
    /// Says something to the process.
    ///
    /// # Panics
    /// When it has gone.
    pub fn say(&mut self, message: &AgentMessage) {
        self.say_bytes(&encode_line(message).expect("a line"));
    }

    /// Says bytes as they are, lines or not.
    ///
    /// # Panics
    /// When it has gone.
    pub fn say_bytes(&mut self, bytes: &[u8]) {
        self.lines.get_mut().write_all(bytes).expect("write");
    }

    /// What the process says next; none where the connection has ended.
    ///
    /// # Panics
    /// When it is late, or says what is no message.
    pub fn hear(&mut self) -> Option<ModuleMessage> {
        let mut line = Vec::new();
        self.lines.read_until(b'\n', &mut line).expect("a line in time");
        if line.is_empty() { None } else { Some(decode_line(&line).expect("a message").expect("a known type")) }
    }

    /// Hears the process until it says what is wanted.
    ///
    /// # Panics
    /// When the connection ends before, or it is late.
    pub fn hear_until(&mut self, wanted: impl Fn(&ModuleMessage) -> bool) -> ModuleMessage {
        std::iter::from_fn(|| self.hear()).find(wanted).expect("the message before the end")
    }
}
