//! What agents say, and what they are told.

use std::time::Duration;

use muster_bus::{StoredMessage, subjects};
use muster_model::{
    Attempt, Dpid, Epoch, Incarnation, JobNumber, MachineId, Position, ProcessId, ProcessNumber, RunId,
};
use muster_proto::v1::envelope::Body;
use muster_proto::{WireError, v1};
use prost::Message;

use super::{away, bounded, errands, machine_id, milliseconds, position, pulses, sync, test_events, triggers};
use crate::core::Input;
use crate::core::input::{
    AgentRefusal, Desired, Heartbeat, Hello, KnownProcess, Order, Orders, Pinged, ProcessReport, RefusedProcess,
    Report, Reports,
};

/// Grace of a process that nobody wants: what its module says is not known here any more.
const STRAY_GRACE_MS: u64 = 10_000;

/// Turns a message of REPORTS into at most one input.
pub fn take_reports(message: &StoredMessage) -> Result<Vec<Input>, String> {
    let envelope = v1::Envelope::decode(message.payload.clone()).map_err(|error| error.to_string())?;
    let incarnation = Incarnation(envelope.incarnation);
    let Some(Body::ReportBatch(batch)) = envelope.body else { return Err("it is not a batch of reports".into()) };
    let machine = machine_id("ReportBatch", &batch.machine).map_err(|error| error.to_string())?;
    if subjects::machine_of(&message.subject).as_ref() != Some(&machine) {
        return Err(format!("it speaks for {machine} on the subject of another machine"));
    }
    let reports = batch.reports.into_iter().filter_map(report).collect();
    Ok(vec![Input::Reports(Reports { machine, incarnation, batch: batch.batch, reports })])
}

/// A report that concerns the scheduler; the others go to the store alone.
fn report(report: v1::Report) -> Option<Report> {
    match report.kind? {
        v1::report::Kind::Process(process) => Some(Report::Process(ProcessReport {
            id: process.id?.into(),
            epoch: Epoch(process.epoch),
            state: process.state().try_into().ok()?,
            verdict: process.verdict().into(),
            exit_status: process.exited.then_some(process.exit_status),
            reason: bounded(process.reason),
            pid: process.pid,
        })),
        v1::report::Kind::Fence(fence) => Some(Report::Fenced(Epoch(fence.epoch))),
        v1::report::Kind::TriggerFired(fired) => triggers::fired_report(fired).map(Box::new).map(Report::TriggerFired),
        v1::report::Kind::TriggerActed(acted) => triggers::acted_report(acted).map(Box::new).map(Report::TriggerActed),
        v1::report::Kind::AbsenceAnnounced(said) => away::report(said).map(Box::new).map(Report::Announced),
        v1::report::Kind::SyncSaid(said) => sync::report(said).map(Box::new).map(Report::Sync),
        v1::report::Kind::TestEvent(said) => test_events::report(said).map(Box::new).map(Report::TestEvent),
        v1::report::Kind::Errand(said) => errands::report(said).map(Box::new).map(Report::Errand),
        v1::report::Kind::Error(_)
        | v1::report::Kind::Corruption(_)
        | v1::report::Kind::Artifact(_)
        | v1::report::Kind::Gap(_)
        | v1::report::Kind::Final(_)
        | v1::report::Kind::Inventory(_)
        | v1::report::Kind::Storage(_) => None,
    }
}

/// A hello.
pub fn hello(incarnation: u64, hello: v1::Hello) -> Result<Hello, WireError> {
    Ok(Hello {
        machine: machine_id("Hello", &hello.machine)?,
        incarnation: Incarnation(incarnation),
        known: known(hello.processes),
        last_batch: hello.last_batch,
    })
}

/// Processes as an agent knows them; one without an identity or state is nobody's.
pub fn known(processes: Vec<v1::KnownProcess>) -> Vec<KnownProcess> {
    let known = processes.into_iter().filter_map(|process| {
        Some(KnownProcess {
            id: process.id?.into(),
            epoch: Epoch(process.epoch),
            state: process.state().try_into().ok()?,
            verdict: process.verdict().into(),
            exit_status: process.exited.then_some(process.exit_status),
            reason: bounded(process.reason),
            pid: process.pid,
        })
    });
    known.collect()
}

/// A heartbeat.
pub fn heartbeat(incarnation: u64, heartbeat: &v1::Heartbeat) -> Result<Heartbeat, WireError> {
    Ok(Heartbeat {
        machine: machine_id("Heartbeat", &heartbeat.machine)?,
        incarnation: Incarnation(incarnation),
        generation: position(heartbeat.job_generation),
        digest: heartbeat.processes_digest,
        live: heartbeat.processes_live,
        stored: heartbeat.reports_acknowledged,
        policy: heartbeat.trigger_policy.clone().map(Into::into).unwrap_or_default(),
    })
}

/// Results of pings.
pub fn pings(batch: v1::PingBatch) -> Result<(MachineId, Vec<Pinged>), WireError> {
    let machine = machine_id("PingBatch", &batch.machine)?;
    let pinged = batch.results.into_iter().filter_map(|result| {
        Some(Pinged {
            id: result.id?.into(),
            // A round trip is known from the first answer on.
            answered: result.missed == 0 && result.round_trip_us > 0,
            iterations: result.iterations,
            unchanged: Duration::from_millis(result.unchanged_ms),
        })
    });
    Ok((machine, pinged.collect()))
}

/// Single processes that an agent refused.
pub fn refused(refused: Vec<v1::RefusedProcess>) -> Vec<RefusedProcess> {
    let known = refused.into_iter().filter_map(|process| {
        let refusal = match process.refusal() {
            v1::AgentRefusal::OldEpoch => AgentRefusal::OldEpoch,
            v1::AgentRefusal::Draining => AgentRefusal::Draining,
            v1::AgentRefusal::Stale => AgentRefusal::Stale,
            v1::AgentRefusal::Protected => AgentRefusal::Protected,
            v1::AgentRefusal::Invalid => AgentRefusal::Invalid,
            // Not of a single process: the agent gets the whole list by its hello.
            v1::AgentRefusal::Unspecified
            | v1::AgentRefusal::OldTerm
            | v1::AgentRefusal::OtherGeneration
            | v1::AgentRefusal::OldIncarnation
            | v1::AgentRefusal::NoMember
            | v1::AgentRefusal::NotSigned => return None,
        };
        Some(RefusedProcess { id: process.id?.into(), refusal, detail: bounded(process.detail) })
    });
    known.collect()
}

/// The whole desired list.
pub fn job_desired(generation: Position, desired: Desired) -> v1::JobDesired {
    let pulses = pulses::list_to_wire(&desired.pulses);
    let (jobs, forget, arms) = orders(desired);
    v1::JobDesired { generation: Some(generation.into()), jobs, forget, pulses, arms }
}

/// A change of the desired list.
pub fn update_jobs(builds_on: Position, generation: Position, desired: Desired) -> v1::UpdateJobs {
    let pulses = pulses::list_to_wire(&desired.pulses);
    let (jobs, forget, arms) = orders(desired);
    v1::UpdateJobs {
        builds_on: Some(builds_on.into()),
        generation: Some(generation.into()),
        jobs,
        forget,
        pulses,
        arms,
    }
}

fn orders(desired: Desired) -> (Vec<v1::JobOrders>, Vec<v1::ProcessId>, Vec<v1::TriggerArm>) {
    let strays = desired.strays.into_iter().map(stray);
    let jobs = desired.orders.into_iter().map(job_orders).chain(strays).collect();
    let arms = desired.arms.into_iter().map(triggers::arm_order).collect();
    (jobs, desired.forget.into_iter().map(Into::into).collect(), arms)
}

fn job_orders(orders: Orders) -> v1::JobOrders {
    v1::JobOrders {
        spec: Some((&*orders.spec).into()),
        epoch: orders.epoch.0,
        machine_generation: Some(orders.machine_generation.into()),
        processes: orders.processes.into_iter().map(order).collect(),
    }
}

fn order(order: Order) -> v1::ProcessOrder {
    v1::ProcessOrder {
        process: order.process.0,
        attempt: order.attempt.0,
        resources: order.resources.iter().map(ToString::to_string).collect(),
        stop: order.stop.is_some(),
        grace_ms: order.stop.map_or(0, milliseconds),
        gang: order.gang.as_ref().map_or(0, |gang| gang.member.gang),
        role: order.gang.as_ref().map_or(0, |gang| gang.member.role),
        synced: order.synced.as_deref().map(sync::answer_to_wire),
        errands: order.errands.iter().map(|(name, errand)| errands::to_wire(name, errand)).collect(),
        members: order.gang.iter().flat_map(|gang| gang.members.iter().map(gang_member)).collect(),
        expected_number: order.expected.as_ref().map_or(0, |expected| expected.number),
        expected_refused: order.expected.as_ref().map_or_else(String::new, |expected| expected.refused.clone()),
        expected_until_ns: order
            .expected
            .filter(|expected| expected.is_granted())
            .map_or(0, |expected| expected.until.0),
    }
}

fn gang_member((process, attempt, machine): &(ProcessNumber, Attempt, MachineId)) -> v1::GangMember {
    v1::GangMember { process: process.0, attempt: attempt.0, machine: machine.to_string() }
}

/// An order to stop what the log does not want: its identity is all that is known of it.
fn stray(id: ProcessId) -> v1::JobOrders {
    let ProcessId { run: RunId(run), dpid: Dpid { job: JobNumber(job), process }, attempt } = id;
    v1::JobOrders {
        spec: Some(v1::StartSpec { run, job, ..Default::default() }),
        epoch: 0,
        machine_generation: None,
        processes: vec![v1::ProcessOrder {
            process: process.0,
            attempt: attempt.0,
            resources: Vec::new(),
            stop: true,
            grace_ms: STRAY_GRACE_MS,
            ..Default::default()
        }],
    }
}
