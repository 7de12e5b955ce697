//! What must hold once everything has settled, what must hold at every deadline, and what the logs must say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_machine_lifecycle::core::{Holder, Stage as Change};
use muster_model::{MachineId, PoolTime, ProcessId};
use muster_proto::v1::{self, cause::Kind, job_event, reservation_event};
use muster_reservation::core::Stage;
use muster_scheduler::wire::pulses::to_wire;
use prost::Message;

use crate::clock::SKEW_MAX;
use crate::plans;
use crate::service::{Stream, Streams};
use crate::world::{Phase, World};

/// I5: a reservation outlives its deadline by at most so much, when nothing is wrong,
const ONLINE_MAX: Duration = Duration::from_secs(10);
/// and faults have been over for so long.
const CALM_FOR: Duration = Duration::from_secs(60);

type Checked = Result<(), String>;

/// I5: deadlines are kept.
pub(crate) fn watch_deadlines(world: &World) -> Checked {
    let Some(state) = world.reservations.state() else { return Ok(()) };
    let calm_since = world.calm_since();
    for reservation in state.reservations() {
        let Some(grant) = reservation.grant() else { continue };
        // The clocks of who decides and of who obeys are wrong in opposite directions at worst.
        let over_at = grant.deadline + ONLINE_MAX + SKEW_MAX * 2;
        let is_calm = calm_since.is_some_and(|since| since + CALM_FOR <= grant.deadline);
        if !is_calm || !over_at.is_due(world.now) {
            continue;
        }
        if let Stage::Ready(_) = reservation.stage {
            return Err(format!("I5: reservation {} is not ended {ONLINE_MAX:?} after its deadline", reservation.id));
        }
        let late = world.truth.alive().find(|(_, fork)| fork.reservation == reservation.id.0);
        if let Some((id, fork)) = late {
            return Err(format!(
                "I5: {id} of reservation {} lives on m{} after its deadline",
                reservation.id, fork.machine
            ));
        }
    }
    Ok(())
}

/// I10: an agent that has the log's generation has the log's pulses.
pub(crate) fn watch_pulses(world: &World) -> Checked {
    let Some(jobs) = world.jobs.state() else { return Ok(()) };
    for agent in &world.agents {
        let name = agent.name();
        let Some(machine) = jobs.machines.get(name.as_str()) else { continue };
        let (generation, has) = agent.pulses();
        if generation != machine.generation {
            continue;
        }
        let pulses = jobs.pulses_on(machine);
        let wanted: Vec<v1::Pulse> = pulses.iter().map(|(number, pulse)| to_wire(*number, pulse)).collect();
        if has != wanted {
            return Err(format!("I10: {name} has the pulses {has:?} at {generation:?}, by JOBS {wanted:?}"));
        }
    }
    Ok(())
}

/// I9, I10: everything is at rest, and everybody agrees.
pub(crate) fn settled(world: &World) -> Checked {
    if let Some(user) = world.users.iter().position(|user| !user.is_quiet()) {
        return Err(format!("user {user} waits for an answer"));
    }
    let (Some(reservations), Some(machines), Some(jobs)) =
        (world.reservations.state(), world.machines.state(), world.jobs.state())
    else {
        return Err("a service is down".into());
    };
    if let Some(open) = reservations.open().next() {
        return Err(format!("reservation {} is open: {:?}", open.id, open.stage));
    }
    if let Some((number, job)) = jobs.jobs.iter().find(|(_, job)| job.ended == PoolTime::NEVER) {
        return Err(format!("I2: job {number} has not ended: {:?}", job.by_state));
    }
    if let Some((id, fork)) = world.truth.alive().next() {
        return Err(format!("I10: {id} is alive on m{}, and every job has ended", fork.machine));
    }
    for agent in &world.agents {
        let name = MachineId::new(&agent.name()).map_err(|error| error.to_string())?;
        let machine = machines.machines.get(&name).ok_or_else(|| format!("{name} is not known"))?;
        if machine.tenure.stage != Change::Settled || machine.tenure.holder != Holder::Pool || machine.down {
            return Err(format!("{name}: {:?}, down: {}", machine.tenure, machine.down));
        }
        if !agent.is_settled() {
            return Err(format!("the agent of {name} is not settled"));
        }
        agree(&agent.account(), &name, machine, jobs)?;
        let seen = reservations.machine(&name).ok_or_else(|| format!("{name} is not known to reservation"))?;
        if (seen.epoch, seen.fenced, seen.down) != (machine.epoch, machine.fenced_epoch, machine.down) {
            return Err(format!("I10: reservation sees {name} as {seen:?}"));
        }
    }
    Ok(())
}

/// I10: an agent, machine-lifecycle and the scheduler agree about one machine.
fn agree(
    (fenced, incarnation, live): &(muster_model::Epoch, u64, Vec<ProcessId>),
    name: &MachineId,
    machine: &muster_machine_lifecycle::core::Machine,
    jobs: &muster_scheduler::core::State,
) -> Checked {
    if *fenced != machine.epoch || *incarnation != machine.incarnation.0 {
        return Err(format!("I10: {name} has epoch {fenced} and incarnation {incarnation}, by MACHINES {machine:?}"));
    }
    if !live.is_empty() {
        return Err(format!("I10: the agent of {name} has {live:?}, and every job has ended"));
    }
    let Some(seen) = jobs.machines.get(name) else { return Err(format!("{name} is not known to the scheduler")) };
    let seen = &seen.seen;
    let by_scheduler = (seen.epoch, seen.fenced_epoch, seen.incarnation, seen.down, seen.draining, seen.reservation.0);
    let by_log = (machine.epoch, machine.fenced_epoch, machine.incarnation, machine.down, false, 0);
    if by_scheduler == by_log {
        Ok(())
    } else {
        Err(format!("I10: the scheduler sees {name} as {by_scheduler:?}, MACHINES says {by_log:?}"))
    }
}

/// What only the logs as a whole can tell.
pub(crate) fn check_logs(world: &World) -> Checked {
    for log in Stream::LOGS {
        check_causes(&world.streams, log)?;
    }
    plans::check(events(&world.streams, Stream::Jobs))?;
    check_answers(world)
}

/// Every command is decided once, every followed message is taken once, in order, and time never goes back.
fn check_causes(streams: &Streams, log: Stream) -> Checked {
    let mut commands = BTreeSet::new();
    let mut followed = BTreeMap::new();
    let mut time_ns = 0;
    for entry in streams.of(log).iter().flat_map(|stored| &stored.entries) {
        if entry.time_ns < time_ns {
            return Err(format!("the time of {} goes back from {time_ns} to {}", log.name(), entry.time_ns));
        }
        time_ns = entry.time_ns;
        match entry.cause.as_ref().and_then(|cause| cause.kind.as_ref()) {
            Some(Kind::Command(id)) if !commands.insert(id.clone()) => {
                return Err(format!("a command was decided twice in {}", log.name()));
            }
            Some(Kind::Followed(note)) => {
                let sequence = note.position.map_or(0, |position| position.sequence);
                let before = followed.insert(note.stream.clone(), sequence).unwrap_or(0);
                if sequence < before {
                    return Err(format!("{} took {} {sequence} after {before}", log.name(), note.stream));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// I2: what was answered is in the log, once.
fn check_answers(world: &World) -> Checked {
    let jobs: BTreeSet<u32> = events::<v1::JobEvent>(&world.streams, Stream::Jobs)
        .filter_map(|event| match event.kind {
            Some(job_event::Kind::JobStarted(started)) => started.spec.map(|spec| spec.job),
            Some(job_event::Kind::PlanStarted(plan)) => Some(plan.job),
            _ => None,
        })
        .collect();
    let reservations: BTreeSet<u64> = events::<v1::ReservationEvent>(&world.streams, Stream::Reservations)
        .filter(|event| matches!(event.kind, Some(reservation_event::Kind::Queued(_))))
        .map(|event| event.reservation)
        .collect();
    let (mut jobs_answered, mut reservations_answered) = (BTreeSet::new(), BTreeSet::new());
    for user in &world.users {
        for job in &user.accepted {
            if !jobs.contains(job) || !jobs_answered.insert(*job) {
                return Err(format!("I2: job {job} was answered, and is not in the log, or another one's"));
            }
        }
        for id in &user.reserved {
            if !reservations.contains(id) || !reservations_answered.insert(*id) {
                return Err(format!("I2: reservation {id} was answered, and is not in the log, or another one's"));
            }
        }
    }
    Ok(())
}

/// How many reservations were handed over.
pub(crate) fn handed_over(streams: &Streams) -> usize {
    let ready = |event: &v1::ReservationEvent| matches!(event.kind, Some(reservation_event::Kind::Ready(_)));
    events::<v1::ReservationEvent>(streams, Stream::Reservations).filter(ready).count()
}

fn events<M: Message + Default>(streams: &Streams, log: Stream) -> impl Iterator<Item = M> {
    let entries = streams.of(log).iter().flat_map(|stored| &stored.entries);
    entries.flat_map(|entry| &entry.events).filter_map(|bytes| M::decode(bytes.clone()).ok())
}

impl World {
    /// Since when nothing goes wrong.
    fn calm_since(&self) -> Option<PoolTime> {
        (self.phase != Phase::Faults).then_some(self.healed)
    }
}
