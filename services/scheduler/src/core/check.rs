//! Invariants of the state, for tests and the simulation: what is derived agrees with what it is derived from.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::{Dpid, JobNumber, MachineId, PoolTime, ProcessState, ResourceKind, Verdict};
use muster_proto::process_digest;

use super::check_plan::check_plan;
use super::errand;
use super::job::{Counts, Job, Member, Process};
use super::limits::{ERRANDS_MAX, FIRINGS_MAX, ROUNDS_MAX, ROUNDS_OPEN_MAX, TEST_EVENTS_MAX};
use super::machine::{Machine, Total};
use super::state::State;

/// Checks I2 and I8 as far as a state shows them, counts, digests, places and indexes.
///
/// # Errors
/// The first thing that does not hold.
pub fn check(state: &State) -> Result<(), String> {
    for (number, job) in &state.jobs {
        check_job(state, *number, job)?;
    }
    for (dpid, process) in &state.processes {
        check_process(state, *dpid, process)?;
        check_errands(state, *dpid, process)?;
    }
    for (id, machine) in &state.machines {
        check_machine(state, id, machine)?;
    }
    state.pool.check(&state.machines)?;
    ensure(state.firings.len() <= FIRINGS_MAX, || format!("{} firings are remembered (I12)", state.firings.len()))?;
    let events = state.test_events.kept.len();
    ensure(events <= TEST_EVENTS_MAX, || format!("{events} events of tests are remembered (I12)"))?;
    let ended: usize =
        state.jobs.values().filter(|job| job.ended != PoolTime::NEVER).map(|job| job.processes as usize).sum();
    ensure(ended == state.ended_processes, || {
        format!("{} processes of ended jobs are counted, there are {ended}", state.ended_processes)
    })
}

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(message()) }
}

/// Who has ended has no errand that was not told so, and nobody has too many.
fn check_errands(state: &State, dpid: Dpid, process: &Process) -> Result<(), String> {
    let count = process.errands.len();
    ensure(count <= 2 * ERRANDS_MAX, || format!("{dpid} has {count} errands (I12)"))?;
    let bound = errand::bound_to(state, dpid).into_iter().filter(|_| process.state.is_final());
    for job in bound {
        let told = state.jobs.get(&job).is_none_or(|job| job.stopping);
        ensure(told, || format!("{dpid} has ended, and its errand {job} was not told to"))?;
    }
    Ok(())
}

fn check_job(state: &State, number: JobNumber, job: &Job) -> Result<(), String> {
    let (mut by_state, mut by_verdict, mut ran, mut count) = (Counts::default(), [0; Verdict::ALL.len()], 0, 0);
    let mut parts = BTreeMap::<MachineId, Counts>::new();
    for (_, process) in state.processes_of(number) {
        by_state.add(process.state);
        parts.entry(process.machine.clone()).or_default().add(process.state);
        ran += u32::from(process.running != PoolTime::NEVER);
        by_verdict[process.verdict as usize] += u32::from(process.state.is_final());
        count += 1;
    }
    let counted = (by_state, by_verdict, ran, count);
    let kept = (job.by_state, job.by_verdict, job.ran, job.processes);
    ensure(counted == kept, || format!("job {number} counts {kept:?}, its processes are {counted:?}"))?;
    ensure(parts == job.parts, || format!("job {number} counts machines wrongly"))?;
    check_gangs(state, number, job)?;
    if let Some(plan) = job.plan.as_deref() {
        check_plan(state, job, plan)?;
    }
    ensure(job.rounds.len() <= ROUNDS_MAX && job.open_rounds().count() <= ROUNDS_OPEN_MAX, || {
        format!("job {number} has {} rounds (I12)", job.rounds.len())
    })?;
    for (key, round) in job.open_rounds() {
        ensure(state.awaited(number, round).next().is_some(), || {
            format!("nobody is awaited at {key} of job {number}")
        })?;
    }
    let is_over = job.is_over();
    ensure(is_over == (job.ended != PoolTime::NEVER), || {
        format!("job {number} is over: {is_over}, ended {:?} (I2)", job.ended)
    })?;
    ensure(is_over == state.ended.contains(&(job.ended, number)), || {
        format!("job {number} is not listed as it ended")
    })?;
    let all_ran = ran == count && job.plan.is_none();
    ensure(all_ran == (job.all_running != PoolTime::NEVER), || format!("job {number} all ran: {all_ran}"))?;
    ensure(number <= state.last_job, || format!("job {number} is above the last one"))
}

/// Every gang is whole, and its members are on different machines.
fn check_gangs(state: &State, number: JobNumber, job: &Job) -> Result<(), String> {
    let members = state.processes_of(number).filter(|(_, process)| process.member.is_some()).count();
    let seats: usize = job.gangs.iter().map(Vec::len).sum();
    ensure(members == seats, || format!("job {number} has {members} members, which are no gangs"))?;
    for (index, gang) in job.gangs.iter().enumerate() {
        // Gangs of a plan are numbered by their first process.
        let Some(first) = gang.first() else { continue };
        let roles = job.spec_of(*first).module.roles.len();
        let mut machines = BTreeSet::new();
        for (role, process) in gang.iter().enumerate() {
            let expected = Member { gang: index as u32 + 1, role: role as u32 };
            let found = state.processes.get(&Dpid { job: number, process: *process });
            let Some(found) = found.filter(|process| process.member == Some(expected)) else {
                return Err(format!("job {number} lacks role {role} of gang {}", index + 1));
            };
            ensure(machines.insert(&found.machine), || {
                format!("gang {} of job {number} is twice on {}", index + 1, found.machine)
            })?;
        }
        ensure(gang.len() == roles, || format!("gang {} of job {number} has {} members", index + 1, gang.len()))?;
    }
    Ok(())
}

fn check_process(state: &State, dpid: Dpid, process: &Process) -> Result<(), String> {
    let is_final = process.state.is_final();
    ensure(is_final == (process.ended != PoolTime::NEVER), || {
        format!("{dpid} is {} and ended {:?} (I8)", process.state, process.ended)
    })?;
    let is_granted = process.expected.as_ref().is_some_and(|expected| expected.is_granted());
    ensure(is_granted == (process.state == ProcessState::Away), || {
        format!("{dpid} is {} and its machine may go away: {is_granted}", process.state)
    })?;
    ensure(state.jobs.contains_key(&dpid.job), || format!("{dpid} has no job"))?;
    let needed = state.jobs[&dpid.job].spec_of(dpid.process).module.resources_each();
    ensure(process.resources.len() == needed, || {
        format!("{dpid} has {} of {needed} resources", process.resources.len())
    })?;
    let Some(machine) = state.machines.get(&process.machine) else {
        return Err(format!("{dpid} is on {}, which is not known", process.machine));
    };
    ensure(machine.live.contains(&dpid) != is_final, || {
        format!("{dpid} is {} and live on its machine wrongly", process.state)
    })?;
    ensure(machine.orders.contains(&(process.changed, dpid)), || format!("{dpid} has no order on its machine"))?;
    ensure(process.changed <= machine.generation, || format!("{dpid} changed after its machine's generation"))?;
    let left_behind = !is_final && process.epoch < machine.seen.epoch;
    ensure(!left_behind || process.stop.is_some(), || {
        format!("{dpid} lives in an old epoch and was not told to stop (I7)")
    })
}

fn check_machine(state: &State, id: &MachineId, machine: &Machine) -> Result<(), String> {
    let mut digest = 0;
    for dpid in &machine.live {
        let process = state.processes.get(dpid).ok_or_else(|| format!("{dpid} lives on {id} and is not known"))?;
        ensure(process.machine == *id, || format!("{dpid} lives on {id} and {}", process.machine))?;
        digest ^= process_digest(&state.identity(*dpid, process));
    }
    let away = machine.live.iter().filter(|dpid| state.processes[dpid].state == ProcessState::Away).count();
    ensure(away == machine.away as usize, || format!("{id} counts {} that are away, there are {away}", machine.away))?;
    ensure(digest == machine.digest, || format!("the digest of {id} is wrong"))?;
    let used = state.used(machine);
    let places = machine.places.iter().all(|place| used.get(&place.id).copied().unwrap_or(0) == place.used_milli);
    ensure(places, || format!("places of {id} are counted wrongly"))?;
    for kind in ResourceKind::ALL {
        let of_kind = || machine.places.iter().filter(|place| place.kind == kind);
        let total = Total {
            count: of_kind().count() as u32,
            capacity_milli: of_kind().map(|place| u64::from(place.load) * 1000).sum(),
            used_milli: of_kind().map(|place| place.used_milli).sum(),
        };
        ensure(total == machine.total(kind), || format!("the {} places of {id} add up wrongly", kind.as_str()))?;
    }
    for (number, arm) in &machine.arms {
        let holds = arm.spec.number == *number && arm.epoch == machine.seen.epoch;
        ensure(holds, || format!("{id} is armed for trigger {number} in another epoch (I4)"))?;
        ensure(arm.id.position <= machine.generation, || format!("{id} was armed after its generation"))?;
    }
    let orders = machine.orders.iter().all(|(at, dpid)| {
        state.processes.get(dpid).is_some_and(|process| process.changed == *at && process.machine == *id)
    });
    ensure(orders, || format!("{id} has orders that are nobody's"))
}
