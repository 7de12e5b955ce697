//! Conversions between the wire and what the agent works with.

use std::time::Duration;

use muster_model::{
    ArmId, Attempt, Dpid, Epoch, JobNumber, MachineId, PoolTime, Position, ProcessId, ProcessNumber, ProcessState,
    ReservationId, RunId, Verdict,
};
use muster_module_protocol::{Corruption, Outcome, Status};
use muster_proto::{WireError, trigger_number, v1};

use crate::artifacts::unhex;
use crate::core::gang::{Gang, Member};
use crate::core::life::Life;
use crate::core::orders::{Expected, Order, Refused};
use crate::core::outcome::{End, Said};
use crate::core::triggers::Arm;
use crate::disk::intents::Final;

/// Most bytes of a text in a report.
const TEXT_BYTES_MAX: usize = 4_096;
/// Most totals in a final report.
const TOTALS_MAX: usize = 200;
/// Most bytes of a sector in a report.
const SECTOR_BYTES_MAX: usize = 512;

/// The orders of one job, one by one.
pub(crate) fn orders(orders: &v1::JobOrders) -> Vec<Order> {
    let spec = orders.spec.clone().unwrap_or_default();
    let placed_on: Position = orders.machine_generation.unwrap_or_default().into();
    let roles = spec.module.as_ref().map_or(&[][..], |module| &module.roles);
    let id = |process, attempt| ProcessId {
        run: RunId(spec.run),
        dpid: Dpid { job: JobNumber(spec.job), process: ProcessNumber(process) },
        attempt: Attempt(attempt),
    };
    let order = |process: &v1::ProcessOrder| Order {
        id: id(process.process, process.attempt),
        epoch: Epoch(orders.epoch),
        placed_on,
        resources: process.resources.clone(),
        stop: process.stop.then(|| Duration::from_millis(process.grace_ms)),
        gang: gang(process, roles, id),
        expected: expected(process),
        synced: process.synced.clone(),
        errands: process.errands.clone(),
    };
    orders.processes.iter().map(order).collect()
}

/// What was decided of the newest announcement of a process; none where there is none.
fn expected(process: &v1::ProcessOrder) -> Option<Expected> {
    let decided = match process.expected_refused.as_str() {
        "" => Ok(PoolTime(process.expected_until_ns)),
        why => Err(why.to_owned()),
    };
    (process.expected_number > 0).then_some(Expected { number: process.expected_number, decided })
}

/// The gang of a process; none where it has none, or where a member is no machine's.
fn gang(process: &v1::ProcessOrder, roles: &[String], id: impl Fn(u32, u32) -> ProcessId) -> Option<Gang> {
    if process.gang == 0 {
        return None;
    }
    let role = |place: usize| roles.get(place).cloned().unwrap_or_default();
    let member = |(place, member): (usize, &v1::GangMember)| {
        let machine = MachineId::new(&member.machine).ok()?;
        Some(Member { id: id(member.process, member.attempt), role: role(place), machine })
    };
    let members = process.members.iter().enumerate().map(member).collect::<Option<Vec<_>>>()?;
    Some(Gang { number: process.gang, role: role(process.role as usize), members })
}

/// An arm.
///
/// # Errors
/// It says what this version does not know.
pub(crate) fn arm(arm: &v1::TriggerArm) -> Result<Arm, WireError> {
    const MESSAGE: &str = "TriggerArm";
    let machines = arm.from_machines.iter().map(|id| MachineId::new(id));
    Ok(Arm {
        id: arm.armed.map(|armed| ArmId { position: armed.into(), index: arm.index }),
        number: trigger_number(MESSAGE, arm.number)?,
        epoch: Epoch(arm.epoch),
        reservation: ReservationId(arm.reservation),
        from_machines: machines
            .collect::<Result<_, _>>()
            .map_err(|error| WireError::invalid(MESSAGE, "from_machines", error))?,
        from_jobs: arm.from_jobs.iter().copied().map(JobNumber).collect(),
        action: arm.action().with(&arm.argument).map_err(|error| WireError::invalid(MESSAGE, "action", error))?,
    })
}

/// An arm as it is kept on the disk.
pub(crate) fn arm_line(arm: &Arm) -> v1::TriggerArm {
    v1::TriggerArm {
        armed: arm.id.map(|id| id.position.into()),
        index: arm.id.map_or(0, |id| id.index),
        number: arm.number.0.into(),
        epoch: arm.epoch.0,
        from_machines: arm.from_machines.iter().map(ToString::to_string).collect(),
        from_jobs: arm.from_jobs.iter().map(|job| job.0).collect(),
        action: v1::TriggerAction::from(&arm.action).into(),
        argument: arm.action.argument(),
        reservation: arm.reservation.0,
    }
}

/// The refusal of one process.
pub(crate) fn refused(id: ProcessId, refused: Refused) -> v1::RefusedProcess {
    let refusal = match refused {
        Refused::OldEpoch => v1::AgentRefusal::OldEpoch,
        Refused::Draining => v1::AgentRefusal::Draining,
        Refused::Stale | Refused::NoResource | Refused::Preparing => v1::AgentRefusal::Stale,
        Refused::Protected => v1::AgentRefusal::Protected,
    };
    v1::RefusedProcess { id: Some(id.into()), refusal: refusal.into(), detail: refused.reason().into() }
}

/// A report of a state that is not final.
pub(crate) fn state_report(
    id: ProcessId,
    epoch: Epoch,
    state: ProcessState,
    reason: &str,
    pid: u32,
) -> v1::ProcessReport {
    v1::ProcessReport {
        id: Some(id.into()),
        epoch: epoch.0,
        state: v1::ProcessState::from(state).into(),
        reason: cut(reason),
        pid,
        ..v1::ProcessReport::default()
    }
}

/// A report of an end.
pub(crate) fn end_report(id: ProcessId, epoch: Epoch, end: &End, pid: u32) -> v1::ProcessReport {
    v1::ProcessReport {
        verdict: v1::Verdict::from(end.verdict).into(),
        exit_status: end.status.unwrap_or(0),
        exited: end.status.is_some(),
        ..state_report(id, epoch, end.state, &end.reason, pid)
    }
}

/// A process as its agent knows it. An end that is not known (it may still be written) reads as about to come.
pub(crate) fn known(id: ProcessId, epoch: Epoch, life: &Life, end: Option<&End>, pid: u32) -> v1::KnownProcess {
    let report = match end {
        Some(end) => end_report(id, epoch, end, pid),
        None if life.state().is_final() => state_report(id, epoch, ProcessState::Fip, "", pid),
        None => state_report(id, epoch, life.state(), "", pid),
    };
    v1::KnownProcess {
        id: report.id,
        state: report.state,
        verdict: report.verdict,
        exit_status: report.exit_status,
        exited: report.exited,
        reason: report.reason,
        pid: report.pid,
        epoch: report.epoch,
    }
}

/// The final report of a process.
pub(crate) fn final_report(id: ProcessId, module: &str, resources: &[String], said: &Final) -> v1::FinalReport {
    let totals =
        said.totals.iter().take(TOTALS_MAX).map(|(key, value)| v1::KeyNumber { key: key.clone(), value: *value });
    v1::FinalReport {
        id: Some(id.into()),
        module: module.into(),
        totals: totals.collect(),
        text: cut(&said.text),
        resources: resources.to_vec(),
    }
}

/// A report of corrupt data.
pub(crate) fn corruption_report(id: ProcessId, corruption: &Corruption) -> v1::CorruptionReport {
    let sector = |text: &str| {
        let mut bytes = unhex(text).unwrap_or_default();
        bytes.truncate(SECTOR_BYTES_MAX);
        bytes.into()
    };
    let owner = corruption.owner_dpid.parse::<Dpid>().ok().map(|dpid| v1::ProcessId {
        run: corruption.owner_run,
        dpid: Some(dpid.into()),
        attempt: 0,
    });
    v1::CorruptionReport {
        id: Some(id.into()),
        target: cut(&corruption.target),
        offset: corruption.offset,
        class: cut(&corruption.class),
        persistence: cut(&corruption.persistence),
        owner,
        expected: sector(&corruption.expected),
        actual: sector(&corruption.actual),
        detail: cut(&corruption.detail),
        resource: cut(&corruption.resource),
    }
}

/// What a module said at its end. Pairs that are not legal are an error of the test.
pub(crate) fn said(status: Status, result: Outcome, reason: &str) -> Said {
    let (verdict, odd) = match (status, result) {
        (Status::Complete, Outcome::Pass) => (Verdict::Pass, false),
        (Status::Complete, Outcome::Fail) => (Verdict::Fail, false),
        (Status::Error, Outcome::Na) => (Verdict::Error, false),
        (Status::Skip, Outcome::Na) => (Verdict::Skip, false),
        _ => (Verdict::Error, true),
    };
    let reason = if odd {
        format!("it said {status:?} with {result:?}, which is not a legal end: {reason}")
    } else {
        reason.into()
    };
    Said { verdict, reason: cut(&reason) }
}

/// A text for people, not longer than a report can hold.
pub(crate) fn cut(text: &str) -> String {
    muster_model::text::cut(text, TEXT_BYTES_MAX).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_four_pairs_are_legal_ends() {
        assert_eq!(said(Status::Complete, Outcome::Pass, "").verdict, Verdict::Pass);
        assert_eq!(said(Status::Complete, Outcome::Fail, "").verdict, Verdict::Fail);
        assert_eq!(said(Status::Skip, Outcome::Na, "no tool").verdict, Verdict::Skip);
        assert_eq!(said(Status::Error, Outcome::Pass, "").verdict, Verdict::Error);
        assert!(said(Status::Complete, Outcome::Na, "x").reason.contains("not a legal end"));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut(&"ä".repeat(TEXT_BYTES_MAX)).len(), TEXT_BYTES_MAX);
        assert_eq!(cut(&format!("a{}", "ä".repeat(TEXT_BYTES_MAX))).len(), TEXT_BYTES_MAX - 1);
    }
}
