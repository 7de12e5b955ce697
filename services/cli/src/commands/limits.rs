//! What reports are limited to: arguments as the report service reads them, moments as pool time.

use muster_proto::v1;

use super::Session;
use crate::arguments::FilterArguments;
use crate::times::Since;

/// The limits of a question.
pub(super) async fn limits(session: &Session, arguments: FilterArguments) -> v1::ReportFilter {
    let FilterArguments { run, job, module, machine, machine_type, device, device_type, process, from, to } = arguments;
    let named_run = process.and_then(|process| process.run).map_or(run, |run| run.0);
    v1::ReportFilter {
        run: named_run,
        job: process.map_or(job, |process| process.dpid.job.0),
        process: process.map_or(0, |process| process.dpid.process.0),
        from_ns: moment(session, from).await,
        to_ns: moment(session, to).await,
        module,
        machine,
        machine_type,
        device,
        device_type,
    }
}

/// A moment as it travels; 0 for none.
pub(super) async fn moment(session: &Session, moment: Option<Since>) -> i64 {
    match moment {
        Some(Since::At(time)) => time.0,
        Some(Since::Ago(ago)) => (session.client.viewer().await.now - ago).0,
        Some(Since::Sequence(_)) | None => 0,
    }
}
