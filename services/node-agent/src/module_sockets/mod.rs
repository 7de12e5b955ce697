//! The sockets of test processes: JSON lines in, JSON lines out. Who speaks is what its hello says.
//!
//! The agent's loop owns them all through one epoll: it reads who has said something, and writes what it says in one turn with one
//! call for each process. There is neither a task nor a queue for each, and however many end together, the loop is woken once.

mod connection;
mod lines;

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use muster_model::ProcessId;
use muster_module_protocol::{AgentMessage, ClientWish, HolderWish, ModuleMessage, encode_line};
use rustix::event::{Timespec, epoll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use connection::{Connection, process_of};

use crate::private;

/// How long a connection may be silent before it says who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Processes of all users connect.
const SOCKET_MODE: u32 = 0o666;
/// Path of a Unix socket at most, with its end (sockaddr_un).
const SOCKET_PATH_MAX: usize = 107;
/// Sockets that are looked at together at most.
const EVENTS_MAX: usize = 512;
/// Connections that are accepted together at most.
const ACCEPTS_MAX: usize = 128;
/// Read of one connection at once at most: who says much waits for the others.
const READ_BYTES_MAX: usize = 16 << 10;
/// The epoll's word for the socket that listens; connections are counted from 1.
const LISTENER: u64 = 0;

/// What happens on the sockets. `connection` tells an old connection of a process from its newest.
#[derive(Debug)]
pub(crate) enum ModuleInput {
    /// A process said hello.
    Connected {
        /// Who.
        id: ProcessId,
        /// Which connection.
        connection: u64,
    },
    /// It said something else.
    Said {
        /// Who.
        id: ProcessId,
        /// What.
        message: ModuleMessage,
    },
    /// Something is asked in the name of a process, on a connection of its own.
    Asked {
        /// On which connection.
        connection: u64,
        /// In whose name.
        id: ProcessId,
        /// The token that is shown.
        token: String,
        /// What.
        wish: ClientWish,
    },
    /// The person at this machine asks something, on a connection of its own.
    HolderAsked {
        /// On which connection.
        connection: u64,
        /// It is root who asks.
        is_root: bool,
        /// What.
        wish: HolderWish,
    },
    /// Its connection ended.
    Closed {
        /// Who.
        id: ProcessId,
        /// Which connection.
        connection: u64,
    },
}

/// The socket that processes connect to, and their connections.
#[derive(Debug)]
pub(crate) struct ModuleSockets {
    /// Where the directories of processes are.
    state: PathBuf,
    listener: UnixListener,
    /// It is not looked at until the next [`ModuleSockets::tick`]: nobody could be accepted.
    is_resting: bool,
    epoll: AsyncFd<OwnedFd>,
    connections: HashMap<u64, Connection>,
    newest: u64,
    /// Those on which something was said since the last [`ModuleSockets::write`].
    said: Vec<u64>,
    buffer: Vec<u8>,
}

impl ModuleSockets {
    /// Listens.
    ///
    /// # Errors
    /// When the path is too long, or can not be listened on.
    pub(crate) fn listen(path: &Path) -> anyhow::Result<Self> {
        anyhow::ensure!(
            path.as_os_str().len() <= SOCKET_PATH_MAX,
            "listen on {}: a socket's path has at most {SOCKET_PATH_MAX} bytes; use a shorter --state",
            path.display()
        );
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).with_context(|| format!("listen on {}", path.display()))?;
        private::open_to_tests(path, SOCKET_MODE).with_context(|| format!("let processes to {}", path.display()))?;
        listener.set_nonblocking(true).context("listen without blocking")?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("make an epoll")?;
        epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)
            .context("watch the socket")?;
        // SAFETY: an owned descriptor is open, and the same, for as long as the AsyncFd has it; nothing here takes it out.
        let epoll = unsafe { AsyncFd::register_with_interest(epoll, Interest::READABLE) }.context("watch the epoll")?;
        let (connections, said, buffer) = (HashMap::new(), Vec::new(), vec![0; READ_BYTES_MAX]);
        let state = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self { state, listener, is_resting: false, epoll, connections, newest: LISTENER, said, buffer })
    }

    /// Returns when there is something to take.
    pub(crate) async fn ready(&self) {
        match self.epoll.readable().await {
            Ok(mut ready) => ready.retain_ready(),
            // The runtime ends.
            Err(_) => std::future::pending().await,
        }
    }

    /// Takes what has happened, of as many as are looked at together; false where nothing has.
    pub(crate) fn take(&mut self, inputs: &mut Vec<ModuleInput>) -> bool {
        let events = self.events();
        for (connection, flags) in &events {
            let connection = *connection;
            if connection == LISTENER {
                self.accept();
                continue;
            }
            if flags.contains(epoll::EventFlags::OUT) {
                self.write_to(connection);
            }
            if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                self.receive(connection, inputs);
            }
        }
        !events.is_empty()
    }

    /// Says something on a connection with the next [`ModuleSockets::write`]; false when the process does not take it.
    pub(crate) fn say(&mut self, connection: u64, message: &AgentMessage) -> bool {
        let Some(found) = self.connections.get_mut(&connection) else { return false };
        let Ok(line) = encode_line(message) else { return false };
        if !found.has_unsent() {
            self.said.push(connection);
        }
        found.say(&line)
    }

    /// Writes what was said.
    pub(crate) fn write(&mut self) {
        for connection in std::mem::take(&mut self.said) {
            if self.connections.get(&connection).is_some_and(|found| !found.is_full) {
                self.write_to(connection);
            }
        }
    }

    /// Nothing more is said on a connection.
    pub(crate) fn fall_silent(&mut self, connection: u64) {
        if let Some(found) = self.connections.get_mut(&connection) {
            let was_full = found.is_full;
            found.fall_silent();
            self.watch_if(was_full, connection);
        }
    }

    /// Time passed: who does not say who it is is let go.
    pub(crate) fn tick(&mut self) {
        let count = self.connections.len();
        self.connections.retain(|_, found| found.id.is_some() || found.since.elapsed() < HELLO_TIMEOUT);
        if self.connections.len() < count {
            tracing::warn!("something connected to the agent's socket without saying hello");
        }
        if std::mem::take(&mut self.is_resting) {
            self.watch_listener(epoll::EventFlags::IN);
        }
    }

    /// Which sockets have something, and what.
    fn events(&self) -> Vec<(u64, epoll::EventFlags)> {
        let look = |epoll: &OwnedFd| {
            let mut events = Vec::with_capacity(EVENTS_MAX);
            epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
            // Only this ends the readiness: what is left in the epoll does not wake anybody again.
            if events.is_empty() { Err(io::Error::from(ErrorKind::WouldBlock)) } else { Ok(events) }
        };
        let events = self.epoll.try_io(Interest::READABLE, look).unwrap_or_default();
        events.into_iter().map(|event| (event.data.u64(), event.flags)).collect()
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPTS_MAX {
            let accepted = self.listener.accept().and_then(|(stream, _)| Connection::new(stream));
            match accepted.and_then(|connection| self.add(connection)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    tracing::warn!(%error, "a test process could not connect");
                    self.is_resting = true;
                    return self.watch_listener(epoll::EventFlags::empty());
                }
            }
        }
    }

    fn add(&mut self, connection: Connection) -> io::Result<()> {
        self.newest += 1;
        epoll::add(&self.epoll, &connection, epoll::EventData::new_u64(self.newest), epoll::EventFlags::IN)?;
        self.connections.insert(self.newest, connection);
        Ok(())
    }

    fn receive(&mut self, connection: u64, inputs: &mut Vec<ModuleInput>) {
        let Some(found) = self.connections.get_mut(&connection) else { return };
        let mut messages = Vec::new();
        let mut is_open = found.receive(&mut self.buffer, &mut messages);
        for message in messages {
            if let Some(id) = found.id {
                inputs.push(ModuleInput::Said { id, message });
            } else if let ModuleMessage::Client { run, dpid, attempt, token, wish } = message {
                let id = process_of(run, &dpid, attempt);
                inputs.extend(id.map(|id| ModuleInput::Asked { connection, id, token, wish }));
                is_open = id.is_some();
            } else if let ModuleMessage::Holder { wish } = message {
                inputs.push(ModuleInput::HolderAsked { connection, is_root: found.is_root(), wish });
            } else if let Some(id) = found.take_hello(&message, &self.state) {
                inputs.push(ModuleInput::Connected { id, connection });
            } else {
                is_open = false;
                break;
            }
        }
        if !is_open {
            inputs.extend(found.id.map(|id| ModuleInput::Closed { id, connection }));
            self.connections.remove(&connection);
        }
    }

    fn write_to(&mut self, connection: u64) {
        let Some(found) = self.connections.get_mut(&connection) else { return };
        let was_full = found.is_full;
        found.write();
        let changed = found.is_full != was_full;
        self.watch_if(changed, connection);
    }

    /// Looks for room for what is to be written on a connection, or does so no longer.
    fn watch_if(&self, changed: bool, connection: u64) {
        let Some(found) = self.connections.get(&connection).filter(|_| changed) else { return };
        let room = if found.is_full { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
        let flags = epoll::EventFlags::IN | room;
        if let Err(error) = epoll::modify(&self.epoll, found, epoll::EventData::new_u64(connection), flags) {
            tracing::warn!(%error, "a test process's connection can not be watched");
        }
    }

    fn watch_listener(&self, flags: epoll::EventFlags) {
        if let Err(error) = epoll::modify(&self.epoll, &self.listener, epoll::EventData::new_u64(LISTENER), flags) {
            tracing::warn!(%error, "the agent's socket can not be watched");
        }
    }
}

#[cfg(test)]
mod tests;
