//! A model of the ledger around a core: turns, append, answers, followed streams, memory of commands, crash and refolding.
//!
//! It follows the rules of muster-ledger: one entry for each input, a followed message's position in the entry that was decided from
//! it, answers only after the append. A crash loses everything but the log.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use muster_bus::StoredMessage;
use muster_ledger::{At, Core, Now, Scope};
use muster_model::{PoolTime, Position, Refusal, Term};
use muster_proto::v1::{self, Entry, cause::Kind, envelope::Body};
use prost::Message;

use crate::options::Flaw;
use crate::random::Random;
use crate::trace::Trace;

/// A stream of the simulated JetStream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stream {
    Reservations,
    Machines,
    Jobs,
    Reports,
}

impl Stream {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reservations => muster_bus::streams::RESERVATIONS,
            Self::Machines => muster_bus::streams::MACHINES,
            Self::Jobs => muster_bus::streams::JOBS,
            Self::Reports => muster_bus::streams::REPORTS,
        }
    }
}

/// What is stored: survives every crash.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    messages: BTreeMap<Stream, Vec<Stored>>,
}

/// A stored message.
#[derive(Debug)]
pub(crate) struct Stored {
    at: PoolTime,
    message: StoredMessage,
    /// Entries, of a decision log.
    pub(crate) entries: Vec<Entry>,
}

impl Stored {
    /// Its bytes.
    pub(crate) fn payload(&self) -> &Bytes {
        &self.message.payload
    }
}

impl Streams {
    pub(crate) fn of(&self, stream: Stream) -> &[Stored] {
        self.messages.get(&stream).map_or(&[], Vec::as_slice)
    }

    fn next(&self, stream: Stream) -> u64 {
        self.of(stream).len() as u64 + 1
    }

    /// Stores a batch of reports.
    pub(crate) fn store_report(&mut self, now: PoolTime, machine: &str, envelope: &v1::Envelope) {
        let subject = format!("muster.v1.agent.{machine}.rpt");
        self.push(Stream::Reports, now, subject, envelope.encode_to_vec().into(), Vec::new());
    }

    /// Appends a turn to a decision log, as its followers will read it.
    fn append(&mut self, stream: Stream, now: PoolTime, term: u64, event_type: &str, entries: Vec<Entry>) {
        let block = v1::TurnBlock { entries: entries.clone() }.encode_to_vec().into();
        let previous_hash = Bytes::from_static(&[0; 32]);
        let turn = v1::Turn { previous_hash, event_type: event_type.into(), block, ..Default::default() };
        let sequence = self.next(stream);
        let envelope = v1::Envelope { lineage: 1, sequence, term, body: Some(Body::Turn(turn)), ..Default::default() };
        self.push(stream, now, "muster.v1.log.simulated.turn".into(), envelope.encode_to_vec().into(), entries);
    }

    fn push(&mut self, stream: Stream, at: PoolTime, subject: String, payload: Bytes, entries: Vec<Entry>) {
        let sequence = self.next(stream);
        let message = StoredMessage { sequence, stored: at, subject, payload, pending: 0 };
        self.messages.entry(stream).or_default().push(Stored { at, message, entries });
    }
}

/// What a service is made of beside the ledger.
pub(crate) trait Part: 'static {
    type Core: Core;
    /// Its log.
    const LOG: Stream;
    /// The streams that it follows.
    const SOURCES: &'static [Stream];

    /// Inputs of a followed message.
    fn take(stream: Stream, message: &StoredMessage) -> Result<Vec<<Self::Core as Core>::Input>, String>;
    /// The core's own check.
    fn check(state: &<Self::Core as Core>::State) -> Result<(), String>;
    /// What the shell observes when it begins to lead.
    fn began() -> Option<<Self::Core as Core>::Observation>;
    /// What the shell observes when its connection came back.
    fn reconnected() -> Option<<Self::Core as Core>::Observation>;
    /// The input of a person's command.
    fn command(envelope: &v1::Envelope) -> Result<<Self::Core as Core>::Input, Refusal>;
    /// A command's reply as a body.
    fn reply(bytes: Bytes) -> Body;
    /// The input of an agent's hello.
    fn hello(machine: &str, envelope: &v1::Envelope) -> Option<<Self::Core as Core>::Input>;
    /// The answer to a hello, from the state after it.
    fn hello_answer(
        state: &<Self::Core as Core>::State,
        machine: &str,
        envelope: &v1::Envelope,
        reply: Bytes,
    ) -> Option<v1::HelloAnswer>;
    /// What a heartbeat says, and its answer.
    fn heartbeat(
        state: &<Self::Core as Core>::State,
        machine: &str,
        envelope: &v1::Envelope,
    ) -> Option<(<Self::Core as Core>::Observation, v1::HeartbeatAnswer)>;
    /// The command that performs an effect: machine, epoch, incarnation, command.
    fn command_of(effect: &<Self::Core as Core>::Effect) -> AgentOrder;
    /// What comes of an effect, once its agent has answered.
    fn answered(effect: &<Self::Core as Core>::Effect, reply: &v1::AgentReply) -> News<Self::Core>;
}

/// A command to an agent.
pub(crate) struct AgentOrder {
    pub(crate) machine: String,
    pub(crate) epoch: u64,
    pub(crate) incarnation: u64,
    pub(crate) command: v1::AgentCommand,
}

/// Observations and inputs.
pub(crate) type News<C> = (Vec<<C as Core>::Observation>, Vec<<C as Core>::Input>);

/// Whom an answer goes to.
#[derive(Debug, Clone)]
pub(crate) enum ReplyTo {
    /// A user, to the command of this id.
    User(usize, [u8; 16]),
    /// An agent, to its hello of this number.
    Agent { machine: String, number: u64, hello: Box<v1::Envelope> },
}

/// Something that a service says.
#[derive(Debug)]
pub(crate) enum Out {
    User { user: usize, envelope: v1::Envelope },
    HelloAnswer { machine: String, number: u64, envelope: v1::Envelope },
    HeartbeatAnswer { machine: String, envelope: v1::Envelope },
    Order { machine: String, key: String, life: u64, envelope: v1::Envelope },
}

/// What a turn acts on and through.
pub(crate) struct Context<'a> {
    pub(crate) now: PoolTime,
    pub(crate) streams: &'a mut Streams,
    pub(crate) random: &'a mut Random,
    pub(crate) trace: &'a mut Trace,
    pub(crate) flaw: Option<Flaw>,
    /// Crashes may happen in the middle of a turn.
    pub(crate) may_crash: bool,
    pub(crate) out: Vec<Out>,
}

/// What waits for a turn.
enum Waiting<C: Core> {
    Command { id: [u8; 16], actor: String, input: C::Input, to: ReplyTo },
    Own(C::Input),
}

/// A life of a service, between two crashes.
struct Running<C: Core> {
    state: C::State,
    observed: C::Observed,
    followed: BTreeMap<String, u64>,
    /// How far each source was read, which is at least `followed`; since when that is ahead.
    read: BTreeMap<Stream, (u64, PoolTime)>,
    memory: BTreeMap<[u8; 16], Bytes>,
    waiting: VecDeque<Waiting<C>>,
    in_flight: BTreeMap<String, (C::Effect, PoolTime)>,
    term: u64,
    last_time: PoolTime,
    tick_at: PoolTime,
    full_at: PoolTime,
    touched: BTreeSet<C::Key>,
}

/// A service.
pub(crate) struct Service<P: Part> {
    running: Option<Running<P::Core>>,
    /// Rises with every start.
    life: u64,
    /// It stays down before this.
    pub(crate) down_until: PoolTime,
    /// It hears and says nothing before this.
    pub(crate) cut_until: PoolTime,
}

/// Inputs of one turn.
const TURN_INPUTS_MAX: usize = 32;
/// Time between ticks.
const TICK: Duration = Duration::from_millis(250);
/// Time between full passes.
const FULL_PASS: Duration = Duration::from_secs(1);
/// An effect without an answer counts as over after this.
const EFFECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A position that moved without a decision is noted after so long.
const NOTE_AFTER: Duration = Duration::from_secs(5);

/// One thing was decided.
struct Decided {
    entry: Entry,
    answer: Option<(ReplyTo, Bytes)>,
}

impl<P: Part> Service<P> {
    pub(crate) fn new() -> Self {
        Self { running: None, life: 0, down_until: PoolTime::NEVER, cut_until: PoolTime::NEVER }
    }

    /// State, while it runs.
    pub(crate) fn state(&self) -> Option<&<P::Core as Core>::State> {
        self.running.as_ref().map(|running| &running.state)
    }

    /// Everything but the log is lost.
    pub(crate) fn crash(&mut self, until: PoolTime) {
        self.running = None;
        self.down_until = until;
    }

    /// It may start soon, and is connected.
    pub(crate) fn heal(&mut self, soon: PoolTime) {
        self.down_until = self.down_until.min(soon);
        self.cut_until = self.cut_until.min(soon);
    }

    /// One turn; starts the service first when it is down and due.
    pub(crate) fn turn(&mut self, context: &mut Context<'_>) -> Result<(), String> {
        if context.now < self.down_until {
            return Ok(());
        }
        if self.running.is_none() {
            self.start(context)?;
        }
        if context.now < self.cut_until {
            return Ok(());
        }
        let Some(mut running) = self.running.take() else { return Ok(()) };
        if std::mem::take(&mut self.cut_until) != PoolTime::NEVER
            && let Some(observation) = P::reconnected()
        {
            P::Core::observe(&mut running.observed, &running.state, observation, context.now);
        }
        let now = running.now::<P>(context);
        let mut decided = Vec::new();
        let mut answers = Vec::new();
        running.decide_waiting::<P>(context, now, &mut decided, &mut answers)?;
        for source in P::SOURCES {
            running.follow::<P>(context, *source, now, &mut decided)?;
        }
        if now.time >= running.tick_at {
            running.tick_at = now.time + TICK;
            running.own::<P>(P::Core::tick(), now, &mut decided)?;
        }
        self.conclude(running, context, now, decided, answers)
    }

    /// Append, answer, act: with a crash between any two of them.
    fn conclude(
        &mut self,
        mut running: Running<P::Core>,
        context: &mut Context<'_>,
        now: Now,
        decided: Vec<Decided>,
        mut answers: Vec<(ReplyTo, Result<Bytes, Refusal>)>,
    ) -> Result<(), String> {
        let (mut entries, appends) = (Vec::new(), !decided.is_empty());
        for Decided { entry, answer } in decided {
            answers.extend(answer.map(|(to, bytes)| (to, Ok(bytes))));
            entries.push(entry);
        }
        let early = context.flaw == Some(Flaw::AnswersBeforeAppend);
        if early {
            self.answer(&running, context, now, std::mem::take(&mut answers));
        }
        if appends && context.may_crash && context.random.happens(4) {
            return self.crash_within(context, "before its append");
        }
        if appends {
            running.last_time = now.time;
            context.streams.append(P::LOG, context.now, running.term, P::Core::EVENT_TYPE, entries);
        }
        if appends && context.may_crash && context.random.happens(4) {
            return self.crash_within(context, "after its append");
        }
        self.answer(&running, context, now, answers);
        self.act(&mut running, context, now);
        self.running = Some(running);
        Ok(())
    }

    fn crash_within(&mut self, context: &mut Context<'_>, place: &str) -> Result<(), String> {
        context.trace.note(context.now, format_args!("{} crashes {place}", P::LOG.name()));
        let until = context.now + context.random.millis(200, 3_000);
        self.crash(until);
        Ok(())
    }

    /// Refolds the log, and compares what a snapshot would keep with what the log says.
    fn start(&mut self, context: &mut Context<'_>) -> Result<(), String> {
        self.life += 1;
        let mut running = Running::<P::Core>::fold(context.streams.of(P::LOG))?;
        let encoded = P::Core::encode_state(&running.state);
        let decoded = P::Core::decode_state(&encoded).map_err(|error| format!("its snapshot: {error}"))?;
        if P::Core::encode_state(&decoded) != encoded {
            return Err(format!("{}: a snapshot is not read back as it was written", P::LOG.name()));
        }
        running.state = decoded;
        running.term += 1;
        if context.flaw == Some(Flaw::NoCommandMemory) {
            running.memory.clear();
        }
        if context.flaw == Some(Flaw::NoPositions) {
            running.followed.clear();
        }
        running.read =
            P::SOURCES.iter().map(|source| (*source, (running.position_in(*source), PoolTime::NEVER))).collect();
        if let Some(observation) = P::began() {
            P::Core::observe(&mut running.observed, &running.state, observation, context.now);
        }
        let started = v1::LeaderStarted { term: running.term, instance: "a".into() };
        let time_ns = running.last_time.max(context.now).0;
        let entry = Entry { cause: cause(Kind::LeaderStarted(started)), time_ns, ..Default::default() };
        context.streams.append(P::LOG, context.now, running.term, P::Core::EVENT_TYPE, vec![entry]);
        context.trace.note(context.now, format_args!("{} leads in term {}", P::LOG.name(), running.term));
        self.running = Some(running);
        Ok(())
    }

    fn answer(
        &self,
        running: &Running<P::Core>,
        context: &mut Context<'_>,
        now: Now,
        answers: Vec<(ReplyTo, Result<Bytes, Refusal>)>,
    ) {
        for (to, answer) in answers {
            let envelope =
                |body| v1::Envelope { term: running.term, time_ns: now.time.0, body: Some(body), ..Default::default() };
            match (to, answer) {
                (ReplyTo::User(user, id), answer) => {
                    let body = answer.map_or_else(|refusal| Body::Refusal((&refusal).into()), P::reply);
                    let cmd_id = Bytes::copy_from_slice(&id);
                    context.out.push(Out::User { user, envelope: v1::Envelope { cmd_id, ..envelope(body) } });
                }
                (ReplyTo::Agent { machine, number, hello }, Ok(bytes)) => {
                    if let Some(answer) = P::hello_answer(&running.state, &machine, &hello, bytes) {
                        let envelope = envelope(Body::HelloAnswer(answer));
                        context.out.push(Out::HelloAnswer { machine, number, envelope });
                    }
                }
                (ReplyTo::Agent { machine, number, .. }, Err(refusal)) => {
                    let envelope = envelope(Body::Refusal((&refusal).into()));
                    context.out.push(Out::HelloAnswer { machine, number, envelope });
                }
            }
        }
    }

    /// Performs what is wanted for what was touched, and once a second for everything.
    fn act(&self, running: &mut Running<P::Core>, context: &mut Context<'_>, now: Now) {
        let touched = std::mem::take(&mut running.touched);
        let scope = if now.time >= running.full_at {
            running.full_at = now.time + FULL_PASS;
            Scope::Full
        } else {
            Scope::Keys(&touched)
        };
        running.in_flight.retain(|_, (_, since)| now.time.since(*since) < EFFECT_TIMEOUT);
        for effect in P::Core::wanted(&running.state, &running.observed, scope, now.time) {
            let key = P::Core::effect_key(&effect);
            if running.in_flight.contains_key(&key) {
                continue;
            }
            let AgentOrder { machine, epoch, incarnation, command } = P::command_of(&effect);
            let body = Some(Body::AgentCommand(command));
            let envelope = v1::Envelope { term: running.term, epoch, incarnation, body, ..Default::default() };
            running.in_flight.insert(key.clone(), (effect, now.time));
            context.out.push(Out::Order { machine, key, life: self.life, envelope });
        }
    }

    fn hears(&mut self, now: PoolTime) -> Option<&mut Running<P::Core>> {
        if now < self.cut_until { None } else { self.running.as_mut() }
    }

    /// A user's command. One that can not be understood is refused at once.
    pub(crate) fn commanded(&mut self, user: usize, envelope: &v1::Envelope, now: PoolTime, out: &mut Vec<Out>) {
        let Some(running) = self.hears(now) else { return };
        let id = envelope.cmd_id.as_ref().try_into().unwrap_or([0; 16]);
        match P::command(envelope) {
            Ok(input) => {
                let (actor, to) = (envelope.actor.clone(), ReplyTo::User(user, id));
                running.waiting.push_back(Waiting::Command { id, actor, input, to });
            }
            Err(refusal) => {
                let body = Some(Body::Refusal((&refusal).into()));
                let cmd_id = envelope.cmd_id.clone();
                out.push(Out::User { user, envelope: v1::Envelope { cmd_id, body, ..Default::default() } });
            }
        }
    }

    /// An agent's hello.
    pub(crate) fn greeted(&mut self, machine: &str, number: u64, envelope: &v1::Envelope, now: PoolTime) {
        let Some(running) = self.hears(now) else { return };
        let Some(input) = P::hello(machine, envelope) else { return };
        let Ok(id) = envelope.id.as_ref().try_into() else { return };
        let to = ReplyTo::Agent { machine: machine.into(), number, hello: Box::new(envelope.clone()) };
        running.waiting.push_back(Waiting::Command { id, actor: format!("agent:{machine}"), input, to });
    }

    /// An agent's heartbeat.
    pub(crate) fn heard(&mut self, machine: &str, envelope: &v1::Envelope, now: PoolTime, out: &mut Vec<Out>) {
        let Some(running) = self.hears(now) else { return };
        let Some((observation, mut answer)) = P::heartbeat(&running.state, machine, envelope) else { return };
        P::Core::observe(&mut running.observed, &running.state, observation, now);
        answer.pool_time_ns = now.0;
        if answer.number.is_multiple_of(5) || answer.hello_again {
            let body = Some(Body::HeartbeatAnswer(answer));
            let envelope = v1::Envelope { term: running.term, body, ..Default::default() };
            out.push(Out::HeartbeatAnswer { machine: machine.into(), envelope });
        }
    }

    /// An agent's answer to an order of this life.
    pub(crate) fn answered(&mut self, key: &str, life: u64, reply: &v1::AgentReply, now: PoolTime) {
        if life != self.life {
            return;
        }
        let Some(running) = self.hears(now) else { return };
        let Some((effect, _)) = running.in_flight.remove(key) else { return };
        let (observations, inputs) = P::answered(&effect, reply);
        for observation in observations {
            P::Core::observe(&mut running.observed, &running.state, observation, now);
        }
        running.waiting.extend(inputs.into_iter().map(Waiting::Own));
    }
}

impl<C: Core> Running<C> {
    fn fold(log: &[Stored]) -> Result<Self, String> {
        let mut running = Self {
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
            touched: BTreeSet::new(),
        };
        for stored in log {
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

    fn now<P: Part<Core = C>>(&self, context: &Context<'_>) -> Now {
        let position = Position::new(1, context.streams.next(P::LOG));
        Now { time: context.now.max(self.last_time), position, term: Term(self.term) }
    }

    fn position_in(&self, stream: Stream) -> u64 {
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
    fn decide<P: Part<Core = C>>(
        &mut self,
        input: &C::Input,
        now: Now,
        actor: &str,
    ) -> Result<Result<(Vec<Bytes>, Option<Bytes>), Refusal>, String> {
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
        if !encoded.is_empty() {
            P::check(&self.state)
                .map_err(|reason| format!("{}: {reason}, after {:?}", P::LOG.name(), decision.events))?;
        }
        Ok(Ok((encoded, decision.reply.as_ref().map(C::encode_reply))))
    }

    fn decide_waiting<P: Part<Core = C>>(
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
                            let entry = Entry { cause, actor, events, reply: reply.clone(), time_ns: now.time.0 };
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

    fn own<P: Part<Core = C>>(&mut self, input: C::Input, now: Now, decided: &mut Vec<Decided>) -> Result<(), String> {
        if let Ok((events, _)) = self.decide::<P>(&input, now, "")?
            && !events.is_empty()
        {
            let (cause, time_ns) = (cause(Kind::Own(v1::Own {})), now.time.0);
            decided.push(Decided { entry: Entry { cause, events, time_ns, ..Default::default() }, answer: None });
        }
        Ok(())
    }

    /// Reads on in a followed stream; sees what was stored some time ago.
    fn follow<P: Part<Core = C>>(
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

fn cause(kind: Kind) -> Option<v1::Cause> {
    Some(v1::Cause { kind: Some(kind) })
}
