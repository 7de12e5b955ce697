//! The leader's loop: turns, one after the other, until leadership ends.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use muster_bus::Authority;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::append::{Appended, Message, Until, append, is_newest};
use crate::chain;
use crate::draft::{Draft, Needs, Outcome};
use crate::effects::Effects;
use crate::fold::Fold;
use crate::follow::LazyPositions;
use crate::handle::{CheckTo, Intake, Query, ReplyTo, Waiting};
use crate::lease::Lease;
use crate::projection::Projector;
use crate::run::Context;
use crate::snapshot::Snapshots;
use crate::turn::Turn;
use crate::{Core, LedgerError, Now, Scope, Shell, View, check, crash, metrics};

/// Inputs decided in one turn at most.
const INPUTS_PER_TURN_MAX: usize = 16_384;
/// Observations taken between two turns at most.
const OBSERVATIONS_PER_TURN_MAX: usize = 32_768;
/// A loop without anything to do turns so often all the same: the lease is only renewed for one that does.
const IDLE_TURN_EVERY: Duration = Duration::from_millis(500);
/// Between two full passes there is so many times as long for everything else: passes over a pool of ten thousand must not be all that is
/// ever done.
const PAUSE_PER_PASS: u32 = 3;
/// But never longer than this: timers are due at full passes.
const PASS_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Changes for readers are collected for so long.
const PROJECT_EVERY: Duration = Duration::from_millis(100);

/// Why a leader stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was told to.
    Stopped,
    /// Another leads, the lease ended, or the state is not the log's any more.
    Lost,
}

/// What was noticed beside the loop.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// The store is 90 % full.
    pub(crate) is_nearly_full: AtomicBool,
}

/// A leader.
pub(crate) struct Leader<C: Core, S> {
    pub(crate) context: Arc<Context<C>>,
    pub(crate) lease: Arc<Lease>,
    pub(crate) fold: Fold<C>,
    pub(crate) observed: C::Observed,
    pub(crate) intake: Intake<C>,
    pub(crate) waiting: VecDeque<Waiting<C>>,
    pub(crate) effects: Effects<C, S>,
    pub(crate) lazy: LazyPositions,
    pub(crate) projector: Option<Projector<C>>,
    pub(crate) snapshots: Snapshots,
    pub(crate) watched: Arc<Watched>,
    pub(crate) stop: CancellationToken,
}

/// What woke the loop.
enum Woken<C: Core> {
    Stop,
    Tick,
    Project,
    EffectsEnded { again: BTreeSet<C::Key> },
    Observed(C::Observation),
    Inputs,
    Check(CheckTo),
    Idle,
}

impl<C: Core, S: Shell<C>> Leader<C, S> {
    /// Leads until it is told to stop, or loses.
    ///
    /// # Errors
    /// When the log proves to be damaged.
    pub(crate) async fn run(&mut self) -> Result<Ended, LedgerError> {
        let mut tick = tokio::time::interval(self.context.options.tick);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut project = tokio::time::interval(PROJECT_EVERY);
        project.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.lease.turned();
            let woken = self.wake(&mut tick, &mut project).await;
            if !self.lease.is_valid() {
                return Ok(Ended::Lost);
            }
            self.take_observations();
            let is_tick = matches!(woken, Woken::Tick);
            match woken {
                Woken::Stop => return Ok(Ended::Stopped),
                Woken::Idle => continue,
                Woken::Project => {
                    self.project();
                    continue;
                }
                Woken::EffectsEnded { again } => {
                    self.perform_of(&again);
                    continue;
                }
                Woken::Observed(observation) => {
                    let time = self.now().time;
                    C::observe(&mut self.observed, &self.fold.state, observation, time);
                    continue;
                }
                Woken::Check(reply) => {
                    if self.check(reply).await? == Appended::Lost {
                        return Ok(Ended::Lost);
                    }
                    continue;
                }
                Woken::Tick => self.waiting.push_back(Waiting::Own(C::tick())),
                Woken::Inputs => {}
            }
            self.drain();
            let begun = Instant::now();
            if self.turn(is_tick).await? == Appended::Lost {
                return Ok(Ended::Lost);
            }
            if is_tick {
                let pause = (begun.elapsed() * PAUSE_PER_PASS).min(PASS_PAUSE_MAX);
                tick.reset_after(self.context.options.tick.max(pause));
            }
        }
    }

    async fn wake(&mut self, tick: &mut tokio::time::Interval, project: &mut tokio::time::Interval) -> Woken<C> {
        let has_dirty = self.projector.as_ref().is_some_and(Projector::has_dirty);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Woken::Stop,
            _ = tick.tick() => Woken::Tick,
            Some(reply) = self.intake.checks.recv() => Woken::Check(reply),
            () = std::future::ready(()), if !self.waiting.is_empty() => Woken::Inputs,
            again = self.effects.ended(), if !self.effects.is_idle() => Woken::EffectsEnded { again },
            _ = project.tick(), if has_dirty => Woken::Project,
            Some(waiting) = self.intake.waiting.recv() => {
                self.waiting.push_back(waiting);
                Woken::Inputs
            }
            Some(observation) = self.intake.observations.recv() => Woken::Observed(observation),
            () = tokio::time::sleep(IDLE_TURN_EVERY) => Woken::Idle,
        }
    }

    /// The moment of a decision that is made now.
    fn now(&self) -> Now {
        self.fold.now(self.context.bus.now())
    }

    fn take_observations(&mut self) {
        let time = self.now().time;
        for _ in 0..OBSERVATIONS_PER_TURN_MAX {
            let Ok(observation) = self.intake.observations.try_recv() else { return };
            C::observe(&mut self.observed, &self.fold.state, observation, time);
        }
    }

    /// Takes everything that waits, up to the bound. `try_recv` does not spend the task's budget, which would end this near 128.
    fn drain(&mut self) {
        while self.waiting.len() < INPUTS_PER_TURN_MAX {
            let Ok(waiting) = self.intake.waiting.try_recv() else { break };
            self.waiting.push_back(waiting);
        }
        ::metrics::gauge!(metrics::QUEUE_DEPTH, "log" => self.context.log.name).set(gauge(self.waiting.len()));
    }

    async fn turn(&mut self, is_tick: bool) -> Result<Appended, LedgerError> {
        let draft = self.decide(is_tick);
        self.conclude(draft, is_tick).await
    }

    /// A full pass in a turn of its own, for somebody who wants to know what it finds and does.
    async fn check(&mut self, reply: CheckTo) -> Result<Appended, LedgerError> {
        let findings = C::findings(&self.fold.state, &self.observed, self.now().time);
        let later = std::mem::replace(&mut self.waiting, VecDeque::from([Waiting::Own(C::tick())]));
        let mut draft = self.decide(true);
        self.waiting.extend(later);
        let wanted = C::wanted(&self.fold.state, &self.observed, Scope::Full, self.now().time);
        let mut found = check::reply(findings, C::EVENT_TYPE, &draft.block, wanted.iter().map(C::effect_key));
        let instance = self.context.options.instance.clone();
        // As a query, it is answered once the log has what was decided.
        draft.queries.push(Box::new(move |view| {
            found.status = Some(view.status(&instance));
            drop(reply.send(found));
        }));
        self.conclude(draft, true).await
    }

    /// Appends what was decided, answers, and performs what follows.
    async fn conclude(&mut self, mut draft: Draft<C>, is_tick: bool) -> Result<Appended, LedgerError> {
        let must_answer = !draft.answers.is_empty() || !draft.queries.is_empty();
        let is_certain = match draft.needs() {
            Needs::Append => self.append(&mut draft).await? == Appended::Landed,
            Needs::Newest => {
                let applied = self.fold.head.position.sequence.0;
                is_newest(&self.context.log, Until::LeaseEnds(&self.lease), applied).await?
            }
            Needs::Nothing => true,
        };
        if !is_certain {
            return Ok(Appended::Lost);
        }
        if !self.lease.is_valid() {
            return Ok(Appended::Lost);
        }
        if must_answer {
            crash::point("before_reply");
            self.answer(draft.answers, draft.queries);
            crash::point("after_reply");
        }
        if let Some(projector) = &mut self.projector {
            projector.touch(&draft.touched);
        }
        if is_tick {
            self.perform(Scope::Full, None);
        } else {
            self.perform_of(&draft.touched);
        }
        self.snapshots.consider(&self.context.log, &self.fold);
        Ok(Appended::Landed)
    }

    fn decide(&mut self, is_tick: bool) -> Draft<C> {
        let now = self.now();
        let mut turn = Turn {
            fold: &mut self.fold,
            observed: &self.observed,
            lazy: &mut self.lazy,
            log: self.context.log.name,
            is_nearly_full: self.watched.is_nearly_full.load(Ordering::Relaxed),
            draft: Draft::new(now),
        };
        if is_tick {
            turn.note_positions();
        }
        turn.take_all(&mut self.waiting)
    }

    async fn append(&mut self, draft: &mut Draft<C>) -> Result<Appended, LedgerError> {
        let sealed = self.fold.seal_turn(draft, &chain::blank(&self.context.bus));
        let log = &self.context.log;
        crash::point("before_append");
        let message = Message { kind: "turn", expected: sealed.expected, payload: sealed.payload.clone() };
        if append(log, Until::LeaseEnds(&self.lease), &message).await? == Appended::Lost {
            return Ok(Appended::Lost);
        }
        crash::point("after_append");
        ::metrics::counter!(metrics::TURNS, "log" => log.name).increment(1);
        ::metrics::counter!(metrics::ENTRIES, "log" => log.name).increment(draft.entries);
        ::metrics::counter!(metrics::APPENDED_BYTES, "log" => log.name).increment(sealed.payload.len() as u64);
        self.fold.landed(&sealed);
        Ok(Appended::Landed)
    }

    fn answer(&self, answers: Vec<(ReplyTo, Outcome)>, queries: Vec<Query<C>>) {
        let head = &self.fold.head;
        for (reply, outcome) in answers {
            reply(outcome.answer(head.position, head.term));
        }
        if queries.is_empty() {
            return;
        }
        let now = Now { position: head.position, ..self.now() };
        for query in queries {
            query(View {
                state: &self.fold.state,
                observed: &self.observed,
                now,
                followed: &self.fold.followed,
                system: self.fold.system,
            });
        }
    }

    /// One key after the other, so that what is being performed is wanted again because of its own key alone.
    fn perform_of(&mut self, keys: &BTreeSet<C::Key>) {
        for key in keys {
            self.perform(Scope::Keys(&BTreeSet::from([key.clone()])), Some(key));
        }
    }

    fn perform(&mut self, scope: Scope<'_, C::Key>, because_of: Option<&C::Key>) {
        let head = &self.fold.head;
        let authority = Authority { position: head.position, term: head.term, ..Authority::default() };
        for effect in C::wanted(&self.fold.state, &self.observed, scope, self.now().time) {
            self.effects.want(effect, authority, because_of);
        }
    }

    fn project(&mut self) {
        if let Some(projector) = &mut self.projector {
            projector.send(&self.fold);
        }
    }
}

fn gauge(value: usize) -> f64 {
    f64::from(u32::try_from(value).unwrap_or(u32::MAX))
}
