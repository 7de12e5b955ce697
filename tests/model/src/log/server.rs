//! The server of a log, and what it holds.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use muster_bus::Authority;
use muster_ledger::open_turn;
use muster_ledger::pure::{
    Draft, Fold, Hash as ChainHash, Heard, LazyPositions, Stands, Taken, Turn, Waiting, seal_genesis,
};
use muster_model::{Flag, MachineId, PoolTime, Position};
use muster_proto::v1::{Entry, Envelope, Genesis, cause::Kind, envelope::Body};
use muster_reservation::core::{Input, News, ReservationCore};

use super::{CLIENTS, Mistake};

/// The moment at which everything happens: time matters to none of it.
pub(super) const NOW: PoolTime = PoolTime(1_000_000_000_000);
/// Byte of a command's id that tells its client, from 1.
pub(super) const CLIENT_BYTE: usize = 14;
/// The log that is played.
pub(super) const LOG: &str = "RESERVATIONS";

/// A fold that was not changed since its last message: its chain's hash tells it from all others.
#[derive(Clone)]
pub(super) struct Folded {
    hash: ChainHash,
    pub(super) fold: Arc<Fold<ReservationCore>>,
}

impl Folded {
    pub(super) fn new(fold: Fold<ReservationCore>) -> Self {
        Self { hash: fold.head.hash, fold: Arc::new(fold) }
    }
}

impl PartialEq for Folded {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for Folded {}

impl Hash for Folded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl fmt::Debug for Folded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.fold.head.position)
    }
}

/// An append on its way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Publish {
    pub(super) instance: usize,
    pub(super) life: u8,
    pub(super) expected: u64,
    pub(super) payload: Bytes,
    /// The term that it begins; none for a turn.
    pub(super) begins: Option<u64>,
}

impl Publish {
    pub(super) fn is_of(&self, instance: usize, life: u8) -> bool {
        (self.instance, self.life) == (instance, life)
    }
}

/// The log as its server has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Server {
    messages: Vec<Bytes>,
    /// As anybody folds it.
    pub(super) folded: Folded,
    is_broken: bool,
    /// How often the command of each client was done.
    done: [usize; CLIENTS],
    /// Terms and where they begin.
    begun: Vec<(u64, u64)>,
}

impl Server {
    /// A log with its first message, and a machine that can be reserved.
    pub(super) fn begin() -> Self {
        let genesis = Genesis { system: Bytes::from_static(&[7; 16]), log: LOG.into(), ..Genesis::default() };
        let first = seal_genesis(Position::new(1, 1), genesis, NOW, &envelope(0, 0));
        let fold = Fold::begin(1, &first).expect("a genesis begins a log");
        let mut server = Self {
            messages: vec![first],
            folded: Folded::new(fold),
            is_broken: false,
            done: [0; CLIENTS],
            begun: Vec::new(),
        };
        let machine = MachineId::new("m1").expect("a legal name");
        let news = [News::Added { tags: Default::default() }, News::Flag(Flag::Active, true)];
        for news in news {
            let mut fold = Fold::clone(&server.folded.fold);
            let input = Waiting::Own(Input::Machine { machine: machine.clone(), news });
            let mut draft = turn(&mut fold, [input].into());
            let sealed = server.folded.fold.seal_turn(&mut draft, &envelope(0, 0));
            let publish =
                Publish { instance: 0, life: 0, expected: sealed.expected, payload: sealed.payload, begins: None };
            server.append(&publish, None);
        }
        server
    }

    /// Last sequence.
    pub(super) fn last(&self) -> u64 {
        self.messages.len() as u64
    }

    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// An append arrives.
    pub(super) fn append(&mut self, publish: &Publish, mistake: Option<Mistake>) -> Heard {
        if publish.expected != self.last() && mistake != Some(Mistake::NoExpectedSequence) {
            return Heard::Occupied;
        }
        self.messages.push(publish.payload.clone());
        let sequence = self.last();
        for client in clients_of(&publish.payload) {
            self.done[client] += 1;
        }
        if self.done.iter().any(|done| *done > 1) {
            // A core does not fold what can not be.
            self.is_broken = true;
            return Heard::Acknowledged(sequence);
        }
        let mut fold = Fold::clone(&self.folded.fold);
        match fold.take(sequence, &publish.payload) {
            Ok(Taken::Applied) => self.folded = Folded::new(fold),
            Ok(Taken::Old | Taken::Gap) | Err(_) => self.is_broken = true,
        }
        self.begun.extend(publish.begins.map(|term| (term, sequence)));
        Heard::Acknowledged(sequence)
    }

    /// What stands right behind a sequence.
    pub(super) fn look(&self, expected: u64, payload: &Bytes) -> Stands {
        match usize::try_from(expected).ok().and_then(|place| self.messages.get(place)) {
            Some(found) if found == payload => Stands::Ours,
            Some(_) => Stands::Another,
            None => Stands::Nothing(self.last()),
        }
    }

    /// A later term has begun at or before this sequence.
    pub(super) fn has_begun_later(&self, term: u64, at: u64) -> bool {
        self.begun.iter().any(|(later, began)| *later > term && *began <= at)
    }

    /// How often the command of a client was done.
    pub(super) fn done(&self, client: usize) -> usize {
        self.done[client]
    }
}

/// Clients whose commands a message holds.
fn clients_of(payload: &Bytes) -> Vec<usize> {
    let entries = open_turn(payload).map(|opened| opened.entries).unwrap_or_default();
    let client = |entry: Entry| match entry.cause?.kind? {
        Kind::Command(id) => usize::from(*id.get(CLIENT_BYTE)?).checked_sub(1),
        Kind::Genesis(_) | Kind::LeaderStarted(_) | Kind::Followed(_) | Kind::Rejected(_) | Kind::Own(_) => None,
    };
    entries.into_iter().filter_map(client).collect()
}

/// How often the command of a client was done, as a fold has it.
fn done(fold: &Fold<ReservationCore>, client: usize) -> usize {
    let comment = comment(client);
    fold.state.reservations().filter(|known| known.request.comment == comment).count()
}

/// How many commands were done, as a fold has it.
pub(super) fn all_done(fold: &Fold<ReservationCore>) -> usize {
    (0..CLIENTS).filter(|client| done(fold, *client) > 0).count()
}

/// What tells the reservation of a client from others.
pub(super) fn comment(client: usize) -> String {
    format!("of client {client}")
}

/// One turn over what waits.
pub(super) fn turn(
    fold: &mut Fold<ReservationCore>,
    mut waiting: VecDeque<Waiting<ReservationCore>>,
) -> Draft<ReservationCore> {
    let now = fold.now(NOW);
    let mut lazy = LazyPositions::default();
    let turn = Turn { fold, observed: &(), lazy: &mut lazy, log: LOG, is_nearly_full: false, draft: Draft::new(now) };
    turn.take_all(&mut waiting)
}

/// Envelopes of one life of an instance: no two lives ever make the same bytes.
pub(super) fn envelope(instance: usize, life: u8) -> impl Fn(Body, Authority) -> Envelope {
    move |body, authority| Envelope {
        id: Bytes::copy_from_slice(&[u8::try_from(instance).unwrap_or(u8::MAX), life]),
        source: format!("reservation/{instance}"),
        time_ns: NOW.0,
        lineage: authority.position.lineage.0,
        sequence: authority.position.sequence.0,
        term: authority.term.0,
        body: Some(body),
        ..Envelope::default()
    }
}
