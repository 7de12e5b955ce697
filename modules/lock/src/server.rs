//! The lock server: a thread of its own in the process with that role. It lets takers in, keeps the table and the records that its
//! locks protect, and frees what a taker held whose connection is over. Nothing but the lock guards a record: who may not write and
//! writes is seen by its holder.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use muster_sdk::{Here, Token, keep_alive, listen_anywhere, own_addresses, plain_address, print_token, random};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::client::Client;
use crate::core::{ClientId, Granted, Mode, Refused, Table, Writer, dpid, target};
use crate::frame::{Frame, Hello};
use crate::history::{Entry, Seen, What};
use crate::meeting::FIRST_MEETING_MAX;
use crate::remote::Server as Place;
use crate::sabotage::Sabotage;
use crate::trouble::Trouble;
use crate::work::Work;

/// Connections at once: a process has 1,024 descriptors, where nobody gave it more.
const CLIENTS_MAX: usize = 960;
/// Connections that are let in in one go.
const ACCEPT_MAX: usize = 64;
/// How often it looks for the end.
const LOOK: Duration = Duration::from_millis(50);
/// How long who comes in may take to say who it is.
const HELLO_MAX: Duration = Duration::from_secs(2);
/// How long takers may take to finish what they hold, once the server ends.
const CLOSING_MAX: Duration = Duration::from_secs(12);
/// How long clients that were cut off may stay away, where none are left.
const AWAY_MAX: Duration = Duration::from_secs(10);
/// Strangers and cuts that are reported one by one.
const SAID_MAX: u64 = 20;

/// A server that listens.
pub(crate) struct Server<'w> {
    work: &'w Work<'w>,
    listener: TcpListener,
    token: Token,
    reply: Token,
    here: Here,
    table: Table,
    records: Vec<u8>,
    clients: BTreeMap<ClientId, Client>,
    newest: ClientId,
    sabotage: Sabotage<'w>,
    said: u64,
    begin: Instant,
    /// Clients of other processes came in, ever.
    was_met: bool,
    /// The last one that was cut off, and since when none is left.
    away: Option<(Writer, Instant)>,
}

impl<'w> Server<'w> {
    pub(crate) fn open(work: &'w Work<'w>) -> Result<Self, Trouble> {
        let settings = work.settings;
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error: std::io::Error| Trouble::Setting(format!("{what} failed: {error}"))
        };
        let listener = listen_anywhere().map_err(failed("listening"))?;
        let [one, two, three, four] = random().map_err(failed("reading random numbers"))?;
        let (token, reply) = ([one, two], [three, four]);
        let port = listener.local_addr().map_err(failed("listening"))?.port();
        let addresses = own_addresses(settings.family, &settings.network)?;
        let here = Here {
            addresses: addresses.into_iter().map(|address| SocketAddr::new(address, port).to_string()).collect(),
            token: print_token(token),
            reply: print_token(reply),
            boot_id: work.session.context().boot_id.clone(),
        };
        let places = here.addresses.iter().map(|address| format!("{address}/{}", here.token));
        work.session.event("listening", &places.collect::<Vec<_>>().join(" "));
        Ok(Self {
            work,
            listener,
            token,
            reply,
            here,
            table: Table::new(settings.locks),
            records: vec![0; settings.locks as usize * settings.record_bytes],
            clients: BTreeMap::new(),
            newest: 0,
            sabotage: Sabotage::new(work.session, settings.inject, work.session.seed()),
            said: 0,
            begin: Instant::now(),
            was_met: false,
            away: None,
        })
    }

    /// What clients are told.
    pub(crate) fn here(&self) -> Here {
        self.here.clone()
    }

    /// Where the takers of its own process find it.
    pub(crate) fn place(&self) -> Result<Place, Trouble> {
        let port =
            self.listener.local_addr().map_err(|error| Trouble::Setting(format!("listening failed: {error}")))?;
        let addresses = vec![SocketAddr::from(([127, 0, 0, 1], port.port()))];
        Ok(Place { addresses, token: self.token, reply: Some(self.reply), name: "of this process".to_owned() })
    }

    /// Serves until the test is over and all takers have gone.
    pub(crate) fn run(mut self) -> Result<(), Trouble> {
        let mut closing = None;
        loop {
            if self.work.is_over() && closing.is_none() {
                closing = Some(Instant::now() + CLOSING_MAX);
                self.clients.values_mut().for_each(|client| client.say(Frame::Closing, &[]));
            }
            if closing.is_some_and(|deadline| self.clients.is_empty() || Instant::now() >= deadline) {
                return Ok(());
            }
            self.serve_once();
            self.work.serves(self.clients.len(), self.table.waiting());
            if closing.is_none() {
                self.check_met()?;
            }
        }
    }

    /// Whoever was never met, or is gone and does not come back, ends the test.
    fn check_met(&self) -> Result<(), Trouble> {
        if !self.was_met && self.begin.elapsed() >= FIRST_MEETING_MAX {
            let seconds = FIRST_MEETING_MAX.as_secs();
            return Err(Trouble::Gone(format!("no client of the gang was met within {seconds} s")));
        }
        match self.away {
            Some((client, since)) if since.elapsed() >= AWAY_MAX => {
                let (client, seconds) = (dpid(client.owner), AWAY_MAX.as_secs());
                Err(Trouble::Gone(format!("client {client} is gone: it did not come back within {seconds} s")))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn serve_once(&mut self) {
        let (knocks, ready) = self.wait();
        if knocks {
            self.accept();
        }
        for client in ready {
            self.hear(client);
        }
        self.clients.values_mut().for_each(Client::flush);
        let late = |client: &Client| client.writer.is_none() && client.since.elapsed() >= HELLO_MAX;
        let over = self.clients.iter_mut().filter_map(|(id, client)| {
            if late(client) {
                client.end("it did not say who it is");
            }
            client.is_over().then_some(*id)
        });
        for client in over.collect::<Vec<_>>() {
            self.forget(client);
        }
    }

    /// Waits until something can be read or written; whether somebody knocks, and who has something to say.
    fn wait(&self) -> (bool, Vec<ClientId>) {
        let mut watched = vec![PollFd::new(&self.listener, PollFlags::IN)];
        for client in self.clients.values() {
            let flags = if client.has_more() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            watched.push(PollFd::from_borrowed_fd(client.socket.as_fd(), flags));
        }
        let limit = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK.subsec_nanos()) };
        // An interruption is as good as nothing: it is looked again.
        if poll(&mut watched, Some(&limit)).is_err() {
            return (false, Vec::new());
        }
        let ready = |flags: PollFlags| !flags.is_empty();
        let clients = self.clients.keys().zip(&watched[1..]).filter(|(_, fd)| ready(fd.revents())).map(|(id, _)| *id);
        (ready(watched[0].revents()), clients.collect())
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPT_MAX {
            let Ok((socket, from)) = self.listener.accept() else { break };
            let prepared = keep_alive(&socket).and_then(|()| socket.set_nonblocking(true));
            if prepared.is_ok() && self.clients.len() < CLIENTS_MAX {
                self.newest += 1;
                self.clients.insert(self.newest, Client::new(socket, from));
            } else {
                self.tell_cut("stranger_refused", from, "there are too many connections");
            }
        }
    }

    /// Takes in all that a client has said.
    fn hear(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.read();
        while let Some((frame, body)) = self.clients.get_mut(&id).and_then(Client::next) {
            if let Err(reason) = self.take(id, frame, &body)
                && let Some(client) = self.clients.get_mut(&id)
            {
                client.end(&reason);
            }
        }
    }

    /// Does what a client asks for; the reason where that can not be.
    fn take(&mut self, id: ClientId, frame: Frame, body: &[u8]) -> Result<(), String> {
        let Some(writer) = self.clients.get(&id).and_then(|client| client.writer) else {
            return match frame {
                Frame::Hello(hello) => self.admit(id, &hello),
                _ => Err("it did not say who it is".into()),
            };
        };
        match frame {
            Frame::Ask(lock, mode) => self.ask(id, writer, lock, mode),
            Frame::Where => {
                self.say(id, Frame::Place(self.table.place(id)), &[]);
                Ok(())
            }
            Frame::Load(lock) => self.load(id, lock),
            Frame::Store(lock) => self.store(id, writer, lock, body),
            Frame::Release(sound) => self.release(id, writer, sound),
            Frame::Bye => {
                if let Some(client) = self.clients.get_mut(&id) {
                    client.leave();
                }
                Ok(())
            }
            other => Err(format!("it says {other:?}, which a taker does not")),
        }
    }

    fn admit(&mut self, id: ClientId, hello: &Hello) -> Result<(), String> {
        let settings = self.work.settings;
        let refusal = if hello.token != self.token {
            Some("its token is not the one that clients were told")
        } else if (hello.locks, hello.record_bytes) != (settings.locks, settings.record_bytes as u64) {
            Some("its locks or record_size differ from the server's")
        } else {
            None
        };
        if let Some(reason) = refusal {
            self.say(id, Frame::Refused, reason.as_bytes());
            return Err(reason.to_owned());
        }
        let foreign = hello.writer.owner != self.work.writer.owner;
        self.was_met |= foreign;
        if foreign {
            self.away = None;
            self.sabotage.meet();
        }
        if let Some(client) = self.clients.get_mut(&id) {
            client.writer = Some(hello.writer);
        }
        self.say(id, Frame::Welcome(self.reply, self.work.writer), &[]);
        Ok(())
    }

    fn ask(&mut self, id: ClientId, writer: Writer, lock: u32, mode: Mode) -> Result<(), String> {
        match self.table.ask(id, writer, lock, mode) {
            Ok(asked) => {
                self.record(id, writer, What::Asked, lock, Some(mode), asked.ticket, 0);
                self.say(id, Frame::Queued(asked.ticket), &[]);
                self.sabotage.on_queue(&mut self.table, lock);
                self.grant(asked.granted);
                Ok(())
            }
            Err(Refused::Holds(held, token)) => {
                self.say(id, Frame::Held(held, token), &[]);
                Ok(())
            }
            Err(Refused::Waits) => Err("it waits for a lock, and asks for another one".into()),
            Err(Refused::NoLock) => Err(format!("there is no {}", target(lock))),
        }
    }

    fn grant(&mut self, granted: impl IntoIterator<Item = Granted>) {
        for Granted { client, grant } in granted {
            let Some(writer) = self.clients.get(&client).and_then(|client| client.writer) else { continue };
            self.record(client, writer, What::Got, grant.lock, Some(grant.mode), grant.ticket, grant.token);
            if let Some(grant) = self.sabotage.on_grant(grant) {
                self.say(client, Frame::Granted(grant), &[]);
            }
        }
    }

    fn load(&mut self, id: ClientId, lock: u32) -> Result<(), String> {
        let mut record = self.records[self.range(lock)?].to_vec();
        if !self.sabotage.on_load(&self.table, id, lock, &mut record) {
            self.say(id, Frame::Loaded(lock), &record);
        }
        Ok(())
    }

    fn store(&mut self, id: ClientId, writer: Writer, lock: u32, body: &[u8]) -> Result<(), String> {
        let range = self.range(lock)?;
        if body.len() != range.len() {
            return Err(format!("it writes {} bytes where a record has {}", body.len(), range.len()));
        }
        self.records[range.clone()].copy_from_slice(body);
        self.record(id, writer, What::Wrote, lock, None, 0, self.table.exclusive_token(id).unwrap_or(0));
        self.say(id, Frame::Stored(lock), &[]);
        let beside = self.sabotage.on_store(&mut self.table, id, lock, &mut self.records[range]);
        self.grant(beside);
        let waited = self.sabotage.on_stored(id);
        self.go_on(waited)
    }

    /// Answers a reading that waited.
    fn go_on(&mut self, waited: Option<(ClientId, u32)>) -> Result<(), String> {
        waited.map_or(Ok(()), |(reader, lock)| self.load(reader, lock))
    }

    fn release(&mut self, id: ClientId, writer: Writer, sound: bool) -> Result<(), String> {
        let Some(lock) = self.table.lock_of(id) else {
            return Err("it gives back what it does not hold".into());
        };
        if self.sabotage.on_release(lock) {
            return Ok(());
        }
        let granted = self.table.release(id, sound).ok_or("it gives back what it waits for")?;
        self.record(id, writer, What::Released, lock, None, 0, 0);
        self.sabotage.on_queue(&mut self.table, lock);
        self.grant(granted);
        Ok(())
    }

    /// Bytes of a record.
    fn range(&self, lock: u32) -> Result<std::ops::Range<usize>, String> {
        let bytes = self.work.settings.record_bytes;
        let begin = lock as usize * bytes;
        if lock < self.work.settings.locks {
            Ok(begin..begin + bytes)
        } else {
            Err(format!("there is no {}", target(lock)))
        }
    }

    /// A client is gone: what it held, or waited for, is free.
    fn forget(&mut self, id: ClientId) {
        let Some(client) = self.clients.remove(&id) else { return };
        let (granted, held) = self.table.forget(id);
        if let (Some(lock), Some(writer)) = (held, client.writer) {
            self.record(id, writer, What::Cut, lock, None, 0, 0);
        }
        self.grant(granted);
        // A reader that is gone as well has nothing to say.
        let waited = self.sabotage.on_gone(id);
        let _: Result<(), String> = self.go_on(waited);
        let Some(reason) = client.cut_reason() else { return };
        let Some(writer) = client.writer else { return self.tell_cut("stranger_refused", client.from, reason) };
        let foreign = |client: &Client| client.writer.is_some_and(|other| other.owner != self.work.writer.owner);
        if writer.owner != self.work.writer.owner && !self.clients.values().any(foreign) {
            self.away.get_or_insert((writer, Instant::now()));
        }
        let text = format!("{}: {reason}", dpid(writer.owner));
        self.tell_cut("client_cut", client.from, &text);
    }

    fn tell_cut(&mut self, name: &str, from: SocketAddr, reason: &str) {
        self.said += 1;
        if self.said <= SAID_MAX {
            self.work.session.event(name, &format!("{}: {reason}", plain_address(from)));
        }
    }

    fn say(&mut self, id: ClientId, frame: Frame, body: &[u8]) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.say(frame, body);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one for each column of the history")]
    fn record(&self, id: ClientId, writer: Writer, what: What, lock: u32, mode: Option<Mode>, ticket: u64, token: u64) {
        let seen = Seen::Server(id);
        self.work.history.record(Entry { seen, writer, what, lock, mode, ticket, token });
    }
}
