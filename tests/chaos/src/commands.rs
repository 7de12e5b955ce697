//! What is asked for as it goes over the wire, and what an answer says.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_bus::subjects::Service;
use muster_proto::v1::{
    self, envelope::Body, job_command, job_reply, machine_command, reservation_command, reservation_reply,
};

use crate::load::{Act, Work, Wrong};

/// A job and a reservation that there never was.
const NEVER: u32 = 60_000;
/// The machine that nobody can reserve.
const ALWAYS_THE_POOLS: &str = "node-1";
/// Machines have so long to be vacated for a reservation.
const DRAIN: Duration = Duration::from_secs(3);

/// A command and whom it is given to.
pub(crate) type Command = (Service, Body);

/// The form of an act; none where what it refers to was not made. `made` has what earlier acts made, by their number.
pub(crate) fn command(act: &Act, made: &BTreeMap<u32, u64>) -> Option<Command> {
    let job_of = |number: &u32| made.get(number).and_then(|job| u32::try_from(*job).ok());
    Some(match act {
        Act::Start { work, processes, machine, reserved, pulse } => {
            let reservation = match reserved {
                Some(number) => *made.get(number)?,
                None => 0,
            };
            let selector = machine.map(|machine| format!("node-{machine}")).unwrap_or_default();
            let (module, parameters) = work_of(*work);
            let pulses = pulse.iter().copied().collect();
            start(v1::Start { processes: *processes, selector, reservation, pulses, parameters, ..started(module) })
        }
        Act::Stop { start, grace_ms } => {
            let jobs = vec![job_of(start)?];
            job(job_command::Kind::Stop(v1::Stop { jobs, grace_ms: *grace_ms, ..Default::default() }))
        }
        Act::Set { start, work } => {
            let parameters = vec![match work {
                Work::Idle | Work::Finite(_) => parameter("metrics", "500ms".into()),
                Work::Files => parameter("iops_max", "8".into()),
            }];
            job(job_command::Kind::ChangeJob(v1::ChangeJob { job: job_of(start)?, pulses: None, parameters }))
        }
        Act::Reserve { machines, lasts } => reservation(reservation_command::Kind::Reserve(v1::Reserve {
            count: *machines,
            selector: format!("not name={ALWAYS_THE_POOLS}"),
            duration_ns: nanoseconds(*lasts),
            drain_ns: nanoseconds(DRAIN),
            ..Default::default()
        })),
        Act::Extend { reserve, by } => {
            let (reservation_number, by_ns) = (*made.get(reserve)?, nanoseconds(*by));
            let extend = v1::Extend { reservation: reservation_number, by_ns, ..Default::default() };
            reservation(reservation_command::Kind::Extend(extend))
        }
        Act::CheckIn { reserve } => check_in(*made.get(reserve)?),
        Act::SetPulse { number, half_ms } => {
            let half = half_ms * 1_000_000;
            let pulse = v1::Pulse { number: *number, block_ns: half, free_ns: half, phase_ns: 0 };
            job(job_command::Kind::SetPulse(v1::SetPulse { pulse: Some(pulse) }))
        }
        Act::Arm { number } => job(job_command::Kind::ArmTrigger(v1::ArmTrigger {
            number: *number,
            selector: "*".into(),
            action: v1::TriggerAction::DumpHistory.into(),
            ..Default::default()
        })),
        Act::Fire { number } => {
            job(job_command::Kind::FireTrigger(v1::FireTrigger { number: *number, ..Default::default() }))
        }
        Act::Maintenance { machine, on } => maintenance(&format!("node-{machine}"), *on),
        Act::Wrong(wrong) => wrong_command(*wrong),
    })
}

/// It decides something whenever it is taken: an answer without a decision in the log is a lie.
pub(crate) fn always_decides(act: &Act) -> bool {
    matches!(act, Act::Start { .. } | Act::Reserve { .. } | Act::Fire { .. } | Act::Arm { .. })
}

/// What is asked for at the end: that everything stops and is given back.
pub(crate) fn endings(made: &BTreeMap<u32, (Act, u64)>) -> Vec<Command> {
    let stop = v1::Stop { all: true, grace_ms: 3_000, ..Default::default() };
    let disarm = v1::DisarmTriggers { all: true, ..Default::default() };
    let mut commands = vec![
        job(job_command::Kind::Stop(stop)),
        job(job_command::Kind::DisarmTriggers(disarm)),
        maintenance("*", false),
    ];
    let reserved = made.values().filter(|(act, _)| matches!(act, Act::Reserve { .. }));
    commands.extend(reserved.map(|(_, number)| check_in(*number)));
    commands
}

/// Number of the job or reservation that an answer says was made.
pub(crate) fn made(body: &Body) -> Option<u64> {
    match body {
        Body::JobReply(v1::JobReply { kind: Some(job_reply::Kind::Started(started)) }) => Some(started.job.into()),
        Body::ReservationReply(v1::ReservationReply { kind: Some(reservation_reply::Kind::Reservation(record)) }) => {
            Some(record.reservation)
        }
        _ => None,
    }
}

/// The firing that an answer tells of, which the person who fired publishes.
pub(crate) fn fired(body: &Body) -> Option<&v1::TriggerFired> {
    match body {
        Body::JobReply(v1::JobReply { kind: Some(job_reply::Kind::Fired(fired)) }) => fired.fired.as_ref(),
        _ => None,
    }
}

fn work_of(work: Work) -> (&'static str, Vec<v1::KeyValue>) {
    match work {
        Work::Idle => ("idle", Vec::new()),
        Work::Finite(lasts) => ("idle", vec![parameter("exit_after", format!("{}ms", lasts.as_millis()))]),
        Work::Files => {
            let small = [("file_size", "64KiB"), ("block_size", "4KiB"), ("iops_max", "4")];
            ("high-io", small.map(|(name, value)| parameter(name, value.into())).into())
        }
    }
}

fn wrong_command(wrong: Wrong) -> Command {
    match wrong {
        Wrong::Module => start(v1::Start { processes: 1, ..started("nonesuch") }),
        Wrong::Machine => start(v1::Start { processes: 1, selector: "elsewhere".into(), ..started("idle") }),
        Wrong::Job => job(job_command::Kind::Stop(v1::Stop { jobs: vec![NEVER], ..Default::default() })),
        Wrong::Reservation => check_in(NEVER.into()),
    }
}

fn started(module: &str) -> v1::Start {
    v1::Start { module: module.into(), ..Default::default() }
}

fn start(start: v1::Start) -> Command {
    job(job_command::Kind::Start(start))
}

fn check_in(number: u64) -> Command {
    let check_in = v1::CheckIn { reservation: number, ..Default::default() };
    reservation(reservation_command::Kind::CheckIn(check_in))
}

fn maintenance(selector: &str, value: bool) -> Command {
    let flag = v1::MachineFlag::Maintenance as u32;
    let set = machine_command::Kind::SetFlag(v1::SetFlag { selector: selector.into(), flag, value });
    (Service::MachineLifecycle, Body::MachineCommand(v1::MachineCommand { kind: Some(set) }))
}

fn job(kind: job_command::Kind) -> Command {
    (Service::Scheduler, Body::JobCommand(v1::JobCommand { kind: Some(kind), ..Default::default() }))
}

fn reservation(kind: reservation_command::Kind) -> Command {
    (Service::Reservation, Body::ReservationCommand(v1::ReservationCommand { kind: Some(kind), master: None }))
}

fn parameter(key: &str, value: String) -> v1::KeyValue {
    v1::KeyValue { key: key.into(), value }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
