//! The thread that speaks with the agent: connects, says hello, answers pings, hands on what the test says, and connects again
//! when the agent restarts. The test never waits for it but at its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use muster_module_protocol::{AgentMessage, ModuleMessage, decode_line, encode_line};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::ending::EXIT_ERROR;
use crate::errand;
use crate::outbox::{Line, Worth};
use crate::peers::PeerWords;
use crate::shared::{Dump, GRACE, Shared};
use crate::signals;
use crate::socket::Socket;
use crate::sync::Synced;

/// How long an agent may be away: a restart of it, even a slow one, ends no test.
pub(crate) const RECONNECT_MAX: Duration = Duration::from_secs(120);
/// Pause between two tries to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// How long an agent that is connected may take to say that it has kept the done, before we leave it to it. Shorter than any
/// sensible grace.
const KEPT_MAX: Duration = Duration::from_secs(3);
/// Pings that wait for their answer; more means that the agent does not read, and only the newest count.
const PINGS_MAX: usize = 8;

pub(crate) struct Link {
    pub(crate) shared: Arc<Shared>,
    pub(crate) path: PathBuf,
    pub(crate) hello: Vec<u8>,
}

/// Why a connection is over.
enum Over {
    /// The agent went away.
    Disconnected,
    /// The agent has the done.
    Delivered,
}

impl Link {
    /// Runs until the done is delivered or the agent stays away.
    pub(crate) fn run(self) {
        let mut deadline = Instant::now() + RECONNECT_MAX;
        while let Some(socket) = self.connect(deadline) {
            let mut talk = Talk::new(&self.shared, socket);
            if matches!(talk.run(&self.hello), Over::Delivered) {
                self.shared.delivered();
                return;
            }
            talk.put_back();
            if talk.heard {
                deadline = Instant::now() + RECONNECT_MAX;
            }
            self.pause();
        }
        self.shared.lost();
    }

    fn connect(&self, deadline: Instant) -> Option<Socket> {
        while Instant::now() < deadline {
            if let Ok(socket) = Socket::connect(&self.path) {
                return Some(socket);
            }
            self.pause();
        }
        None
    }

    /// Waits until the next try, and notices signals meanwhile.
    fn pause(&self) {
        let end = Instant::now() + RECONNECT_PAUSE;
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return;
            }
            wait(&self.shared, None, Some(rest));
        }
    }
}

/// One connection.
struct Talk<'a> {
    shared: &'a Arc<Shared>,
    socket: Socket,
    /// The line that is being written, to be said again on the next connection if this one breaks.
    current: Option<Line>,
    /// The done, once written.
    done: Option<(Line, Instant)>,
    pings: Vec<u64>,
    /// The agent said something.
    heard: bool,
}

impl<'a> Talk<'a> {
    fn new(shared: &'a Arc<Shared>, socket: Socket) -> Self {
        Self { shared, socket, current: None, done: None, pings: Vec::new(), heard: false }
    }

    fn run(&mut self, hello: &[u8]) -> Over {
        self.socket.put(hello);
        // Whether an earlier life of the agent heard it is not known.
        self.shared.unanswered().iter().for_each(|line| self.socket.put(line));
        self.report_dropped();
        loop {
            if self.write().is_err() {
                return self.last_words();
            }
            let timeout =
                self.done.as_ref().map(|(_, written)| (*written + KEPT_MAX).saturating_duration_since(Instant::now()));
            if timeout.is_some_and(|rest| rest.is_zero()) {
                return Over::Delivered;
            }
            wait(self.shared, Some((&self.socket, !self.socket.is_flushed())), timeout);
            let ended = self.socket.fill().is_err();
            if self.hear() {
                return Over::Delivered;
            }
            if ended {
                return Over::Disconnected;
            }
        }
    }

    /// The agent no longer reads; what it said before may still hold that it kept the done.
    fn last_words(&mut self) -> Over {
        let _: std::io::Result<()> = self.socket.fill();
        if self.hear() { Over::Delivered } else { Over::Disconnected }
    }

    /// Writes pongs first, then what waits.
    fn write(&mut self) -> std::io::Result<()> {
        loop {
            self.socket.flush()?;
            if !self.socket.is_flushed() {
                return Ok(());
            }
            match self.current.take() {
                Some(line) if line.worth == Worth::Done => self.done = Some((line, Instant::now())),
                Some(_) | None => {}
            }
            if let Some(n) = self.pings.pop() {
                let iterations = self.shared.iterations.load(Ordering::Relaxed);
                if let Ok(line) = encode_line(&ModuleMessage::Pong { n, iterations }) {
                    self.socket.put(&line);
                }
            } else if let Some(line) = self.next_line() {
                self.socket.put(&line.bytes);
                self.current = Some(line);
            } else {
                return Ok(());
            }
        }
    }

    fn next_line(&self) -> Option<Line> {
        if self.done.is_some() { None } else { self.shared.outbox().pop() }
    }

    /// Acts on what the agent said; true when it kept the done.
    fn hear(&mut self) -> bool {
        while let Some(line) = self.socket.line() {
            match decode_line::<AgentMessage>(&line) {
                Ok(Some(message)) => {
                    self.heard = true;
                    if self.obey(&message) {
                        return true;
                    }
                }
                Ok(None) => {}
                Err(error) => eprintln!("muster: passing over a line of the agent: {error}"),
            }
        }
        false
    }

    fn obey(&mut self, message: &AgentMessage) -> bool {
        match message {
            AgentMessage::Start => self.shared.started(),
            AgentMessage::Ping { n } => {
                self.shared.started();
                self.report_blocked();
                if !self.shared.muted.load(Ordering::Relaxed) {
                    self.pings.truncate(PINGS_MAX - 1);
                    self.pings.insert(0, *n);
                }
            }
            AgentMessage::Stop { grace_ms } => {
                self.shared.started();
                self.shared.stop(Duration::from_millis(*grace_ms));
            }
            AgentMessage::Abort => std::process::exit(i32::from(EXIT_ERROR)),
            AgentMessage::Peer { from, dpid, data } => {
                self.shared.heard_peer(PeerWords { role: from.clone(), dpid: dpid.clone(), words: data.clone() });
            }
            AgentMessage::Dump { n, firing } => self.shared.want_dump(Dump { trigger: *n, firing: firing.clone() }),
            AgentMessage::Armed { n, armed, why } if !armed => eprintln!("muster: trigger {n} is not armed: {why}"),
            AgentMessage::Armed { .. } => {}
            AgentMessage::Set { pulses, parameters } => {
                self.shared.set_pulses(pulses);
                self.shared.set_parameters(parameters);
            }
            AgentMessage::NotCrashed { why } => self.shared.not_crashed(why),
            AgentMessage::Synced { name, round, outcome, yes, no, no_voters, by, why } => {
                let (no_voters, by, why) = (no_voters.clone(), by.clone(), why.clone());
                let synced = Synced { end: *outcome, yes: *yes, no: *no, no_voters, by, why };
                self.shared.synced(&(name.clone(), *round), synced);
            }
            AgentMessage::StartedOn { .. } | AgentMessage::EndedOn { .. } | AgentMessage::ClockIs { .. } => {
                if let Some(about) = errand::about(message) {
                    self.shared.asks.answer(&about, message);
                }
            }
            AgentMessage::Go { n } => self.shared.answered(*n, Ok(())),
            AgentMessage::NotExpected { n, why } => self.shared.answered(*n, Err(why.clone())),
            // Nothing here asks for it: the SDK looks at the page, and asks for clients on connections of their own.
            AgentMessage::Open { .. } | AgentMessage::Clients { .. } => {}
            AgentMessage::Kept => return self.done.is_some(),
        }
        false
    }

    /// Says how long its pulses have blocked this process so far, and how late it woke after their edges.
    fn report_blocked(&self) {
        if let Some(metric) = self.shared.take_blocked()
            && let Ok(bytes) = encode_line(&metric)
        {
            self.shared.outbox().push(Line { bytes, worth: Worth::Spare });
        }
    }

    /// Says how much was dropped while the agent was away.
    fn report_dropped(&self) {
        let mut outbox = self.shared.outbox();
        let dropped = outbox.take_dropped();
        if dropped > 0 {
            let text = format!("{dropped} messages were dropped while the agent was away");
            if let Ok(bytes) = encode_line(&ModuleMessage::Event { name: "messages_dropped".into(), text }) {
                outbox.put_back(Line { bytes, worth: Worth::Spare });
            }
        }
    }

    /// Gives back what the agent may not have.
    fn put_back(&mut self) {
        let done = self.done.take().map(|(line, _)| line);
        for line in [done, self.current.take()].into_iter().flatten() {
            self.shared.outbox().put_back(line);
        }
    }
}

/// Waits for the socket, a wake, a signal or the timeout.
pub(crate) fn wait(shared: &Shared, socket: Option<(&Socket, bool)>, timeout: Option<Duration>) {
    let wake = shared.wake_fd();
    let timeout = timeout.and_then(|rest| Timespec::try_from(rest).ok());
    let mut fds = vec![PollFd::new(&wake, PollFlags::IN)];
    let fd;
    if let Some((socket, writing)) = socket {
        fd = socket.fd();
        let flags = if writing { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        fds.push(PollFd::new(&fd, flags));
    }
    // An interrupted poll is as good as a woken one: the caller looks again.
    let _: Result<usize, rustix::io::Errno> = poll(&mut fds, timeout.as_ref());
    shared.settle();
    // What goes down with its machine is not asked to end in order.
    if signals::take() && !shared.leaving() {
        shared.stop(GRACE);
    }
}
