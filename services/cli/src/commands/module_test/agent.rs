//! An agent's end of the socket: takes connections, hears one after the other and says what a trial wants said.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Instant;

use muster_module_protocol::{AgentMessage, LINE_BYTES_MAX, ModuleMessage, decode_line, encode_line};

/// Events that wait to be looked at; a module that says more waits.
const EVENTS_MAX: usize = 1024;

/// What happens on the socket.
#[derive(Debug)]
pub(super) enum Event {
    /// A connection was made.
    Connected(UnixStream),
    /// Something was said; none for a type that is not known.
    Said(Option<ModuleMessage>),
    /// A line that is no message.
    Malformed(String),
    /// The connection ended.
    Closed,
}

/// The agent.
#[derive(Debug)]
pub(super) struct Agent {
    events: Receiver<(u64, Event)>,
    /// The latest connection.
    connection: Option<UnixStream>,
    number: u64,
    /// Messages of the latest connection.
    messages: u64,
}

impl Agent {
    /// Listens on a socket until the process ends: threads that wait there cost nothing.
    pub(super) fn listen(path: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        let (sender, events) = sync_channel(EVENTS_MAX);
        std::thread::Builder::new().name("accept".into()).spawn(move || accept(&listener, &sender))?;
        Ok(Self { events, connection: None, number: 0, messages: 0 })
    }

    /// The next event of the latest connection; none at the deadline.
    pub(super) fn next(&mut self, deadline: Instant) -> Option<Event> {
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            let (number, event) = match self.events.recv_timeout(rest) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            };
            match event {
                Event::Connected(stream) => {
                    (self.number, self.messages) = (number, 0);
                    self.connection = stream.try_clone().ok();
                    return Some(Event::Connected(stream));
                }
                event if number == self.number => {
                    self.messages += 1;
                    return Some(event);
                }
                // Of a connection that was given up.
                _ => {}
            }
        }
    }

    /// Whether what was heard last was the first of its connection.
    pub(super) fn is_first(&self) -> bool {
        self.messages == 1
    }

    /// Says something; false where nobody listens.
    pub(super) fn say(&mut self, message: &AgentMessage) -> bool {
        encode_line(message).is_ok_and(|line| self.say_line(&line))
    }

    /// Says a line as it is.
    pub(super) fn say_line(&mut self, line: &[u8]) -> bool {
        self.connection.as_mut().is_some_and(|connection| connection.write_all(line).is_ok())
    }

    /// Ends the connection, as an agent's restart does.
    pub(super) fn hang_up(&mut self) {
        if let Some(connection) = self.connection.take() {
            // One that has ended needs no end.
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
        self.number = u64::MAX;
    }
}

fn accept(listener: &UnixListener, sender: &SyncSender<(u64, Event)>) {
    for number in 0.. {
        let Ok((stream, _)) = listener.accept() else { return };
        let Ok(reading) = stream.try_clone() else { return };
        if sender.send((number, Event::Connected(stream))).is_err() {
            return;
        }
        let sender = sender.clone();
        let read = move || read(number, reading, &sender);
        if std::thread::Builder::new().name("read".into()).spawn(read).is_err() {
            return;
        }
    }
}

fn read(number: u64, stream: UnixStream, sender: &SyncSender<(u64, Event)>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let most = LINE_BYTES_MAX as u64 + 1;
        let event = match stream.by_ref().take(most).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => Event::Closed,
            Ok(_) => match decode_line::<ModuleMessage>(&line) {
                Ok(message) => Event::Said(message),
                Err(error) => Event::Malformed(malformed(&error, &line)),
            },
        };
        let is_over = matches!(event, Event::Closed);
        if sender.send((number, event)).is_err() || is_over {
            return;
        }
    }
}

fn malformed(error: &dyn std::error::Error, line: &[u8]) -> String {
    const SHOWN_CHARACTERS: usize = 80;
    let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
    let shown: String = String::from_utf8_lossy(line).trim_end().chars().take(SHOWN_CHARACTERS).collect();
    format!("{error}{cause}: {shown}")
}
