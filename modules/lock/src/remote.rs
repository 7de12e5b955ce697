//! The locks of a server, over a connection of the taker's own: it goes with its lock. One question is under way at a time, but for the
//! release, which is not answered.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use muster_sdk::{Token, keep_alive, plain_address};

use crate::connection::Incoming;
use crate::core::{Disorder, Grant, Mode, Place, Writer, Wrong, dpid};
use crate::frame::{Frame, Hello};
use crate::locks::{Break, Locks};
use crate::trouble::Trouble;
use crate::work::Work;

/// How long a connection to one address may take, and then the server's welcome.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How long a reading waits before it looks for the end of the test.
const LOOK: Duration = Duration::from_millis(50);
/// How often a taker that waits for its lock asks what became of its request.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long a server may say nothing that was asked something.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long a connection that broke is tried again.
const AGAIN_MAX: Duration = Duration::from_secs(10);
/// How long a taker that leaves waits for the server to hang up.
const LEAVE_MAX: Duration = Duration::from_secs(2);
/// Pause between two tries.
const RETRY: Duration = Duration::from_millis(500);

/// Where the server is, and what the two show each other.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Addresses that may be tried, the best first.
    pub(crate) addresses: Vec<SocketAddr>,
    /// What it is shown.
    pub(crate) token: Token,
    /// What it shows, where that was told.
    pub(crate) reply: Option<Token>,
    /// Its name for people.
    pub(crate) name: String,
}

/// A taker's connection.
pub(crate) struct Remote<'w> {
    work: &'w Work<'w>,
    server: Server,
    socket: TcpStream,
    incoming: Incoming,
    /// The server, in the data pattern.
    writer: Writer,
}

impl<'w> Remote<'w> {
    /// Connects; the reason where it can not.
    pub(crate) fn connect(work: &'w Work<'w>, server: Server) -> Result<Self, String> {
        let mut reasons = Vec::new();
        for address in &server.addresses {
            match knock(work, &server, *address) {
                Ok((socket, incoming, writer)) => return Ok(Self { work, socket, incoming, writer, server }),
                Err(error) => reasons.push(format!("{}: {error}", plain_address(*address))),
            }
        }
        Err(reasons.join("; "))
    }

    fn say(&mut self, frame: Frame, body: &[u8]) -> Result<(), Break> {
        self.socket.write_all(&frame.encode(body)).map_err(|error| self.lost(&error.to_string()))
    }

    fn lost(&self, why: &str) -> Break {
        Break::Lost(format!("the connection to the lock server {} broke: {why}", self.server.name))
    }

    /// What the server says next; none at the deadline.
    fn hear(&mut self, deadline: Instant) -> Result<Option<(Frame, Vec<u8>)>, Break> {
        loop {
            match self.incoming.next().map_err(|error| self.lost(&error.to_string()))? {
                // It serves on, until its clients have gone.
                Some((Frame::Closing, _)) => self.work.end(),
                Some(heard) => return Ok(Some(heard)),
                None if Instant::now() >= deadline => return Ok(None),
                None => {
                    self.incoming.read(&self.socket).map_err(|error| self.lost(&error.to_string()))?;
                }
            }
        }
    }

    /// The answer to a question that the server answers at once.
    fn answer(&mut self, expected: Frame) -> Result<Vec<u8>, Break> {
        match self.hear(Instant::now() + SILENCE_MAX)? {
            Some((frame, body)) if frame == expected => Ok(body),
            Some((frame, _)) => Err(self.lost(&format!("it says {frame:?} where {expected:?} was asked for"))),
            None => Err(self.lost("it says nothing")),
        }
    }

    /// Waits for the grant of what was asked for. The server is asked again and again what became of the request: what it says comes
    /// after the grant, so a lock that is held then, and was not granted, is a grant that was dropped.
    fn wait(&mut self, lock: u32, mode: Mode) -> Result<Grant, Break> {
        let asked = Instant::now();
        let (mut next, mut heard, mut holder) = (asked + ASK_EVERY, asked, None);
        loop {
            let now = Instant::now();
            if self.work.is_over() {
                return Err(Break::Over);
            }
            if now >= asked + self.work.settings.wait_max {
                return Err(Break::Trouble(self.late(lock, holder)));
            }
            if now >= heard + SILENCE_MAX {
                return Err(self.lost("it says nothing"));
            }
            if now >= next {
                self.say(Frame::Where, &[])?;
                next = now + ASK_EVERY;
            }
            let Some((frame, _)) = self.hear(next.min(now + LOOK))? else { continue };
            heard = Instant::now();
            match frame {
                Frame::Granted(grant) if (grant.lock, grant.mode) == (lock, mode) => return Ok(grant),
                Frame::Queued(_) => {}
                Frame::Place(Place::Waits(_, other)) => holder = other,
                Frame::Place(Place::Holds(token)) => return Err(self.dropped_grant(lock, token)),
                Frame::Held(other, token) => return Err(self.dropped_release(other, token)),
                other => return Err(self.lost(&format!("it says {other:?} where a lock was asked for"))),
            }
        }
    }

    fn dropped_grant(&mut self, lock: u32, token: u64) -> Break {
        let what =
            format!("token {token} was granted, as the server says when it is asked, but the grant did not come");
        self.wrong(lock, token, self.writer, what)
    }

    fn dropped_release(&mut self, lock: u32, token: u64) -> Break {
        let what =
            format!("token {token} was given back, but the server says that it is held: the release did not come");
        self.wrong(lock, token, self.work.writer, what)
    }

    /// Something did not arrive; what the server believes to be held is given back, so that others go on.
    fn wrong(&mut self, lock: u32, token: u64, by: Writer, what: String) -> Break {
        match self.say(Frame::Release(false), &[]) {
            Ok(()) => Break::Wrong(lock, token, Wrong { class: Disorder::Dropped.as_str(), by: Some(by.owner), what }),
            Err(lost) => lost,
        }
    }

    fn late(&self, lock: u32, holder: Option<Writer>) -> Trouble {
        let seconds = self.work.settings.wait_max.as_secs();
        let holder = holder.map_or_else(
            || "nobody holds it, as far as is known".to_owned(),
            |holder| format!("{} holds it", dpid(holder.owner)),
        );
        Trouble::Gone(format!(
            "lock {lock} was not granted within {seconds} s: {holder}; a longer wait_max waits longer"
        ))
    }
}

impl Locks for Remote<'_> {
    fn take(&mut self, lock: u32, mode: Mode) -> Result<Grant, Break> {
        self.say(Frame::Ask(lock, mode), &[])?;
        self.wait(lock, mode)
    }

    fn load(&mut self, lock: u32, record: &mut [u8]) -> Result<(), Break> {
        self.say(Frame::Load(lock), &[])?;
        let body = self.answer(Frame::Loaded(lock))?;
        if body.len() != record.len() {
            return Err(self.lost(&format!("a record of {} bytes came", body.len())));
        }
        record.copy_from_slice(&body);
        Ok(())
    }

    fn store(&mut self, lock: u32, record: &[u8]) -> Result<(), Break> {
        self.say(Frame::Store(lock), record)?;
        self.answer(Frame::Stored(lock)).map(drop)
    }

    fn give_back(&mut self, sound: bool) -> Result<(), Break> {
        self.say(Frame::Release(sound), &[])
    }

    fn again(&mut self, reason: &str) -> Result<(), Break> {
        let deadline = Instant::now() + AGAIN_MAX;
        let mut last = reason.to_owned();
        while !self.work.is_over() && Instant::now() < deadline {
            match Self::connect(self.work, self.server.clone()) {
                Ok(fresh) => {
                    *self = fresh;
                    self.work.tally().reconnects += 1;
                    return Ok(());
                }
                Err(error) => last = error,
            }
            self.work.pause(RETRY);
        }
        if self.work.is_over() {
            return Err(Break::Over);
        }
        let (name, seconds) = (&self.server.name, AGAIN_MAX.as_secs());
        let reason = format!("the lock server {name} is gone: it did not come back within {seconds} s: {last}");
        Err(Break::Trouble(Trouble::Gone(reason)))
    }

    /// Says goodbye, and reads what is still on its way until the server has hung up: a socket that is closed with something unread
    /// resets the connection, and the goodbye would be lost with it.
    fn leave(&mut self) {
        let said = self.say(Frame::Bye, &[]).is_ok() && self.socket.shutdown(Shutdown::Write).is_ok();
        let deadline = Instant::now() + LEAVE_MAX;
        // One that is gone needs no goodbye.
        while said && Instant::now() < deadline && self.incoming.read(&self.socket).is_ok() {
            while let Ok(Some(_)) = self.incoming.next() {}
        }
    }

    fn read_command(&self, _lock: u32) -> Option<String> {
        None
    }
}

/// Connects to an address, and shows and is shown who that is.
fn knock(work: &Work<'_>, server: &Server, address: SocketAddr) -> std::io::Result<(TcpStream, Incoming, Writer)> {
    let other = std::io::Error::other;
    let mut socket = TcpStream::connect_timeout(&address, CONNECT_MAX)?;
    keep_alive(&socket)?;
    socket.set_read_timeout(Some(LOOK))?;
    socket.set_write_timeout(Some(SILENCE_MAX))?;
    let (locks, record_bytes) = (work.settings.locks, work.settings.record_bytes as u64);
    let hello = Hello { token: server.token, writer: work.writer, locks, record_bytes };
    socket.write_all(&Frame::Hello(hello).encode(&[]))?;
    let (mut incoming, deadline) = (Incoming::default(), Instant::now() + CONNECT_MAX);
    while Instant::now() < deadline {
        match incoming.next()? {
            Some((Frame::Welcome(reply, writer), _)) if server.reply.is_none_or(|known| known == reply) => {
                return Ok((socket, incoming, writer));
            }
            Some((Frame::Refused, reason)) => {
                return Err(other(format!("refused: {}", String::from_utf8_lossy(&reason))));
            }
            Some(_) => return Err(other("another one answers there".to_owned())),
            None => drop(incoming.read(&socket)?),
        }
    }
    Err(other("nobody answers there".to_owned()))
}
