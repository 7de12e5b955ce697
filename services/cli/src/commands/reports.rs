//! `muster report`: questions about the past, answered by the report service and laid out by muster-telemetry.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use muster_model::nanoseconds;
use muster_proto::v1::{self, cell::Value, report_query};
use muster_telemetry::{Format as Rendered, render};

use super::{Session, pulse_report};
use crate::arguments::{
    CorruptionArguments, DimensionName, FilterArguments, PerfArguments, ReportCommand, TogetherArguments,
    TriggerReportArguments,
};
use crate::exit::Failure;
use crate::output::{self, Format};
use crate::times::Since;

/// The store is waited for so long: it commits several times a second.
const CATCH_UP_MAX: Duration = Duration::from_secs(3);
/// How often it is looked at.
const CATCH_UP_EVERY: Duration = Duration::from_millis(100);

pub(super) async fn run(session: &Session, command: ReportCommand) -> Result<(), Failure> {
    let pivots = matches!(command, ReportCommand::Pulses(_));
    let (what, kind) = match command {
        ReportCommand::Summary(arguments) => {
            ("report summary", report_query::Kind::Summary(v1::SummaryQuery { filter: Some(filter(arguments)) }))
        }
        ReportCommand::Perf(arguments) => ("report perf", report_query::Kind::Perf(perf(arguments))),
        ReportCommand::Pulses(target) => ("report pulses", report_query::Kind::Perf(pulse_report::query(target.job))),
        ReportCommand::Corruption(CorruptionArguments { number, filter: limits }) => {
            let query = v1::CorruptionQuery { filter: Some(filter(limits)), number: number.unwrap_or(0) };
            ("report corruption", report_query::Kind::Corruption(query))
        }
        ReportCommand::Triggers(TriggerReportArguments { triggers, firing, filter: limits }) => {
            let query = v1::FiringQuery {
                filter: Some(filter(limits)),
                triggers: triggers.into_iter().map(u32::from).collect(),
                firing: firing.map(|firing| firing.0.to_vec()).unwrap_or_default().into(),
            };
            ("report triggers", report_query::Kind::Firing(query))
        }
        ReportCommand::Together(arguments) => {
            ("report together", report_query::Kind::Together(together(session, arguments).await))
        }
        ReportCommand::Status => ("report status", report_query::Kind::Status(v1::StoreStatusQuery {})),
    };
    if !matches!(kind, report_query::Kind::Status(_)) {
        catch_up(session).await?;
    }
    let mut reply = session.client.report(what, kind).await?;
    if pivots {
        reply = pulse_report::by_process(&reply);
    }
    show(session, &reply)
}

/// Prints an answer of the report service in the form that the user chose.
pub(super) fn show(session: &Session, reply: &v1::ReportReply) -> Result<(), Failure> {
    let text = match session.format {
        Format::Table => render(reply, Rendered::Table),
        Format::Csv => render(reply, Rendered::Csv),
        Format::Json => rows_alone(&render(reply, Rendered::Json))?,
    };
    output::write(&text)
}

/// Waits until the store has what the streams held when we were asked, so that a report right after a stop is complete.
pub(super) async fn catch_up(session: &Session) -> Result<(), Failure> {
    let begun = Instant::now();
    let targets = ends(&status(session).await?, "stream_seq");
    loop {
        let stored = ends(&status(session).await?, "last_seq");
        let behind: i64 = targets.iter().map(|(name, end)| (end - stored.get(name).unwrap_or(&0)).max(0)).sum();
        if behind == 0 {
            return Ok(());
        }
        if begun.elapsed() >= CATCH_UP_MAX {
            eprintln!("muster: the store is {behind} messages behind the streams: this report is not complete yet");
            return Ok(());
        }
        tokio::time::sleep(CATCH_UP_EVERY).await;
    }
}

async fn status(session: &Session) -> Result<v1::ReportReply, Failure> {
    session.client.report("report status", report_query::Kind::Status(v1::StoreStatusQuery {})).await
}

/// The numbers of a column of the status, by stream.
fn ends(reply: &v1::ReportReply, column: &str) -> BTreeMap<String, i64> {
    let position = |name: &str| reply.columns.iter().position(|column| column.name == name);
    let (Some(name), Some(number)) = (position("name"), position(column)) else { return BTreeMap::new() };
    let of_row = |row: &v1::Row| match (row.cells.get(name)?.value.as_ref()?, row.cells.get(number)?.value.as_ref()?) {
        (Value::Text(name), Value::Integer(number)) => Some((name.clone(), *number)),
        _ => None,
    };
    reply.rows.iter().filter_map(of_row).collect()
}

fn filter(arguments: FilterArguments) -> v1::ReportFilter {
    let FilterArguments { run, job, module, machine } = arguments;
    v1::ReportFilter { run, job, module, machine, ..Default::default() }
}

async fn together(session: &Session, arguments: TogetherArguments) -> v1::TogetherQuery {
    let TogetherArguments { at, corruption, firing, job, run, machine } = arguments;
    let at_ns = match at {
        Some(Since::At(time)) => time.0,
        Some(Since::Ago(ago)) => (session.client.viewer().await.now - ago).0,
        Some(Since::Sequence(_)) | None => 0,
    };
    v1::TogetherQuery {
        filter: Some(v1::ReportFilter { run, job: job.unwrap_or(0), machine, ..Default::default() }),
        at_ns,
        corruption: corruption.unwrap_or(0),
        firing: firing.map(|firing| firing.0.to_vec()).unwrap_or_default().into(),
    }
}

fn perf(arguments: PerfArguments) -> v1::PerfQuery {
    let by = match arguments.by {
        DimensionName::Module => v1::Dimension::Module,
        DimensionName::Machine => v1::Dimension::Machine,
        DimensionName::MachineType => v1::Dimension::MachineType,
        DimensionName::Device => v1::Dimension::Device,
        DimensionName::DeviceType => v1::Dimension::DeviceType,
        DimensionName::Process => v1::Dimension::Process,
        DimensionName::Time => v1::Dimension::Time,
    };
    v1::PerfQuery {
        filter: Some(filter(arguments.filter)),
        by: by.into(),
        metrics: arguments.metrics,
        bucket_ns: nanoseconds(arguments.bucket),
    }
}

/// Like every listing of ours, a report in JSON is an array of objects: the rows of the rendered object.
fn rows_alone(text: &str) -> Result<String, Failure> {
    let mut whole: serde_json::Value = serde_json::from_str(text).map_err(anyhow::Error::new)?;
    let rows = whole.get_mut("rows").map(serde_json::Value::take);
    Ok(format!("{:#}\n", rows.unwrap_or(whole)))
}
