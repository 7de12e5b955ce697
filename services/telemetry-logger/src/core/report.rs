//! Batches of reports -> rows of their tables.

use muster_model::{FiringId, ProcessId, ProcessState, Verdict};
use muster_proto::v1;
use muster_proto::v1::{envelope::Body, report::Kind};
use muster_telemetry::records::{Corruption, Gap, Origin, Records, Report, ReportKind, Said};

use super::{Decoded, Message, check_machine, reject, said_time};

/// Decodes a batch.
///
/// # Errors
/// Why the whole of it can not be taken; single reports that can not are rejects in the result.
pub(super) fn decode(message: &Message, envelope: v1::Envelope) -> Result<Decoded, String> {
    let incarnation = envelope.incarnation;
    let Some(Body::ReportBatch(batch)) = envelope.body else {
        return Err("the envelope holds no batch of reports".into());
    };
    check_machine(message, &batch.machine)?;
    let origin = Origin { machine: batch.machine, incarnation };
    let mut records = Records::default();
    for (ordinal, report) in (0_u32..).zip(batch.reports) {
        let at = said_time(report.time_ns, message);
        let said = Said { origin: origin.clone(), batch: batch.batch, ordinal, sequence: message.sequence, at };
        match take(report.kind, &origin) {
            Ok(Taken::Report(kind)) => records.reports.push(Report { said, kind }),
            Ok(Taken::Gap(gap)) => records.gaps.push(gap),
            Ok(Taken::InArchive) => {}
            Err(reason) => records.rejects.push(reject(message, format!("report {ordinal}: {reason}"), 1)),
        }
    }
    Ok(Decoded { batch: Some((origin, batch.batch)), records })
}

enum Taken {
    Report(ReportKind),
    Gap(Gap),
    /// The archive of a decision log keeps what came of it.
    InArchive,
}

fn take(kind: Option<Kind>, origin: &Origin) -> Result<Taken, String> {
    let kind = match kind.ok_or("it is of a kind that this version does not know")? {
        Kind::Process(report) => process(report)?,
        Kind::Fence(fence) => ReportKind::Fence { epoch: fence.epoch },
        Kind::Error(error) => ReportKind::Error { id: id(error.id), message: error.message },
        Kind::Corruption(corruption) => ReportKind::Corruption(Box::new(take_corruption(corruption))),
        Kind::Final(report) => ReportKind::Final {
            id: id(report.id),
            module: report.module,
            totals: report.totals.into_iter().map(|total| (total.key, total.value)).collect(),
            text: report.text,
            resources: report.resources,
        },
        Kind::Artifact(stored) => ReportKind::Artifact {
            id: id(stored.id),
            bucket: stored.bucket,
            name: stored.name,
            size_bytes: stored.size_bytes,
            sha256: stored.sha256,
            path: stored.path,
            // One that is none names nothing.
            firing: <[u8; 16]>::try_from(&stored.firing[..]).ok().map(FiringId),
        },
        Kind::Inventory(_)
        | Kind::TriggerFired(_)
        | Kind::TriggerActed(_)
        | Kind::Storage(_)
        | Kind::AbsenceAnnounced(_)
        | Kind::SyncSaid(_)
        | Kind::TestEvent(_)
        | Kind::Errand(_) => {
            return Ok(Taken::InArchive);
        }
        Kind::Gap(gap) => {
            let machine = Some(origin.machine.clone());
            return Ok(Taken::Gap(Gap {
                place: gap.place,
                machine,
                first: gap.from,
                last: gap.to,
                reason: gap.reason,
            }));
        }
    };
    Ok(Taken::Report(kind))
}

fn process(report: v1::ProcessReport) -> Result<ReportKind, String> {
    let state = ProcessState::try_from(report.state()).map_err(|error| error.to_string())?;
    let verdict = Verdict::from(report.verdict());
    let exit_status = report.exited.then_some(report.exit_status);
    let v1::ProcessReport { epoch, reason, pid, .. } = report;
    Ok(ReportKind::Process { id: id(report.id), epoch, state, verdict, exit_status, reason, pid })
}

fn take_corruption(corruption: v1::CorruptionReport) -> Corruption {
    Corruption {
        id: id(corruption.id),
        target: corruption.target,
        resource: corruption.resource,
        offset: corruption.offset,
        class: corruption.class,
        persistence: corruption.persistence,
        owner: corruption.owner.map(ProcessId::from),
        expected: corruption.expected,
        actual: corruption.actual,
        detail: corruption.detail,
    }
}

/// None stands for the agent itself.
fn id(id: Option<v1::ProcessId>) -> ProcessId {
    id.map(ProcessId::from).unwrap_or_default()
}
