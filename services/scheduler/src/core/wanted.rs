//! What is to be done outside, by state alone: bring each agent that is heard to its machine's generation, and ask the ones whose
//! processes differ from the log.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use muster_ledger::Scope;
use muster_model::{Dpid, Epoch, JobNumber, MachineId, PoolTime, Position, ProcessId, ProcessNumber};

use super::input::{Desired, Effect, GangOrder, Key, KnownProcess, Order, Orders, Update};
use super::job::{Member, Process};
use super::limits::UPDATE_MAX_BYTES;
use super::machine::Machine;
use super::observed::{Agent, Observed, unwanted};
use super::state::State;
use super::trigger::{Arm, ArmSpec};

/// Effects for every machine of a scope.
pub(super) fn wanted(state: &State, observed: &Observed, scope: Scope<'_, Key>, now: PoolTime) -> Vec<Effect> {
    let mut effects = Vec::new();
    match scope {
        Scope::Full => {
            state.machines.values().for_each(|machine| for_machine(state, observed, machine, now, &mut effects))
        }
        Scope::Keys(keys) => {
            for key in keys {
                let Key::Machine(id) = key else { continue };
                let Some(machine) = state.machines.get(id) else { continue };
                for_machine(state, observed, machine, now, &mut effects);
            }
        }
    }
    effects
}

fn for_machine(state: &State, observed: &Observed, machine: &Machine, now: PoolTime, effects: &mut Vec<Effect>) {
    let Some(agent) = observed.agent(&machine.seen.machine) else { return };
    // An agent of another incarnation than MACHINES names is about to say hello, and gets the whole list then.
    if !agent.is_heard_in(machine.seen.incarnation, now) {
        return;
    }
    let Some(acknowledged) = agent.acknowledged else { return };
    if machine.generation > acknowledged || !agent.strays.is_empty() || !agent.forgettable.is_empty() {
        effects.push(Effect::SendUpdate(Box::new(update(state, machine, agent, acknowledged))));
    } else if agent.differs() {
        let seen = &machine.seen;
        let (machine, epoch, incarnation) = (seen.machine.clone(), seen.epoch, seen.incarnation);
        effects.push(Effect::ListKnown { machine, epoch, incarnation });
    }
}

fn update(state: &State, machine: &Machine, agent: &Agent, acknowledged: Position) -> Update {
    let mut desired = changed_since(state, machine, acknowledged);
    desired.pulses = state.pulses_on(machine);
    desired.strays.extend(&agent.strays);
    desired.forget.extend(&agent.forgettable);
    desired.arms = arms_of(machine);
    Update {
        machine: machine.seen.machine.clone(),
        epoch: machine.seen.epoch,
        incarnation: machine.seen.incarnation,
        builds_on: acknowledged,
        generation: machine.generation.max(acknowledged),
        desired,
        told: agent.strays.iter().chain(&agent.forgettable).copied().collect(),
    }
}

/// Orders that changed after a generation, and identities that ended after it.
fn changed_since(state: &State, machine: &Machine, generation: Position) -> Desired {
    let last = Dpid { job: JobNumber(u32::MAX), process: ProcessNumber(u32::MAX) };
    let newer = (Bound::Excluded((generation, last)), Bound::Unbounded);
    let mut collected = Collected::default();
    for (_, dpid) in machine.orders.range(newer) {
        collected.add(state, *dpid, &state.processes[dpid]);
    }
    collected.into_desired(state)
}

/// The whole desired list of a machine, as a hello is answered, with what the agent knows and the log does not want.
#[must_use]
pub fn desired(state: &State, machine: &MachineId, known: &[KnownProcess]) -> (Position, Desired) {
    let (strays, forget) = unwanted(state, machine, known);
    let Some(found) = state.machines.get(machine) else {
        return (Position::default(), Desired { strays, forget, ..Desired::default() });
    };
    let mut collected = Collected::default();
    for dpid in &found.live {
        collected.add(state, *dpid, &state.processes[dpid]);
    }
    let mut desired = collected.into_desired(state);
    (desired.strays, desired.forget, desired.arms) = (strays, forget, arms_of(found));
    desired.pulses = state.pulses_on(found);
    (found.generation, desired)
}

fn arms_of(machine: &Machine) -> Vec<Arm> {
    machine.arms.values().cloned().collect()
}

/// What a member of a gang is told of it: every member, and where it is.
fn gang_order(state: &State, job: JobNumber, member: Member) -> GangOrder {
    let members = state.gang(job, member).map(|(dpid, mate)| (dpid.process, mate.attempt, mate.machine.clone()));
    GangOrder { member, members: members.collect() }
}

/// Orders by what they have in common; of a plan, by the first process number of their part too.
#[derive(Default)]
struct Collected {
    orders: BTreeMap<(JobNumber, ProcessNumber, Epoch, Position), Vec<Order>>,
    forget: Vec<ProcessId>,
}

impl Collected {
    fn add(&mut self, state: &State, dpid: Dpid, process: &Process) {
        if process.state.is_final() {
            self.forget.push(state.identity(dpid, process));
            return;
        }
        let order = Order {
            process: dpid.process,
            attempt: process.attempt,
            resources: process.resources.clone(),
            stop: process.stop.as_ref().map(|stop| stop.grace),
            gang: process.member.map(|member| gang_order(state, dpid.job, member)),
            expected: process.expected.clone(),
            errands: process.errands.iter().map(|(name, errand)| (name.clone(), errand.clone())).collect(),
            synced: process.arrival.as_ref().and_then(|arrival| state.answer(dpid.job, arrival)).map(Box::new),
        };
        let plan = state.jobs[&dpid.job].plan.as_ref();
        let part = plan.and_then(|plan| plan.first_of_part(dpid.process)).unwrap_or(ProcessNumber(1));
        self.orders.entry((dpid.job, part, process.epoch, process.machine_generation)).or_default().push(order);
    }

    fn into_desired(self, state: &State) -> Desired {
        let orders = self.orders.into_iter().map(|((job, part, epoch, machine_generation), mut processes)| {
            processes.sort_by_key(|order| order.process);
            Orders { spec: Arc::clone(state.jobs[&job].spec_of(part)), epoch, machine_generation, processes }
        });
        Desired { orders: orders.collect(), forget: self.forget, ..Desired::default() }
    }
}

/// Bytes that an order takes on the wire, at most.
fn size_of(order: &Order) -> usize {
    let members = order.gang.iter().flat_map(|gang| &gang.members);
    let members: usize = members.map(|(_, _, machine)| machine.as_str().len() + 20).sum();
    let refused = order.expected.as_ref().map_or(0, |expected| 24 + expected.refused.len());
    let synced = order.synced.as_ref().map_or(0, |answer| {
        let why = match &answer.told {
            Ok(outcome) => outcome.end.why().len() + outcome.no_voters.len() * 5,
            Err(why) => why.len(),
        };
        48 + answer.round.name.len() + why
    });
    let errands: usize = order.errands.iter().map(|(name, errand)| errand.size(name)).sum();
    48 + members
        + refused
        + synced
        + errands
        + order.resources.iter().map(|resource| resource.as_str().len() + 4).sum::<usize>()
}

/// Bytes that what a job has in common takes on the wire, about.
fn size_of_spec(orders: &Orders) -> usize {
    let spec = &orders.spec;
    let parameters: usize = spec.parameters.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
    let module = &spec.module;
    let described: usize = module
        .parameters
        .iter()
        .map(|p| 64 + p.name.len() + p.default.len() + p.help.len() + p.values.concat().len())
        .sum();
    512 + module.description.len() + module.artifacts.len() * 96 + described + parameters
}

/// Bytes of an identity on the wire, at most.
const ID_BYTES: usize = 40;
/// Bytes that the definition of a pulse takes on the wire, at most.
const PULSE_BYTES: usize = 36;

impl Desired {
    /// Bytes on the wire, about, and never less than they are by more than the reserve of [`UPDATE_MAX_BYTES`].
    #[must_use]
    pub fn size(&self) -> usize {
        let orders =
            self.orders.iter().map(|orders| size_of_spec(orders) + orders.processes.iter().map(size_of).sum::<usize>());
        let arms: usize = self.arms.iter().map(|arm| arm.spec.size()).sum();
        let ids = (self.strays.len() + self.forget.len()) * ID_BYTES;
        arms + orders.sum::<usize>() + ids + self.pulses.len() * PULSE_BYTES
    }

    /// It fits one message.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.size() <= UPDATE_MAX_BYTES
    }

    /// Parts that fit one message each; at least one. Each has all pulses and all arms: a list without one would mean that it is free,
    /// or not armed.
    #[must_use]
    pub fn split(self) -> Vec<Self> {
        let empty = Self { pulses: self.pulses.clone(), arms: self.arms.clone(), ..Self::default() };
        let least = empty.size();
        let (mut parts, mut size) = (vec![empty.clone()], least);
        let make_room = |parts: &mut Vec<Self>, needed: usize, size: &mut usize| {
            if *size + needed > UPDATE_MAX_BYTES && *size > least {
                parts.push(empty.clone());
                *size = least;
            }
            *size += needed;
        };
        for orders in self.orders {
            let spec = size_of_spec(&orders);
            for order in orders.processes {
                make_room(&mut parts, size_of(&order), &mut size);
                let part = parts.last_mut().expect("never empty");
                let same = part.orders.last().is_some_and(|last| {
                    Arc::ptr_eq(&last.spec, &orders.spec)
                        && (last.epoch, last.machine_generation) == (orders.epoch, orders.machine_generation)
                });
                if !same {
                    size += spec;
                    part.orders.push(Orders { spec: orders.spec.clone(), processes: Vec::new(), ..orders });
                }
                part.orders.last_mut().expect("pushed above").processes.push(order);
            }
        }
        for (ids, forget) in [(self.strays, false), (self.forget, true)] {
            for id in ids {
                make_room(&mut parts, ID_BYTES, &mut size);
                let part = parts.last_mut().expect("never empty");
                if forget { part.forget.push(id) } else { part.strays.push(id) }
            }
        }
        parts
    }
}

impl ArmSpec {
    /// Bytes that an arm takes on the wire, at most.
    #[must_use]
    pub(super) fn size(&self) -> usize {
        let machines: usize = self.from_machines.iter().map(|machine| machine.as_str().len() + 2).sum();
        96 + machines + self.from_jobs.len() * 5
    }
}
