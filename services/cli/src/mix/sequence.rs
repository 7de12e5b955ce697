//! The sequence of decisions of a mix: a function of the plan and the seed alone. What became of a decision is not asked, so that the
//! same seed gives the same sequence on any day.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use muster_model::milliseconds;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use super::plan::{JobPlan, Plan, Range};
use crate::times::short;

/// Pauses that may pass in which nothing is possible, before the next stop is waited for.
const IDLE_PAUSES_MAX: usize = 1_000;
/// Pulses that a job may have at once.
const PULSES_OF_JOB_MAX: usize = 8;

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Decision {
    /// From 1.
    pub(crate) number: u64,
    /// When, milliseconds after the beginning.
    pub(crate) at_ms: u64,
    #[serde(flatten)]
    pub(crate) action: Action,
}

/// What is decided. A slot is one start of the sequence, by its number among the starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub(crate) enum Action {
    /// Start a job of the plan.
    Start { slot: u32, job: String, processes: u32, seed: u64, parameters: BTreeMap<String, String>, pulses: Vec<u8> },
    /// Stop it.
    Stop { slot: u32 },
    /// Change a parameter of it.
    Change { slot: u32, parameters: BTreeMap<String, String> },
    /// Give it other pulses.
    Pulses { slot: u32, pulses: Vec<u8> },
    /// Define a pulse.
    Pulse { pulse: u8, block_ms: u64, free_ms: u64, phase_ms: u64 },
}

/// What runs by the sequence's own book.
#[derive(Debug, Clone)]
struct Slot {
    /// Index of its job in the plan.
    job: usize,
    processes: u32,
    since: Duration,
    /// It is stopped by then.
    until: Duration,
    parameters: BTreeMap<String, String>,
    pulses: Vec<u8>,
}

/// Kinds of decisions.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Start,
    Stop,
    Change,
    Pulses,
    Pulse,
}

/// The sequence; without an end.
#[derive(Debug)]
pub(crate) struct Sequence<'a> {
    plan: &'a Plan,
    random: ChaCha8Rng,
    number: u64,
    /// When the next decision is due that is no stop of a life that is over.
    due: Duration,
    slots: BTreeMap<u32, Slot>,
    started: u32,
    /// Pulses that were defined for the first time.
    defined: usize,
}

impl<'a> Sequence<'a> {
    pub(crate) fn new(plan: &'a Plan, seed: u64) -> Self {
        Self {
            plan,
            random: ChaCha8Rng::seed_from_u64(seed),
            number: 0,
            due: Duration::ZERO,
            slots: BTreeMap::new(),
            started: 0,
            defined: 0,
        }
    }

    /// A number from 0 to below `bound`, from one number of the generator: the same with every release of it.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.random.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    fn between(&mut self, range: Range<Duration>) -> Duration {
        let (least, most) = (milliseconds(range.least), milliseconds(range.most));
        Duration::from_millis(least + self.below(most - least + 1))
    }

    fn pick<'v, T>(&mut self, values: &'v [T]) -> &'v T {
        &values[self.below(values.len() as u64) as usize]
    }

    /// An index, by weights that are not all 0.
    fn weighed(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        let place = weights.iter().position(|weight| match left.checked_sub(*weight) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
        place.expect("the number is below the sum of the weights")
    }

    fn decide(&mut self) -> (Duration, Action) {
        if let Some(pulse) = self.plan.pulses.get(self.defined) {
            self.defined += 1;
            return (Duration::ZERO, self.define(pulse.number));
        }
        for _ in 0..IDLE_PAUSES_MAX {
            let due = if self.number == self.plan.pulses.len() as u64 { self.due } else { self.next_due() };
            if let Some(stop) = self.life_over(due) {
                return stop;
            }
            self.due = due;
            if let Some(kind) = self.kind(due) {
                return (due, self.act(kind, due));
            }
        }
        let first = self.slots.iter().min_by_key(|(slot, running)| (running.until, **slot)).map(|(slot, _)| *slot);
        let slot = first.expect("without anything that runs, something can be started");
        let running = self.slots.remove(&slot).expect("it was just found");
        self.due = running.until;
        (running.until, Action::Stop { slot })
    }

    fn next_due(&mut self) -> Duration {
        self.due + self.between(self.plan.pause)
    }

    /// The stop of what has lived for as long as it may at `due`. The pause begins anew from there.
    fn life_over(&mut self, due: Duration) -> Option<(Duration, Action)> {
        let over = self.slots.iter().filter(|(_, running)| running.until <= due);
        let slot = *over.min_by_key(|(slot, running)| (running.until, **slot))?.0;
        let until = self.slots.remove(&slot)?.until;
        self.due = self.due.max(until);
        Some((until, Action::Stop { slot }))
    }

    /// A kind of decision that is possible now, by weight.
    fn kind(&mut self, now: Duration) -> Option<Kind> {
        let weights = &self.plan.weights;
        let kinds = [
            (Kind::Start, weights.start, !self.startable().is_empty()),
            (Kind::Stop, weights.stop, !self.stoppable(now).is_empty()),
            (Kind::Change, weights.change, !self.changeable(|job| !job.changes.is_empty()).is_empty()),
            (Kind::Pulses, weights.pulses, !self.changeable(|job| !job.pulses.is_empty()).is_empty()),
            (Kind::Pulse, weights.pulse, !self.plan.pulses.is_empty()),
        ];
        let weights = kinds.map(|(_, weight, possible)| if possible { u64::from(weight) } else { 0 });
        if weights.iter().all(|weight| *weight == 0) {
            return None;
        }
        Some(kinds[self.weighed(&weights)].0)
    }

    fn act(&mut self, kind: Kind, now: Duration) -> Action {
        match kind {
            Kind::Start => self.start(now),
            Kind::Stop => {
                let slot = *self.pick(&self.stoppable(now));
                self.slots.remove(&slot);
                Action::Stop { slot }
            }
            Kind::Change => self.change(),
            Kind::Pulses => self.change_pulses(),
            Kind::Pulse => {
                let index = self.below(self.plan.pulses.len() as u64) as usize;
                self.define(self.plan.pulses[index].number)
            }
        }
    }

    /// Processes that may still be started.
    fn room(&self) -> u32 {
        self.plan.processes_max - self.slots.values().map(|slot| slot.processes).sum::<u32>()
    }

    /// Jobs of the plan that may be started.
    fn startable(&self) -> Vec<usize> {
        if self.slots.len() >= self.plan.jobs_max as usize {
            return Vec::new();
        }
        let (room, running) = (self.room(), |index| self.slots.values().filter(|slot| slot.job == index).count());
        let jobs = self.plan.jobs.iter().enumerate();
        jobs.filter(|(index, job)| job.processes.least <= room && running(*index) < job.at_once_max as usize)
            .map(|(index, _)| index)
            .collect()
    }

    fn stoppable(&self, now: Duration) -> Vec<u32> {
        let lived = |slot: &Slot| now - slot.since >= self.plan.jobs[slot.job].lifetime.least;
        self.slots.iter().filter(|(_, slot)| lived(slot)).map(|(number, _)| *number).collect()
    }

    fn changeable(&self, may: impl Fn(&JobPlan) -> bool) -> Vec<u32> {
        self.slots.iter().filter(|(_, slot)| may(&self.plan.jobs[slot.job])).map(|(number, _)| *number).collect()
    }

    fn start(&mut self, now: Duration) -> Action {
        let startable = self.startable();
        let weights: Vec<u64> = startable.iter().map(|index| u64::from(self.plan.jobs[*index].weight)).collect();
        let index = startable[self.weighed(&weights)];
        let plan = self.plan;
        let job = &plan.jobs[index];
        let most = job.processes.most.min(self.room());
        let steps = (most - job.processes.least) / job.multiple_of;
        let processes = job.processes.least + job.multiple_of * self.below(u64::from(steps) + 1) as u32;
        let given = job.parameters.iter().chain(&job.changes);
        let parameters: BTreeMap<String, String> =
            given.map(|(name, values)| (name.clone(), self.pick(values).clone())).collect();
        let pulses = self.some_of(&job.pulses);
        let seed = self.random.next_u64().max(1);
        let until = now + self.between(job.lifetime);
        self.started += 1;
        let slot = self.started;
        let running =
            Slot { job: index, processes, since: now, until, parameters: parameters.clone(), pulses: pulses.clone() };
        self.slots.insert(slot, running);
        Action::Start { slot, job: job.name.clone(), processes, seed, parameters, pulses }
    }

    /// Some of these, each as likely as not, and not more than a job may have.
    fn some_of(&mut self, pulses: &[u8]) -> Vec<u8> {
        let mut some: Vec<u8> = pulses.iter().copied().filter(|_| self.below(2) == 1).collect();
        some.truncate(PULSES_OF_JOB_MAX);
        some
    }

    /// One parameter of a job that runs gets a value that it does not have.
    fn change(&mut self) -> Action {
        let slot = *self.pick(&self.changeable(|job| !job.changes.is_empty()));
        let plan = self.plan;
        let changes: Vec<(&String, &Vec<String>)> = plan.jobs[self.slots[&slot].job].changes.iter().collect();
        let (name, values) = *self.pick(&changes);
        let others: Vec<&String> =
            values.iter().filter(|value| self.slots[&slot].parameters.get(name) != Some(value)).collect();
        let value = if others.is_empty() { values[0].clone() } else { (*self.pick(&others)).clone() };
        if let Some(running) = self.slots.get_mut(&slot) {
            running.parameters.insert(name.clone(), value.clone());
        }
        Action::Change { slot, parameters: [(name.clone(), value)].into() }
    }

    /// A job that runs gets other pulses than it has.
    fn change_pulses(&mut self) -> Action {
        let slot = *self.pick(&self.changeable(|job| !job.pulses.is_empty()));
        let plan = self.plan;
        let all = &plan.jobs[self.slots[&slot].job].pulses;
        let mut pulses = self.some_of(all);
        if pulses == self.slots[&slot].pulses {
            // One more, or one less.
            let one = *self.pick(all);
            match pulses.iter().position(|pulse| *pulse == one) {
                Some(place) => drop(pulses.remove(place)),
                None => pulses.push(one),
            }
            pulses.sort_unstable();
            pulses.truncate(PULSES_OF_JOB_MAX);
        }
        if let Some(running) = self.slots.get_mut(&slot) {
            running.pulses.clone_from(&pulses);
        }
        Action::Pulses { slot, pulses }
    }

    fn define(&mut self, number: u8) -> Action {
        let plan = self.plan;
        let found = plan.pulses.iter().find(|pulse| pulse.number == number).expect("the number is the plan's");
        let (block, free) = (self.between(found.block), self.between(found.free));
        let phase_ms = self.below(milliseconds(block + free));
        Action::Pulse { pulse: number, block_ms: milliseconds(block), free_ms: milliseconds(free), phase_ms }
    }
}

impl Iterator for Sequence<'_> {
    type Item = Decision;

    fn next(&mut self) -> Option<Decision> {
        let (at, action) = self.decide();
        self.number += 1;
        Some(Decision { number: self.number, at_ms: milliseconds(at), action })
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = short(Duration::from_millis(self.at_ms));
        write!(formatter, "{at:>8}  {}", self.action)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { slot, job, processes, seed, parameters, pulses } => {
                write!(formatter, "start  #{slot} {job}: {processes} processes, seed {seed}")?;
                if !pulses.is_empty() {
                    write!(formatter, ", pulses {}", listed(pulses))?;
                }
                parameters.iter().try_for_each(|(name, value)| write!(formatter, ", {name}={value}"))
            }
            Self::Stop { slot } => write!(formatter, "stop   #{slot}"),
            Self::Change { slot, parameters } => {
                write!(formatter, "change #{slot}:")?;
                parameters.iter().try_for_each(|(name, value)| write!(formatter, " {name}={value}"))
            }
            Self::Pulses { slot, pulses } if pulses.is_empty() => write!(formatter, "pulses #{slot}: none"),
            Self::Pulses { slot, pulses } => write!(formatter, "pulses #{slot}: {}", listed(pulses)),
            Self::Pulse { pulse, block_ms, free_ms, phase_ms } => {
                write!(formatter, "pulse  {pulse}: block {block_ms}ms, free {free_ms}ms, phase {phase_ms}ms")
            }
        }
    }
}

fn listed(pulses: &[u8]) -> String {
    pulses.iter().map(u8::to_string).collect::<Vec<_>>().join(",")
}
