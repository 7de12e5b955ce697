//! Reports that judge: the questions, and what `compare` ends with.

use muster_model::nanoseconds;
use muster_proto::v1::{self, cell::Value, report_query::Kind};

use super::limits::limits;
use super::{Session, reports};
use crate::arguments::{
    CompareArguments, CoverageArguments, HistoryArguments, QuietArguments, TimelineArguments, UseArguments,
    WorstArguments,
};
use crate::exit::Failure;
use crate::progress::while_waiting;

/// The verdict of a metric that has become worse.
const REGRESSION: &str = "regression";
/// Regressions that are named in the last line.
const NAMED_MAX: usize = 3;

pub(super) fn history(arguments: &HistoryArguments) -> Kind {
    let HistoryArguments { process, run } = arguments;
    let filter = v1::ReportFilter {
        run: process.run.map_or(*run, |run| run.0),
        job: process.dpid.job.0,
        process: process.dpid.process.0,
        ..Default::default()
    };
    Kind::History(v1::HistoryQuery { filter: Some(filter) })
}

pub(super) async fn timeline(session: &Session, arguments: TimelineArguments) -> Kind {
    let TimelineArguments { filter, bucket, metric } = arguments;
    let filter = Some(limits(session, filter).await);
    Kind::Timeline(v1::TimelineQuery { filter, bucket_ns: bucket.map_or(0, nanoseconds), metric })
}

pub(super) async fn worst(session: &Session, arguments: WorstArguments) -> Kind {
    let filter = Some(limits(session, arguments.filter).await);
    Kind::Worst(v1::WorstQuery { filter, metrics: arguments.metrics })
}

pub(super) async fn quiet(session: &Session, arguments: QuietArguments) -> Kind {
    let filter = Some(limits(session, arguments.filter).await);
    Kind::Quiet(v1::QuietQuery { filter, longer_than_ns: nanoseconds(arguments.longer_than) })
}

pub(super) async fn coverage(session: &Session, arguments: CoverageArguments) -> Kind {
    let filter = Some(limits(session, arguments.filter).await);
    Kind::Coverage(v1::CoverageQuery { filter, pairs: arguments.pairs })
}

pub(super) async fn usage(session: &Session, arguments: UseArguments) -> Kind {
    let filter = Some(limits(session, arguments.filter).await);
    Kind::Usage(v1::UsageQuery { filter, by_machine: arguments.by_machine })
}

/// Shows the comparison, and fails where a metric has become worse.
pub(super) async fn compare(session: &Session, arguments: CompareArguments) -> Result<(), Failure> {
    let CompareArguments { before, after, metrics, module, machine_type, device_type, significance, change } =
        arguments;
    let filter = v1::ReportFilter { run: before, module, machine_type, device_type, ..Default::default() };
    let query = v1::CompareQuery {
        filter: Some(filter),
        run: after,
        metrics,
        significance_ppm: significance,
        change_min_ppm: change,
    };
    reports::catch_up(session).await?;
    let reply = while_waiting("report compare", session.client.report("report compare", Kind::Compare(query))).await?;
    reports::show(session, &reply)?;
    let worse = regressions(&reply);
    if worse.is_empty() {
        return Ok(());
    }
    let named = worse.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    let more = if worse.len() > NAMED_MAX { ", ..." } else { "" };
    Err(Failure::TestsFailed(format!(
        "run {after} is worse than run {before} in {} metrics: {named}{more}",
        worse.len()
    )))
}

/// Modules and metrics that have become worse.
fn regressions(reply: &v1::ReportReply) -> Vec<String> {
    let place = |name: &str| reply.columns.iter().position(|column| column.name == name);
    let (Some(module), Some(metric), Some(verdict)) = (place("module"), place("metric"), place("verdict")) else {
        return Vec::new();
    };
    let text = |row: &v1::Row, place: usize| match row.cells.get(place).and_then(|cell| cell.value.as_ref()) {
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Integer(_) | Value::Number(_)) | None => String::new(),
    };
    let worse = reply.rows.iter().filter(|row| text(row, verdict) == REGRESSION);
    worse.map(|row| format!("{} of {}", text(row, metric), text(row, module))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_become_worse_is_named() {
        let column = |name: &str| v1::Column { name: name.into(), numeric: false };
        let row = |cells: [&str; 3]| v1::Row {
            cells: cells.map(|text| v1::Cell { value: Some(Value::Text(text.into())) }).into(),
        };
        let reply = v1::ReportReply {
            columns: ["module", "metric", "verdict"].map(column).into(),
            rows: vec![row(["high-io", "written_bytes", "regression"]), row(["tcp", "sent_bytes", "same"])],
            ..Default::default()
        };
        assert_eq!(regressions(&reply), ["written_bytes of high-io"]);
    }
}
