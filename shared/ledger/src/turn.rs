//! One turn: decides what waits, in order, and collects the message that is to be appended.
//!
//! Pure but for the state that it folds at once: nothing is answered or done here. What does not fit waits for the next turn.

use std::collections::VecDeque;

use bytes::Bytes;
use muster_model::{CommandId, Position, Refusal};
use muster_proto::v1::{self, Cause, Entry, cause::Kind};
use prost::Message;

use crate::chain::{self, BLOCK_MAX};
use crate::draft::{Draft, ENTRY_OVERHEAD, Outcome, Room, nearly_full, too_large, too_old};
use crate::fold::Fold;
use crate::follow::LazyPositions;
use crate::handle::{By, Delivery, ReplyTo, Waiting};
use crate::memory::Recalled;
use crate::{At, Core, Decision, metrics};

/// A turn that is being decided.
pub struct Turn<'a, C: Core> {
    /// State, changed at once.
    pub fold: &'a mut Fold<C>,
    /// Volatile knowledge.
    pub observed: &'a C::Observed,
    /// Positions that moved without a decision.
    pub lazy: &'a mut LazyPositions,
    /// Name of the log.
    pub log: &'static str,
    /// The store is nearly full: only what frees is taken.
    pub is_nearly_full: bool,
    /// What was collected.
    pub draft: Draft<C>,
}

impl<C: Core> Turn<'_, C> {
    /// Decides what waits, in order. What has no place in this turn is left.
    #[must_use]
    pub fn take_all(mut self, waiting: &mut VecDeque<Waiting<C>>) -> Draft<C> {
        while let Some(next) = waiting.pop_front() {
            if let Some(left) = self.take(next) {
                waiting.push_front(left);
                break;
            }
        }
        self.draft
    }

    /// Decides one input. Gives it back, or what is left of it, when it must wait for the next turn.
    fn take(&mut self, waiting: Waiting<C>) -> Option<Waiting<C>> {
        match waiting {
            Waiting::Command { id, by, input, reply } => self.command(id, by, input, reply),
            Waiting::Query(query) => {
                self.draft.queries.push(query);
                None
            }
            Waiting::Own(input) => self.own(input).map(Waiting::Own),
            Waiting::Followed(delivery) => self.followed(delivery).map(Waiting::Followed),
        }
    }

    /// Notes the positions that moved without a decision and are due.
    pub(crate) fn note_positions(&mut self) {
        for (stream, position) in self.lazy.due() {
            let entry = self.entry(followed_cause(stream, position), Vec::new());
            self.put(&entry);
        }
    }

    fn command(&mut self, id: CommandId, by: By, input: C::Input, reply: ReplyTo) -> Option<Waiting<C>> {
        match self.fold.memory.recall(&id) {
            Recalled::New => {}
            Recalled::TooOld => return self.refuse(reply, too_old(self.log)),
            Recalled::Known(known) => {
                let outcome = Outcome::Reply { position: Some(known.position), reply: known.reply.clone() };
                self.draft.answers.push((reply, outcome));
                return None;
            }
        }
        if self.is_nearly_full && !C::frees(&input) {
            return self.refuse(reply, nearly_full(self.log));
        }
        let decision = match self.decide(&input) {
            Ok(decision) => decision,
            Err(refusal) => return self.refuse(reply, refusal),
        };
        let encoded = decision.reply.as_ref().map_or_else(Bytes::new, C::encode_reply);
        if decision.events.is_empty() {
            self.draft.answers.push((reply, Outcome::Reply { position: None, reply: encoded }));
            return None;
        }
        let mut entry = self.entry(Kind::Command(Bytes::copy_from_slice(&id.0)), encode(&decision));
        (entry.actor, entry.sender, entry.reply) = (by.actor, by.sender, encoded);
        match self.room(&entry) {
            Room::Here => {}
            Room::NextTurn => {
                let by = By { actor: entry.actor, sender: entry.sender };
                return Some(Waiting::Command { id, by, input, reply });
            }
            Room::Nowhere => return self.refuse(reply, too_large(self.log)),
        }
        self.apply(&decision.events, &entry.actor);
        self.put(&entry);
        let outcome = Outcome::Reply { position: Some(self.draft.now.position), reply: entry.reply };
        self.draft.answers.push((reply, outcome));
        None
    }

    fn own(&mut self, input: C::Input) -> Option<C::Input> {
        let decision = match self.decide(&input) {
            Ok(decision) => decision,
            Err(refusal) => {
                tracing::debug!(log = self.log, %refusal, "an input of our own was refused");
                return None;
            }
        };
        if decision.events.is_empty() {
            return None;
        }
        let entry = self.entry(Kind::Own(v1::Own {}), encode(&decision));
        match self.room(&entry) {
            Room::Here => {
                self.apply(&decision.events, "");
                self.put(&entry);
                None
            }
            Room::NextTurn => Some(input),
            Room::Nowhere => {
                tracing::error!(log = self.log, "a decision of our own does not fit into a message: it is passed over");
                None
            }
        }
    }

    /// Decides every input of a followed message into one entry, together with its position. What does not fit any more is cut
    /// between two inputs: the first part keeps the position before the message.
    fn followed(&mut self, mut delivery: Delivery<C>) -> Option<Delivery<C>> {
        let inputs = match &mut delivery.inputs {
            Ok(inputs) => inputs,
            Err(reason) => return self.reject(delivery.stream, delivery.position, reason.clone()),
        };
        let mut events = Vec::new();
        let mut size = 0;
        let mut too_large = false;
        while let Some(input) = inputs.pop_front() {
            let Ok(decision) = self.decide(&input) else { continue };
            let encoded = encode(&decision);
            let added = encoded.iter().map(|event| event.len() + ENTRY_OVERHEAD).sum::<usize>();
            match self.draft.room(size + added + 256) {
                Room::Nowhere if events.is_empty() => {
                    too_large = true;
                    continue;
                }
                Room::NextTurn | Room::Nowhere => {
                    inputs.push_front(input);
                    self.cut(delivery.stream, events);
                    return Some(delivery);
                }
                Room::Here => {}
            }
            self.apply(&decision.events, "");
            if C::in_pieces(&input) && !decision.events.is_empty() {
                inputs.push_front(input);
            }
            events.extend(encoded);
            size += added;
        }
        if too_large {
            self.cut(delivery.stream, events);
            return self.reject(delivery.stream, delivery.position, "its decision does not fit into a message".into());
        }
        if events.is_empty() {
            self.lazy.passed(delivery.stream, delivery.position, delivery.counts);
            return None;
        }
        self.lazy.noted(delivery.stream);
        let entry = self.entry(followed_cause(delivery.stream, delivery.position), events);
        self.put(&entry);
        None
    }

    /// Puts a first part of a followed message, with the position before it.
    fn cut(&mut self, stream: &'static str, events: Vec<Bytes>) {
        if !events.is_empty() {
            let before = self.fold.followed.get(stream).copied().unwrap_or_default();
            let entry = self.entry(followed_cause(stream, before), events);
            self.put(&entry);
        }
    }

    fn reject(&mut self, stream: &'static str, position: Position, reason: String) -> Option<Delivery<C>> {
        ::metrics::counter!(metrics::REJECTED, "log" => self.log).increment(1);
        tracing::warn!(log = self.log, stream, %position, reason, "a followed message can not be handled");
        self.lazy.noted(stream);
        let rejected = v1::Rejected { stream: stream.into(), position: Some(position.into()), reason };
        let entry = self.entry(Kind::Rejected(rejected), Vec::new());
        self.put(&entry);
        None
    }

    fn decide(&self, input: &C::Input) -> Result<Decision<C>, Refusal> {
        C::decide(&self.fold.state, self.observed, input, self.draft.now)
    }

    fn apply(&mut self, events: &[C::Event], actor: &str) {
        let at = At { position: self.draft.now.position, time: self.draft.now.time, actor };
        for event in events {
            self.fold.apply_event(event, &at, Some(&mut self.draft.touched));
        }
    }

    fn entry(&self, cause: Kind, events: Vec<Bytes>) -> Entry {
        let cause = Some(Cause { kind: Some(cause) });
        Entry { cause, events, time_ns: self.draft.now.time.0, ..Entry::default() }
    }

    /// A lone entry may be larger than the bound when it compresses below it.
    fn room(&self, entry: &Entry) -> Room {
        match self.draft.room(entry.encoded_len()) {
            Room::Nowhere if chain::packed_size(&entry.encode_to_vec()) <= BLOCK_MAX => Room::Here,
            room => room,
        }
    }

    fn put(&mut self, entry: &Entry) {
        let at = At { position: self.draft.now.position, time: self.draft.now.time, actor: &entry.actor };
        if let Some(Cause { kind: Some(cause) }) = &entry.cause {
            self.fold.apply_cause(cause, &entry.reply, &at);
        }
        self.draft.push(entry);
    }

    fn refuse(&mut self, reply: ReplyTo, refusal: Refusal) -> Option<Waiting<C>> {
        ::metrics::counter!(metrics::REFUSALS, "log" => self.log).increment(1);
        self.draft.answers.push((reply, Outcome::Refusal(refusal)));
        None
    }
}

fn encode<C: Core>(decision: &Decision<C>) -> Vec<Bytes> {
    decision.events.iter().map(C::encode_event).collect()
}

fn followed_cause(stream: &str, position: Position) -> Kind {
    Kind::Followed(v1::Followed { stream: stream.into(), position: Some(position.into()) })
}
