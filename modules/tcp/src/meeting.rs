//! How the two find each other: the client asks where, the server says here, they connect, and each shows the other the token
//! that only words could tell. After a break they meet again, and each tells which packet it needs next.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use muster_pattern::name_hash;
use muster_sdk::{
    Ask, Here, Session, To, Token, Words, own_addresses, parse_token, plain_address, print_token, random,
};

use crate::door::{Door, hear};
use crate::flow::Writer;
use crate::record::{Hello, Record};
use crate::settings::{Role, Settings};
use crate::socket;
use crate::trouble::Trouble;

/// How long the first meeting may take: the peer's machine may still be fetching the module.
pub(crate) const FIRST_MEETING_MAX: Duration = Duration::from_secs(120);
/// How long a later one may.
pub(crate) const NEXT_MEETING_MAX: Duration = Duration::from_secs(10);
/// Pause of the server between two looks at its door.
const LOOK: Duration = Duration::from_millis(50);
/// How long a connection to one address may take.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How long the server may take to welcome whom it let in.
const WELCOME_MAX: Duration = Duration::from_secs(2);
/// Pause of the client before it tries all addresses again.
const RETRY: Duration = Duration::from_millis(500);

/// The connections of a meeting.
#[derive(Debug)]
pub(crate) struct Joined {
    /// In the order of the streams.
    pub(crate) sockets: Vec<TcpStream>,
    /// What the peer's hellos say, in the same order.
    pub(crate) hellos: Vec<Hello>,
    /// The clocks of both ends are one.
    pub(crate) same_clock: bool,
}

/// This end's part in all meetings.
pub(crate) struct Meeting<'a> {
    session: &'a Session,
    settings: &'a Settings,
    /// What it says of itself.
    own: Hello,
    boot_id: String,
    /// The life of the peer that was met.
    instance: Option<u64>,
    side: Side,
}

enum Side {
    Server { door: Door, here: Here, reply: Token },
    Client { known: Option<Here> },
}

impl<'a> Meeting<'a> {
    pub(crate) fn new(session: &'a Session, settings: &'a Settings) -> Result<Self, Trouble> {
        let context = session.context();
        let random = random().map_err(|error| Trouble::Setting(format!("reading random numbers failed: {error}")))?;
        let [instance, token @ .., one, other]: [u64; 5] = random;
        let reply = [one, other];
        let side = match settings.role {
            Role::Client => Side::Client { known: None },
            Role::Server => {
                let door = Door::open(settings, token)?;
                let socket = |address: IpAddr| SocketAddr::new(address, door.port()).to_string();
                let here = Here {
                    addresses: own_addresses(settings.family, &settings.network)?.into_iter().map(socket).collect(),
                    token: print_token(token),
                    reply: print_token(reply),
                    boot_id: context.boot_id.clone(),
                };
                session.event("listening", &here.addresses.join(", "));
                Side::Server { door, here, reply }
            }
        };
        let boot = if context.boot_id.is_empty() { 0 } else { name_hash(&context.boot_id) };
        let own = Hello {
            token: [0; 2],
            instance,
            meeting: 0,
            stream: 0,
            streams: settings.streams as u64,
            packet_bytes: settings.packet_bytes as u64,
            direction: settings.direction,
            next: 0,
            writer: Writer { owner: session.owner(), machine: name_hash(&context.machine) },
            boot,
        };
        Ok(Self { session, settings, own, boot_id: context.boot_id.clone(), instance: None, side })
    }

    /// Who writes what this process sends.
    pub(crate) fn writer(&self) -> Writer {
        self.own.writer
    }

    /// The peer, for people.
    pub(crate) fn peer(&self) -> String {
        let role = self.settings.role.other().name();
        match self.session.peers().find(|member| member.role == role && !member.dpid.is_empty()) {
            Some(member) => format!("{} on {}", member.dpid, member.machine),
            None => role.to_owned(),
        }
    }

    /// Meets the peer. `next` are the packets that are needed next, of each stream.
    pub(crate) fn meet(&mut self, next: &[u64], patience: Duration) -> Result<Joined, Trouble> {
        let deadline = Instant::now() + patience;
        let seconds = patience.as_secs();
        let mut reason = "it said nothing".to_owned();
        while !self.session.stopping() && Instant::now() < deadline {
            match self.try_once(next, deadline)? {
                Ok(joined) => return self.check(joined),
                Err(new) if new.is_empty() => {}
                Err(new) => reason = new,
            }
        }
        match (self.instance, self.session.stopping()) {
            (None, true) => Err(Trouble::NotMet),
            (None, false) => {
                Err(Trouble::Gone(format!("peer {} was not met within {seconds} s: {reason}", self.peer())))
            }
            (Some(_), true) => Err(Trouble::Gone(format!("peer {} is gone: it was not back at the stop", self.peer()))),
            (Some(_), false) => {
                let peer = self.peer();
                Err(Trouble::Gone(format!("peer {peer} is gone: it did not come back within {seconds} s: {reason}")))
            }
        }
    }

    /// While the two talk: answers words and refuses strangers. True when the peer wants to meet again.
    pub(crate) fn attend(&mut self) -> bool {
        self.answer_words(Instant::now());
        match &mut self.side {
            Side::Server { door, .. } => door.accept(self.session),
            Side::Client { .. } => false,
        }
    }

    fn try_once(&mut self, next: &[u64], deadline: Instant) -> Result<Result<Joined, String>, Trouble> {
        if self.settings.role == Role::Server {
            self.answer_words(deadline.min(Instant::now() + LOOK));
            return Ok(self.let_in(next));
        }
        self.own.meeting += 1;
        // What was told before holds for as long as the server lives, even where no agent carries words now.
        let said = Words::Where.say();
        let known = match &mut self.side {
            Side::Client { known } => known.take(),
            Side::Server { .. } => None,
        };
        let here = match known {
            Some(here) => here,
            None => {
                let ask = Ask::new(To::Role(Role::Server.name()), &said, deadline);
                let here = self.session.ask_peer(ask, |heard| match Words::hear(&heard.words) {
                    Some(Words::Here(here)) => Some(here),
                    Some(Words::Where) | None => None,
                })?;
                let Some(here) = here else { return Ok(Err(String::new())) };
                here
            }
        };
        let joined = self.connect(&here, next);
        match (&joined, &mut self.side) {
            (Ok(_), Side::Client { known }) => *known = Some(here),
            _ => drop(self.session.wait(RETRY.min(deadline.saturating_duration_since(Instant::now())))),
        }
        Ok(joined)
    }

    /// Says here to whoever asks, until then.
    fn answer_words(&self, until: Instant) {
        while let Some(heard) = self.session.hear_peer(until) {
            if let (Side::Server { here, .. }, Some(Words::Where)) = (&self.side, Words::hear(&heard.words)) {
                // A peer that can not be answered asks again.
                let _: Result<(), muster_sdk::PeerError> =
                    self.session.say_to_peer(To::Role(Role::Client.name()), &Words::Here(here.clone()).say());
            }
        }
    }

    /// The server's part: welcomes the peer once all its connections are there.
    fn let_in(&mut self, next: &[u64]) -> Result<Joined, String> {
        let Side::Server { door, reply, .. } = &mut self.side else { return Err(String::new()) };
        door.accept(self.session);
        let Some(arrived) = door.complete() else { return Err(String::new()) };
        let (hellos, sockets): (Vec<Hello>, Vec<TcpStream>) = arrived.into_iter().unzip();
        for (stream, mut socket) in (0u64..).zip(&sockets) {
            let next = next[usize::try_from(stream).unwrap_or(0)];
            let welcome = Hello { token: *reply, stream, next, meeting: hellos[0].meeting, ..self.own };
            let said = socket.write_all(&Record::Welcome(welcome).encode());
            said.and_then(|()| socket::prepare(socket)).map_err(|error| format!("its connection broke: {error}"))?;
        }
        let same_clock = self.is_same_clock(&hellos);
        Ok(Joined { sockets, hellos, same_clock })
    }

    /// The client's part: tries all addresses that it was told.
    fn connect(&self, here: &Here, next: &[u64]) -> Result<Joined, String> {
        let mut reasons = Vec::new();
        for address in &here.addresses {
            let Ok(place) = address.parse::<SocketAddr>() else { continue };
            // Another machine's loopback is our own.
            if place.ip().is_loopback() && (here.boot_id != self.boot_id || here.boot_id.is_empty()) {
                continue;
            }
            if self.session.stopping() {
                break;
            }
            match self.connect_to(place, here, next) {
                Ok(joined) => return Ok(joined),
                Err(error) => reasons.push(format!("{address}: {error}")),
            }
        }
        Err(format!("it can not be reached at {}", reasons.join("; ")))
    }

    fn connect_to(&self, place: SocketAddr, here: &Here, next: &[u64]) -> std::io::Result<Joined> {
        let [token, reply] = [&here.token, &here.reply].map(|text| parse_token(text));
        let mut sockets = Vec::with_capacity(next.len());
        for (stream, next) in (0u64..).zip(next) {
            let mut socket = TcpStream::connect_timeout(&place, CONNECT_MAX)?;
            socket.set_read_timeout(Some(WELCOME_MAX))?;
            let hello = Hello { token, stream, next: *next, ..self.own };
            socket.write_all(&Record::Hello(hello).encode())?;
            sockets.push(socket);
        }
        let mut hellos = Vec::with_capacity(sockets.len());
        for socket in &sockets {
            match hear(socket)? {
                Record::Welcome(hello) if hello.token == reply && hello.meeting == self.own.meeting => {
                    hellos.push(hello)
                }
                Record::Refused(reason) => return Err(std::io::Error::other(format!("refused: {reason}"))),
                _ => return Err(std::io::Error::other("another one answers there")),
            }
            socket::prepare(socket)?;
        }
        let same_clock = self.is_same_clock(&hellos);
        Ok(Joined { sockets, hellos, same_clock })
    }

    fn is_same_clock(&self, hellos: &[Hello]) -> bool {
        self.own.boot != 0 && hellos.iter().all(|hello| hello.boot == self.own.boot)
    }

    /// A peer that was started again knows nothing of what was said before.
    fn check(&mut self, joined: Joined) -> Result<Joined, Trouble> {
        let instance = joined.hellos[0].instance;
        match self.instance.replace(instance) {
            Some(before) if before != instance => {
                Err(Trouble::Gone(format!("peer {} is gone: another one was started in its place", self.peer())))
            }
            Some(_) | None => {
                let address = |address: std::io::Result<SocketAddr>| {
                    address.map_or_else(|_| "?".to_owned(), |address| plain_address(address).to_string())
                };
                let socket = &joined.sockets[0];
                let (here, there) = (address(socket.local_addr()), address(socket.peer_addr()));
                eprintln!("met {} at {there}, from {here}: {} streams", self.peer(), joined.sockets.len());
                Ok(joined)
            }
        }
    }
}
