//! A model of the ledger around a core: turns, append, answers, followed streams, memory of commands, crash and refolding.
//!
//! It follows the rules of muster-ledger: one entry for each input, a followed message's position in the entry that was decided from
//! it, answers only after the append. A crash loses everything but the log. A leader that another has taken over from goes on until
//! its lease ends, or the log refuses its append.

mod pace;
mod part;
mod running;
mod streams;

use std::time::Duration;

use bytes::Bytes;
use muster_ledger::{Core, Now, Scope};
use muster_model::{PoolTime, Refusal};
use muster_proto::v1::{self, Entry, cause::Kind, envelope::Body};

pub(crate) use part::{AgentOrder, News, Part};
pub(crate) use streams::{Stream, Streams};

use crate::clock::Clock;
use crate::options::Flaw;
use crate::random::Random;
use crate::trace::Trace;
use running::{Decided, Running, Waiting, cause};

/// Time between ticks.
const TICK: Duration = Duration::from_millis(250);
/// Time between full passes.
const FULL_PASS: Duration = Duration::from_secs(1);
/// The same, where nothing happens.
const IDLE_FULL_PASS: Duration = Duration::from_secs(10);
/// An effect without an answer counts as over after this.
const EFFECT_TIMEOUT: Duration = Duration::from_secs(2);

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
    /// Decisions from one check of a core's to the next.
    pub(crate) check_every: u32,
    pub(crate) out: Vec<Out>,
}

/// A service.
pub(crate) struct Service<P: Part> {
    running: Option<Running<P::Core>>,
    /// A leader that another has taken over from, and that does not know it.
    old: Option<Running<P::Core>>,
    /// Rises with every start.
    life: u64,
    /// How often something was heard.
    heard: u64,
    /// It stays down before this.
    pub(crate) down_until: PoolTime,
    /// It hears and says nothing before this.
    pub(crate) cut_until: PoolTime,
}

impl<P: Part> Service<P> {
    pub(crate) fn new() -> Self {
        let (down_until, cut_until) = (PoolTime::NEVER, PoolTime::NEVER);
        Self { running: None, old: None, life: 0, heard: 0, down_until, cut_until }
    }

    /// State, while it runs.
    pub(crate) fn state(&self) -> Option<&<P::Core as Core>::State> {
        self.running.as_ref().map(|running| &running.state)
    }

    /// The core's own check of the state, while it runs.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.state().map_or(Ok(()), P::check)
    }

    /// Everything but the log is lost.
    pub(crate) fn crash(&mut self, until: PoolTime) {
        self.running = None;
        self.down_until = until;
    }

    /// Another instance takes over, and the one that leads goes on until its lease ends. False where none leads.
    pub(crate) fn overtake(&mut self, lease_ends: PoolTime) -> bool {
        let Some(running) = self.running.take() else { return false };
        self.old = Some(Running { lease_ends, ..running });
        true
    }

    /// What who leads takes for pool time is wrong by something else from now on.
    pub(crate) fn step_clock(&mut self, random: &mut Random) {
        if let Some(running) = &mut self.running {
            running.clock = Clock::skewed(random);
        }
    }

    /// It may start soon, and is connected.
    pub(crate) fn heal(&mut self, soon: PoolTime) {
        self.down_until = self.down_until.min(soon);
        self.cut_until = self.cut_until.min(soon);
    }

    /// One turn of who leads, and of who believes it; starts the service first when it is down and due.
    pub(crate) fn turn(&mut self, context: &mut Context<'_>) -> Result<(), String> {
        let leads_on = |old: &Running<P::Core>| context.now < old.lease_ends;
        self.old = self.old.take().filter(leads_on);
        if context.now >= self.cut_until
            && let Some(old) = self.old.take()
        {
            self.old = self.turn_of(old, context)?;
        }
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
            let time = running.now(context).time;
            P::Core::observe(&mut running.observed, &running.state, observation, time);
        }
        self.running = self.turn_of(running, context)?;
        Ok(())
    }

    /// One turn of one leader; none when it leads no more.
    fn turn_of(
        &mut self,
        mut running: Running<P::Core>,
        context: &mut Context<'_>,
    ) -> Result<Option<Running<P::Core>>, String> {
        let now = running.now(context);
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
        Ok(self.conclude(running, context, now, decided, answers))
    }

    /// Append, answer, act: with a crash between any two of them.
    fn conclude(
        &mut self,
        mut running: Running<P::Core>,
        context: &mut Context<'_>,
        now: Now,
        decided: Vec<Decided>,
        mut answers: Vec<(ReplyTo, Result<Bytes, Refusal>)>,
    ) -> Option<Running<P::Core>> {
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
            return self.crash_within(&running, context, "before its append");
        }
        let is_newest = running.head == context.streams.last(P::LOG) || context.flaw == Some(Flaw::NoExpectedSequence);
        if !is_newest && (appends || !answers.is_empty()) {
            return self.lose(&running, context, now, answers);
        }
        if appends {
            context.streams.append(P::LOG, context.now, running.term, P::Core::EVENT_TYPE, entries, running.head);
            (running.last_time, running.head) = (now.time, context.streams.last(P::LOG));
        }
        if appends && context.may_crash && context.random.happens(4) {
            return self.crash_within(&running, context, "after its append");
        }
        self.answer(&running, context, now, answers);
        Self::act(&mut running, context, now);
        Some(running)
    }

    /// Another has appended: nothing is answered, and what was decided is forgotten.
    fn lose(
        &self,
        running: &Running<P::Core>,
        context: &mut Context<'_>,
        now: Now,
        answers: Vec<(ReplyTo, Result<Bytes, Refusal>)>,
    ) -> Option<Running<P::Core>> {
        let (log, term) = (P::LOG.name(), running.term);
        context.trace.note(context.now, format_args!("the leader of {log} in term {term} learns that another leads"));
        if context.flaw == Some(Flaw::AnswersWhenLost) {
            self.answer(running, context, now, answers);
        }
        None
    }

    fn crash_within(
        &mut self,
        running: &Running<P::Core>,
        context: &mut Context<'_>,
        place: &str,
    ) -> Option<Running<P::Core>> {
        context.trace.note(context.now, format_args!("{} crashes {place}", P::LOG.name()));
        if !running.is_old() {
            self.down_until = context.now + context.random.millis(200, 3_000);
        }
        None
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
        (running.term, running.life, running.check_every) = (running.term + 1, self.life, context.check_every);
        if context.may_crash {
            running.clock = Clock::skewed(context.random);
        }
        if context.flaw == Some(Flaw::NoCommandMemory) {
            running.memory.clear();
        }
        if context.flaw == Some(Flaw::NoPositions) {
            running.followed.clear();
        }
        running.read =
            P::SOURCES.iter().map(|source| (*source, (running.position_in(*source), PoolTime::NEVER))).collect();
        let now = running.now(context);
        if let Some(observation) = P::began() {
            P::Core::observe(&mut running.observed, &running.state, observation, now.time);
        }
        let started = v1::LeaderStarted { term: running.term, instance: "a".into() };
        let entry = Entry { cause: cause(Kind::LeaderStarted(started)), time_ns: now.time.0, ..Default::default() };
        context.streams.append(P::LOG, context.now, running.term, P::Core::EVENT_TYPE, vec![entry], running.head);
        (running.last_time, running.head) = (now.time, context.streams.last(P::LOG));
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
    fn act(running: &mut Running<P::Core>, context: &mut Context<'_>, now: Now) {
        let touched = std::mem::take(&mut running.touched);
        let scope = if now.time >= running.full_at {
            running.full_at = now.time + if running.is_stirred(context.now) { FULL_PASS } else { IDLE_FULL_PASS };
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
            context.out.push(Out::Order { machine, key, life: running.life, envelope });
        }
    }

    /// Who hears what is said now: where two believe that they lead, each hears half of it.
    fn hears(&mut self, now: PoolTime) -> Option<&mut Running<P::Core>> {
        if now < self.cut_until {
            return None;
        }
        self.heard += 1;
        let old = self.old.as_mut().filter(|_| self.heard.is_multiple_of(2));
        old.or(self.running.as_mut())
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
        let Some(answer) = running.hear::<P>(machine, envelope, now) else { return };
        if answer.number.is_multiple_of(5) || answer.hello_again {
            let body = Some(Body::HeartbeatAnswer(answer));
            let envelope = v1::Envelope { term: running.term, body, ..Default::default() };
            out.push(Out::HeartbeatAnswer { machine: machine.into(), envelope });
        }
    }

    /// An agent's answer to an order of this life.
    pub(crate) fn answered(&mut self, key: &str, life: u64, reply: &v1::AgentReply, now: PoolTime) {
        if now < self.cut_until {
            return;
        }
        let mut leaders = [self.running.as_mut(), self.old.as_mut()].into_iter().flatten();
        let Some(running) = leaders.find(|running| running.life == life) else { return };
        let time = running.clock.read(now);
        let Some((effect, _)) = running.in_flight.remove(key) else { return };
        let (observations, inputs) = P::answered(&effect, reply);
        for observation in observations {
            P::Core::observe(&mut running.observed, &running.state, observation, time);
        }
        running.waiting.extend(inputs.into_iter().map(Waiting::Own));
    }
}
