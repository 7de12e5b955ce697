//! A life of a service, between two crashes: folding, deciding, following.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use muster_ledger::{At, Core, Now};
use muster_model::{PoolTime, Position, Refusal, Term};
use muster_proto::v1::{self, Entry, cause::Kind};

use super::streams::Stored;
use super::{Context, Part, ReplyTo, Stream};
use crate::clock::Clock;
use crate::options::Flaw;

/// Inputs of one turn.
const TURN_INPUTS_MAX: usize = 32;
/// A position that moved without a decision is noted after so long.
const NOTE_AFTER: Duration = Duration::from_secs(5);

/// What waits for a turn.
pub(super) enum Waiting<C: Core> {
    Command { id: [u8; 16], actor: String, input: C::Input, to: ReplyTo },
    Own(C::Input),
}

/// A life of a service, between two crashes.
pub(super) struct Running<C: Core> {
    /// Number of this life.
    pub(super) life: u64,
    /// Sequence of the last message that was folded.
    pub(super) head: u64,
    /// It was taken over from, and leads no longer than this; never for one that was not.
    pub(super) lease_ends: PoolTime,
    pub(super) clock: Clock,
    pub(super) state: C::State,
    pub(super) observed: C::Observed,
    pub(super) followed: BTreeMap<String, u64>,
    /// How far each source was read, which is at least `followed`; since when that is ahead.
    pub(super) read: BTreeMap<Stream, (u64, PoolTime)>,
    pub(super) memory: BTreeMap<[u8; 16], Bytes>,
    pub(super) waiting: VecDeque<Waiting<C>>,
    pub(super) in_flight: BTreeMap<String, (C::Effect, PoolTime)>,
    pub(super) term: u64,
    pub(super) last_time: PoolTime,
    pub(super) tick_at: PoolTime,
    pub(super) full_at: PoolTime,
    /// Something happened, and it takes turns as often as it can before this.
    pub(super) stirred_until: PoolTime,
    /// Decisions since the core's check ran, and how many there are between two.
    pub(super) unchecked: u32,
    pub(super) check_every: u32,
    pub(super) touched: BTreeSet<C::Key>,
}

/// One thing was decided.
pub(super) struct Decided {
    pub(super) entry: Entry,
    pub(super) answer: Option<(ReplyTo, Bytes)>,
}

/// Encoded events and reply, or a refusal.
type Outcome = Result<(Vec<Bytes>, Option<Bytes>), Refusal>;

impl<C: Core> Running<C> {
    pub(super) fn fold(log: &[Stored]) -> Result<Self, String> {
        let mut running = Self {
            life: 0,
            head: log.len() as u64,
            lease_ends: PoolTime::NEVER,
            clock: Clock::default(),
            state: C::State::default(),
            observed: C::Observed::default(),
            followed: BTreeMap::new(),
            read: BTreeMap::new(),
            memory: BTreeMap::new(),
            waiting: VecDeque::new(),
            in_flight: BTreeMap::new(),
            term: 0,
            last_time: PoolTime::NEVER,
            tick_at: PoolTime::NEVER,
            full_at: PoolTime::NEVER,
            stirred_until: PoolTime::NEVER,
            unchecked: 0,
            check_every: 1,
            touched: BTreeSet::new(),
        };
        for stored in log {
            if !stored.is_in_chain() {
                return Err(format!("the chain of its log breaks at message {}", stored.message.sequence));
            }
            for entry in &stored.entries {
                let at = At {
                    position: Position::new(1, stored.message.sequence),
                    time: PoolTime(entry.time_ns),
                    actor: &entry.actor,
                };
                for event in &entry.events {
                    C::apply(&mut running.state, &C::decode_event(event)?, &at);
                }
                running.take_cause(entry);
                running.last_time = at.time;
            }
        }
        Ok(running)
    }

    pub(super) fn now(&self, context: &Context<'_>) -> Now {
        let time = self.clock.read(context.now);
        let time = if context.flaw == Some(Flaw::NoTimeFloor) { time } else { time.max(self.last_time) };
        Now { time, position: Position::new(1, self.head + 1), term: Term(self.term) }
    }

    /// Another leads, whether it knows that or not.
    pub(super) fn is_old(&self) -> bool {
        self.lease_ends != PoolTime::NEVER
    }

    pub(super) fn position_in(&self, stream: Stream) -> u64 {
        self.followed.get(stream.name()).copied().unwrap_or(0)
    }

    fn take_cause(&mut self, entry: &Entry) {
        match entry.cause.as_ref().and_then(|cause| cause.kind.as_ref()) {
            Some(Kind::Command(id)) => {
                if let Ok(id) = <[u8; 16]>::try_from(id.as_ref()) {
                    self.memory.insert(id, entry.reply.clone());
                }
            }
            Some(Kind::Followed(followed)) => {
                let sequence = followed.position.map_or(0, |position| position.sequence);
                self.followed.insert(followed.stream.clone(), sequence);
            }
            Some(Kind::LeaderStarted(started)) => self.term = started.term,
            _ => {}
        }
    }

    /// Decides one input and folds what comes of it; what was folded is checked, and is the same after a way over the wire.
    fn decide<P: Part<Core = C>>(&mut self, input: &C::Input, now: Now, actor: &str) -> Result<Outcome, String> {
        let decision = match C::decide(&self.state, &self.observed, input, now) {
            Ok(decision) => decision,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let at = At { position: now.position, time: now.time, actor };
        let mut encoded = Vec::new();
        for event in &decision.events {
            let bytes = C::encode_event(event);
            C::apply(&mut self.state, &C::decode_event(&bytes)?, &at);
            self.touched.extend(C::touched(&self.state, event));
            encoded.push(bytes);
        }
        if !encoded.is_empty() && self.is_to_be_checked() {
            P::check(&self.state)
                .map_err(|reason| format!("{}: {reason}, after {:?}", P::LOG.name(), decision.events))?;
        }
        Ok(Ok((encoded, decision.reply.as_ref().map(C::encode_reply))))
    }

    /// Takes an agent's heartbeat, and gives the answer to it.
    pub(super) fn hear<P: Part<Core = C>>(
        &mut self,
        machine: &str,
        envelope: &v1::Envelope,
        now: PoolTime,
    ) -> Option<v1::HeartbeatAnswer> {
        let (observation, answer) = P::heartbeat(&self.state, machine, envelope)?;
        let time = self.clock.read(now);
        C::observe(&mut self.observed, &self.state, observation, time);
        Some(v1::HeartbeatAnswer { pool_time_ns: time.0, ..answer })
    }

    fn is_to_be_checked(&mut self) -> bool {
        self.unchecked = (self.unchecked + 1) % self.check_every;
        self.unchecked == 0
    }

    pub(super) fn decide_waiting<P: Part<Core = C>>(
        &mut self,
        context: &Context<'_>,
        now: Now,
        decided: &mut Vec<Decided>,
        answers: &mut Vec<(ReplyTo, Result<Bytes, Refusal>)>,
    ) -> Result<(), String> {
        for _ in 0..TURN_INPUTS_MAX {
            match self.waiting.pop_front() {
                None => return Ok(()),
                Some(Waiting::Own(input)) => self.own::<P>(input, now, decided)?,
                Some(Waiting::Command { id, actor, input, to }) => {
                    if let Some(known) = self.memory.get(&id) {
                        answers.push((to, Ok(known.clone())));
                        continue;
                    }
                    match self.decide::<P>(&input, now, &actor)? {
                        Err(refusal) => answers.push((to, Err(refusal))),
                        Ok((events, reply)) if events.is_empty() => answers.push((to, Ok(reply.unwrap_or_default()))),
                        Ok((events, reply)) => {
                            let reply = reply.unwrap_or_default();
                            let cause = cause(Kind::Command(Bytes::copy_from_slice(&id)));
                            let entry = Entry {
                                cause,
                                actor,
                                events,
                                reply: reply.clone(),
                                time_ns: now.time.0,
                                ..Entry::default()
                            };
                            if context.flaw != Some(Flaw::NoCommandMemory) {
                                self.take_cause(&entry);
                            }
                            decided.push(Decided { entry, answer: Some((to, reply)) });
                        }
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn own<P: Part<Core = C>>(
        &mut self,
        input: C::Input,
        now: Now,
        decided: &mut Vec<Decided>,
    ) -> Result<(), String> {
        if let Ok((events, _)) = self.decide::<P>(&input, now, "")?
            && !events.is_empty()
        {
            let (cause, time_ns) = (cause(Kind::Own(v1::Own {})), now.time.0);
            decided.push(Decided { entry: Entry { cause, events, time_ns, ..Default::default() }, answer: None });
        }
        Ok(())
    }

    /// Reads on in a followed stream; sees what was stored some time ago.
    pub(super) fn follow<P: Part<Core = C>>(
        &mut self,
        context: &mut Context<'_>,
        source: Stream,
        now: Now,
        decided: &mut Vec<Decided>,
    ) -> Result<(), String> {
        let lag = context.random.millis(1, 40);
        let count = 1 + context.random.index(TURN_INPUTS_MAX);
        let (read, ahead_since) = self.read.get(&source).copied().unwrap_or_default();
        let messages = context.streams.of(source).iter().skip(read as usize).take(count);
        let (mut read, mut ahead_since) = (read, ahead_since);
        for stored in messages.take_while(|stored| stored.at + lag <= context.now) {
            read = stored.message.sequence;
            let is_log = source != Stream::Reports;
            if is_log && stored.entries.iter().all(|entry| entry.events.is_empty()) {
                continue;
            }
            let mut events = Vec::new();
            for input in P::take(source, &stored.message)? {
                if let Ok((encoded, _)) = self.decide::<P>(&input, now, "")? {
                    events.extend(encoded);
                }
            }
            if events.is_empty() {
                ahead_since = if ahead_since == PoolTime::NEVER { now.time } else { ahead_since };
            } else {
                ahead_since = PoolTime::NEVER;
                self.note(source, read, events, now, decided);
            }
        }
        if ahead_since != PoolTime::NEVER && now.time.since(ahead_since) >= NOTE_AFTER {
            ahead_since = PoolTime::NEVER;
            self.note(source, read, Vec::new(), now, decided);
        }
        self.read.insert(source, (read, ahead_since));
        Ok(())
    }

    fn note(&mut self, source: Stream, sequence: u64, events: Vec<Bytes>, now: Now, decided: &mut Vec<Decided>) {
        let lineage = u64::from(source != Stream::Reports);
        let position = Some(v1::Position { lineage, sequence });
        let followed = v1::Followed { stream: source.name().into(), position };
        let entry = Entry { cause: cause(Kind::Followed(followed)), events, time_ns: now.time.0, ..Default::default() };
        self.take_cause(&entry);
        decided.push(Decided { entry, answer: None });
    }
}

pub(super) fn cause(kind: Kind) -> Option<v1::Cause> {
    Some(v1::Cause { kind: Some(kind) })
}
