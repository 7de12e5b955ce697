//! Events of JOBS.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster_model::{Incarnation, JobNumber, ModuleName, PoolTime, ProcessNumber, RunId};
use muster_proto::v1::job_event::Kind;
use muster_proto::{WireError, v1};
use prost::Message;

use super::{attached, errands, groups, machine_id, milliseconds, plans, pulses, sync, test_events};
use crate::core::attached::Attached;
use crate::core::event::{Event, JobStarted, ProcessChange, ProcessReplaced, ReportsTaken, StopRequested};
use crate::core::job::StopReason;

/// Encodes an event.
pub fn encode(event: &Event) -> Bytes {
    v1::JobEvent::from(event).encode_to_vec().into()
}

/// Decodes an event.
pub fn decode(bytes: &Bytes) -> Result<Event, String> {
    let event = v1::JobEvent::decode(bytes.clone()).map_err(|error| error.to_string())?;
    event.try_into().map_err(|error: WireError| error.to_string())
}

impl From<&Event> for v1::JobEvent {
    fn from(event: &Event) -> Self {
        let kind = match event {
            Event::RunStarted(run) => Kind::RunStarted(v1::RunStarted { run: run.0 }),
            Event::ModuleAdded(module) => Kind::ModuleAdded(v1::ModuleAdded { module: Some((&**module).into()) }),
            Event::ModuleRemoved(name) => Kind::ModuleRemoved(v1::ModuleRemoved { name: name.to_string() }),
            Event::JobStarted(started) => Kind::JobStarted(v1::JobStarted {
                spec: Some((&*started.spec).into()),
                selector: started.selector.clone(),
                placements: started.placements.iter().map(Into::into).collect(),
                resource_selector: started.resource_selector.clone(),
            }),
            Event::StopRequested(stop) => Kind::StopRequested(v1::StopRequested {
                job: stop.job.0,
                processes: stop.processes.iter().map(|process| process.0).collect(),
                grace_ms: milliseconds(stop.grace),
                reason: stop.reason.as_str().to_owned(),
            }),
            Event::ProcessesChanged(changes) => {
                Kind::ProcessesChanged(v1::ProcessesChanged { changes: changes.iter().map(change_to_wire).collect() })
            }
            Event::ReportsTaken(taken) => Kind::ReportsTaken(v1::ReportsTaken {
                machine: taken.machine.to_string(),
                incarnation: taken.incarnation.0,
                batch: taken.batch,
            }),
            Event::MachineSeen(seen) => Kind::MachineSeen((&**seen).into()),
            Event::MasterChanged(changed) => Kind::MasterChanged(changed.into()),
            Event::LoadNumberSeen(number) => Kind::LoadNumberSeen(v1::LoadNumberSeen { number: Some(number.into()) }),
            Event::ProcessReplaced(replaced) => Kind::ProcessReplaced(v1::ProcessReplaced {
                id: Some(replaced.id.into()),
                placement: Some((&replaced.placement).into()),
                reason: replaced.reason.clone(),
            }),
            Event::PulseSet(number, pulse) => {
                Kind::PulseSet(v1::PulseSet { pulse: Some(pulses::to_wire(*number, pulse)) })
            }
            Event::PulsesCleared(numbers) => {
                Kind::PulseCleared(v1::PulseCleared { numbers: pulses::numbers_to_wire(numbers) })
            }
            Event::JobChanged(changed) => Kind::JobChanged(changed.into()),
            Event::JobNumbersPassed(last) => Kind::JobNumbersPassed(v1::JobNumbersPassed { last: last.0 }),
            Event::GroupEnded { master, reason } => Kind::GroupEnded(groups::ended_to_wire(*master, reason)),
            Event::ReservationSeen(id, news) => Kind::ReservationSeen(attached::seen_to_wire(*id, news)),
            Event::StartAttached(start) => {
                let waits = Attached { start: (**start).clone(), outcome: None };
                Kind::StartAttached(attached::attached_to_wire(start.reservation, &waits))
            }
            Event::AttachedEnded(id, outcome) => Kind::AttachedEnded(attached::ended_to_wire(*id, outcome)),
            Event::TriggerArmed(armed) => Kind::TriggerArmed(armed.into()),
            Event::TriggerDisarmed(disarmed) => Kind::TriggerDisarmed(disarmed.into()),
            Event::TriggerFired(firing) => Kind::TriggerFired((&**firing).into()),
            Event::TriggerActed(acted) => Kind::TriggerActed((&**acted).into()),
            Event::AbsenceExpected(absence) => Kind::AbsenceExpected((&**absence).into()),
            Event::SyncArrived(arrived) => Kind::SyncArrived((&**arrived).into()),
            Event::SyncLeft(left) => Kind::SyncLeft(sync::left_to_wire(left)),
            // When it was taken is the time of its message.
            Event::TestEvent(event) => Kind::TestEvent(test_events::to_wire(event, PoolTime::NEVER)),
            Event::TestEventsDropped { job, count } => {
                Kind::TestEventsDropped(v1::TestEventsDropped { job: job.0, count: *count })
            }
            Event::ErrandRefused(refused) => Kind::ErrandRefused(errands::refused_to_wire(refused)),
            Event::SyncTimedOut { job, round } => Kind::SyncTimedOut(sync::timed_out_to_wire(*job, round)),
            Event::PlanStarted(spec) => Kind::PlanStarted(plans::spec_to_wire(spec)),
            Event::PlanStepBegun { job, step } => {
                Kind::PlanStepBegun(v1::PlanStepBegun { job: job.0, step: *step as u32 })
            }
            Event::PlanTaskPlaced(placed) => Kind::PlanTaskPlaced(plans::placed_to_wire(placed)),
            Event::PlanTaskQueued(queued) => Kind::PlanTaskQueued(plans::queued_to_wire(queued)),
            Event::PlanTasksEnded { run, job, ends } => Kind::PlanTasksEnded(plans::ends_to_wire(*run, *job, ends)),
            Event::CheckoutAsked(asked) => Kind::CheckoutAsked(plans::checkout_to_wire(asked)),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<v1::JobEvent> for Event {
    type Error = WireError;
    fn try_from(event: v1::JobEvent) -> Result<Self, WireError> {
        let missing = WireError::missing;
        Ok(match event.kind.ok_or_else(|| missing("JobEvent", "kind"))? {
            Kind::RunStarted(started) => Self::RunStarted(RunId(started.run)),
            Kind::ModuleAdded(added) => {
                Self::ModuleAdded(Box::new(added.module.ok_or_else(|| missing("ModuleAdded", "module"))?.try_into()?))
            }
            Kind::ModuleRemoved(removed) => Self::ModuleRemoved(
                ModuleName::new(&removed.name).map_err(|error| WireError::invalid("ModuleRemoved", "name", error))?,
            ),
            Kind::JobStarted(started) => Self::JobStarted(started.try_into()?),
            Kind::StopRequested(stop) => Self::StopRequested(stop.try_into()?),
            Kind::ProcessesChanged(changed) => {
                Self::ProcessesChanged(changed.changes.into_iter().map(change_from_wire).collect::<Result<_, _>>()?)
            }
            Kind::ReportsTaken(taken) => Self::ReportsTaken(ReportsTaken {
                machine: machine_id("ReportsTaken", &taken.machine)?,
                incarnation: Incarnation(taken.incarnation),
                batch: taken.batch,
            }),
            Kind::MachineSeen(seen) => Self::MachineSeen(Box::new(seen.try_into()?)),
            Kind::ProcessReplaced(replaced) => Self::ProcessReplaced(replaced.try_into()?),
            Kind::MasterChanged(changed) => Self::MasterChanged(changed.try_into()?),
            Kind::JobNumbersPassed(passed) => Self::JobNumbersPassed(JobNumber(passed.last)),
            Kind::GroupEnded(ended) => groups::ended_from_wire(ended)?,
            Kind::ReservationSeen(seen) => {
                let (id, news) = attached::seen_from_wire(seen)?;
                Self::ReservationSeen(id, news)
            }
            Kind::StartAttached(waits) => Self::StartAttached(Box::new(attached::attached_from_wire(waits)?.start)),
            Kind::AttachedEnded(ended) => {
                let (id, outcome) = attached::ended_from_wire(ended);
                Self::AttachedEnded(id, outcome)
            }
            Kind::TriggerArmed(armed) => Self::TriggerArmed(armed.try_into()?),
            Kind::TriggerDisarmed(disarmed) => Self::TriggerDisarmed(disarmed.try_into()?),
            Kind::TriggerFired(fired) => Self::TriggerFired(Box::new(fired.try_into()?)),
            Kind::TriggerActed(acted) => Self::TriggerActed(Box::new(acted.try_into()?)),
            Kind::SyncArrived(arrived) => Self::SyncArrived(Box::new(arrived.try_into()?)),
            Kind::SyncLeft(left) => Self::SyncLeft(sync::left_from_wire(left)),
            Kind::SyncTimedOut(timed_out) => {
                let (job, round) = sync::timed_out_from_wire(timed_out)?;
                Self::SyncTimedOut { job, round }
            }
            Kind::TestEvent(event) => Self::TestEvent(Box::new(test_events::from_wire(event)?)),
            Kind::TestEventsDropped(dropped) => {
                Self::TestEventsDropped { job: JobNumber(dropped.job), count: dropped.count }
            }
            Kind::ErrandRefused(refused) => Self::ErrandRefused(Box::new(errands::refused_from_wire(refused)?)),
            Kind::AbsenceExpected(absence) => Self::AbsenceExpected(Box::new(absence.try_into()?)),
            Kind::LoadNumberSeen(seen) => {
                Self::LoadNumberSeen(seen.number.ok_or_else(|| missing("LoadNumberSeen", "number"))?.try_into()?)
            }
            Kind::PulseSet(set) => {
                let (number, pulse) = pulses::from_wire(&set.pulse.ok_or_else(|| missing("PulseSet", "pulse"))?)?;
                Self::PulseSet(number, pulse)
            }
            Kind::PulseCleared(cleared) => Self::PulsesCleared(pulses::numbers("PulseCleared", &cleared.numbers)?),
            Kind::JobChanged(changed) => Self::JobChanged(changed.try_into()?),
            Kind::PlanStarted(started) => Self::PlanStarted(Arc::new(plans::spec_from_wire(started)?)),
            Kind::PlanStepBegun(begun) => Self::PlanStepBegun { job: JobNumber(begun.job), step: begun.step as usize },
            Kind::PlanTaskPlaced(placed) => Self::PlanTaskPlaced(plans::placed_from_wire(placed)?),
            Kind::PlanTaskQueued(queued) => Self::PlanTaskQueued(plans::queued_from_wire(queued)),
            Kind::PlanTasksEnded(ended) => {
                let (run, job, ends) = plans::ends_from_wire(ended)?;
                Self::PlanTasksEnded { run, job, ends }
            }
            Kind::CheckoutAsked(asked) => Self::CheckoutAsked(plans::checkout_from_wire(asked)?),
        })
    }
}

impl TryFrom<v1::JobStarted> for JobStarted {
    type Error = WireError;
    fn try_from(started: v1::JobStarted) -> Result<Self, WireError> {
        let spec = started.spec.ok_or_else(|| WireError::missing("JobStarted", "spec"))?;
        Ok(Self {
            spec: Arc::new(spec.try_into()?),
            selector: started.selector,
            resource_selector: started.resource_selector,
            placements: Arc::new(started.placements.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?),
        })
    }
}

impl TryFrom<v1::StopRequested> for StopRequested {
    type Error = WireError;
    fn try_from(stop: v1::StopRequested) -> Result<Self, WireError> {
        Ok(Self {
            job: JobNumber(stop.job),
            processes: stop.processes.into_iter().map(ProcessNumber).collect(),
            grace: Duration::from_millis(stop.grace_ms),
            reason: stop_reason(&stop.reason)?,
        })
    }
}

/// A reason of a stop, by its word.
pub(super) fn stop_reason(word: &str) -> Result<StopReason, WireError> {
    let found = StopReason::ALL.into_iter().find(|reason| reason.as_str() == word);
    found.ok_or_else(|| WireError::invalid("StopRequested", "reason", word))
}

fn change_to_wire(change: &ProcessChange) -> v1::ProcessChange {
    v1::ProcessChange {
        id: Some(change.id.into()),
        from: v1::ProcessState::from(change.from).into(),
        to: v1::ProcessState::from(change.to).into(),
        verdict: v1::Verdict::from(change.verdict).into(),
        exit_status: change.exit_status.unwrap_or(0),
        exited: change.exit_status.is_some(),
        reason: change.reason.clone(),
        pid: change.pid,
        machine: change.machine.to_string(),
    }
}

fn change_from_wire(change: v1::ProcessChange) -> Result<ProcessChange, WireError> {
    Ok(ProcessChange {
        from: change.from().try_into()?,
        to: change.to().try_into()?,
        verdict: change.verdict().into(),
        exit_status: change.exited.then_some(change.exit_status),
        id: change.id.ok_or_else(|| WireError::missing("ProcessChange", "id"))?.into(),
        machine: machine_id("ProcessChange", &change.machine)?,
        reason: change.reason,
        pid: change.pid,
    })
}

impl TryFrom<v1::ProcessReplaced> for ProcessReplaced {
    type Error = WireError;
    fn try_from(replaced: v1::ProcessReplaced) -> Result<Self, WireError> {
        let missing = |field| WireError::missing("ProcessReplaced", field);
        Ok(Self {
            id: replaced.id.ok_or_else(|| missing("id"))?.into(),
            placement: replaced.placement.ok_or_else(|| missing("placement"))?.try_into()?,
            reason: replaced.reason,
        })
    }
}
