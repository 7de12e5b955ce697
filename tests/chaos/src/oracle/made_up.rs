//! A run that was made up for tests: one job of one process that finished, and one reservation that is over.

use bytes::Bytes;
use muster_model::{Attempt, CommandId, Dpid, JobNumber, PoolTime, Position, ProcessId, ProcessNumber, RunId};
use muster_proto::v1::{self, Cause, Entry, ProcessState, cause, job_event, reservation_event};
use prost::Message as _;

use crate::facts::{Answer, Counts, Facts, Given, Intent, Log, Machine, Message, Started};
use crate::load::{Act, Work};
use crate::oracle::judge;

const BEGUN: i64 = 1_000_000_000;
const ID: [u8; 16] = [7; 16];

/// Nothing is wrong with it.
pub(crate) fn good() -> Facts {
    let id =
        ProcessId { run: RunId(1), dpid: Dpid { job: JobNumber(1), process: ProcessNumber(1) }, attempt: Attempt(1) };
    let placement = placement("node-1");
    let spec = v1::StartSpec { run: 1, job: 1, ..Default::default() };
    let started = v1::JobStarted { spec: Some(spec), placements: vec![placement], ..Default::default() };
    let mut start = job_entry(vec![job_event::Kind::JobStarted(started)]);
    start.cause = Some(Cause { kind: Some(cause::Kind::Command(Bytes::copy_from_slice(&ID))) });
    let runs = job_entry(vec![change(id, ProcessState::Starting, ProcessState::Running)]);
    let ends = job_entry(vec![change(id, ProcessState::Running, ProcessState::Finished)]);
    let reserved = [
        reservation_event::Kind::Queued(v1::ReservationQueued::default()),
        granted("node-1"),
        reservation_event::Kind::Ended(v1::ReservationEnded::default()),
        reservation_event::Kind::MachineReturned(v1::ReservationMachineReturned { machine: "node-1".into() }),
    ];
    let reserved: Vec<Entry> = reserved.into_iter().map(|kind| reservation_entry(1, kind)).collect();
    let act = Act::Start { work: Work::Idle, processes: 1, machine: None, reserved: None, pulse: None };
    let answer = Answer::Acknowledged { position: Position::new(1, 1), made: Some(1) };
    let machine =
        |name: &str| Machine { name: name.into(), health: "up".into(), phase: "ready".into(), tenure: "pool".into() };
    Facts {
        begun: PoolTime(BEGUN),
        given: vec![Given { at: std::time::Duration::ZERO, id: CommandId(ID), act: Some(act), answer }],
        logs: vec![
            log("JOBS", vec![vec![start], vec![runs], vec![ends]]),
            log("MACHINES", vec![vec![own()]]),
            log("RESERVATIONS", vec![reserved]),
        ],
        started: [Started { id, machine: 1, pid: 100, ticks: 5 }].into(),
        intents: vec![Intent { machine: 1, id }],
        machines: vec![machine("node-1"), machine("node-2")],
        machines_expected: 2,
        acknowledged: Counts { samples: 10, finals: 1 },
        stored: Counts { samples: 10, finals: 1 },
        ..Facts::default()
    }
}

/// The oracle finds something that reads so.
pub(crate) fn finds(facts: &Facts, what: &str) {
    let found = judge(facts);
    assert!(found.iter().any(|violation| violation.what.contains(what)), "{what} is not among {found:?}");
}

fn log(name: &str, messages: Vec<Vec<Entry>>) -> Log {
    let mut log = Log { name: name.into(), ..Log::default() };
    let mut previous = vec![0; 32];
    for (place, entries) in messages.into_iter().enumerate() {
        let (position, hash) = (Position::new(1, place as u64 + 1), [place as u8 + 1; 32]);
        log.archived.push((position, hash.to_vec()));
        log.messages.push(Message { position, hash, previous, entries });
        previous = hash.to_vec();
    }
    log
}

fn entry(kind: cause::Kind, events: Vec<Bytes>) -> Entry {
    Entry { cause: Some(Cause { kind: Some(kind) }), events, time_ns: BEGUN + 1_000, ..Entry::default() }
}

fn own() -> Entry {
    entry(cause::Kind::Own(v1::Own {}), Vec::new())
}

/// An entry of JOBS.
pub(crate) fn job_entry(events: Vec<job_event::Kind>) -> Entry {
    let encoded = events.into_iter().map(|kind| v1::JobEvent { kind: Some(kind) }.encode_to_vec().into());
    entry(cause::Kind::Own(v1::Own {}), encoded.collect())
}

/// An entry of RESERVATIONS.
pub(crate) fn reservation_entry(reservation: u64, kind: reservation_event::Kind) -> Entry {
    let event = v1::ReservationEvent { reservation, kind: Some(kind) };
    entry(cause::Kind::Own(v1::Own {}), vec![event.encode_to_vec().into()])
}

/// An entry that takes a followed log up to a sequence.
pub(crate) fn followed(stream: &str, sequence: u64) -> Entry {
    let position = Some(v1::Position { lineage: 1, sequence });
    entry(cause::Kind::Followed(v1::Followed { stream: stream.into(), position }), Vec::new())
}

/// A change of state.
pub(crate) fn change(id: ProcessId, from: ProcessState, to: ProcessState) -> job_event::Kind {
    let change = v1::ProcessChange { id: Some(id.into()), from: from.into(), to: to.into(), ..Default::default() };
    job_event::Kind::ProcessesChanged(v1::ProcessesChanged { changes: vec![change] })
}

/// A next attempt on another machine.
pub(crate) fn replaced(id: ProcessId, machine: &str) -> job_event::Kind {
    let placement = Some(placement(machine));
    job_event::Kind::ProcessReplaced(v1::ProcessReplaced { id: Some(id.into()), placement, reason: String::new() })
}

/// A machine is granted.
pub(crate) fn granted(machine: &str) -> reservation_event::Kind {
    reservation_event::Kind::Granted(v1::ReservationGranted { machines: vec![machine.into()], ..Default::default() })
}

/// A trigger acted.
pub(crate) fn acted() -> job_event::Kind {
    job_event::Kind::TriggerActed(v1::TriggerActed { machine: "node-1".into(), ..Default::default() })
}

fn placement(machine: &str) -> v1::MachinePlacement {
    v1::MachinePlacement { machine: machine.into(), first: 1, count: 1, ..Default::default() }
}
