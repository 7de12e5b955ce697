//! `muster report`: questions about the past, answered by the report service and laid out by muster-telemetry.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use muster_model::nanoseconds;
use muster_proto::v1::{self, cell::Value, report_query};
use muster_telemetry::{Format as Rendered, render};

use super::limits::{limits, moment};
use super::{Session, analyses, pulse_report};
use crate::arguments::{
    CorruptionArguments, DimensionName, PerfArguments, ReportCommand, TogetherArguments, TriggerReportArguments,
};
use crate::exit::Failure;
use crate::output::{self, Format};
use crate::progress::while_waiting;

/// The store is waited for so long: it commits several times a second.
const CATCH_UP_MAX: Duration = Duration::from_secs(3);
/// How often it is looked at.
const CATCH_UP_EVERY: Duration = Duration::from_millis(100);

pub(super) async fn run(session: &Session, command: ReportCommand) -> Result<(), Failure> {
    let pivots = matches!(command, ReportCommand::Pulses(_));
    let (what, kind) = match command {
        ReportCommand::Summary(arguments) => {
            let filter = Some(limits(session, arguments).await);
            ("report summary", report_query::Kind::Summary(v1::SummaryQuery { filter }))
        }
        ReportCommand::Perf(arguments) => ("report perf", report_query::Kind::Perf(perf(session, arguments).await)),
        ReportCommand::Pulses(target) => ("report pulses", report_query::Kind::Perf(pulse_report::query(target.job))),
        ReportCommand::Corruption(CorruptionArguments { number, filter }) => {
            let query =
                v1::CorruptionQuery { filter: Some(limits(session, filter).await), number: number.unwrap_or(0) };
            ("report corruption", report_query::Kind::Corruption(query))
        }
        ReportCommand::Triggers(TriggerReportArguments { triggers, firing, filter }) => {
            let query = v1::FiringQuery {
                filter: Some(limits(session, filter).await),
                triggers: triggers.into_iter().map(u32::from).collect(),
                firing: firing.map(|firing| firing.0.to_vec()).unwrap_or_default().into(),
            };
            ("report triggers", report_query::Kind::Firing(query))
        }
        ReportCommand::Together(arguments) => {
            ("report together", report_query::Kind::Together(together(session, arguments).await))
        }
        ReportCommand::Errors(arguments) => {
            let filter = Some(limits(session, arguments).await);
            ("report errors", report_query::Kind::Errors(v1::ErrorsQuery { filter }))
        }
        ReportCommand::History(arguments) => ("report history", analyses::history(&arguments)),
        ReportCommand::Timeline(arguments) => ("report timeline", analyses::timeline(session, arguments).await),
        ReportCommand::Worst(arguments) => ("report worst", analyses::worst(session, arguments).await),
        ReportCommand::Compare(arguments) => return analyses::compare(session, arguments).await,
        ReportCommand::Quiet(arguments) => ("report quiet", analyses::quiet(session, arguments).await),
        ReportCommand::Coverage(arguments) => ("report coverage", analyses::coverage(session, arguments).await),
        ReportCommand::Use(arguments) => ("report use", analyses::usage(session, arguments).await),
        ReportCommand::Status => ("report status", report_query::Kind::Status(v1::StoreStatusQuery {})),
    };
    if !matches!(kind, report_query::Kind::Status(_)) {
        catch_up(session).await?;
    }
    let mut reply = while_waiting(what, session.client.report(what, kind)).await?;
    if pivots {
        reply = pulse_report::by_process(&reply);
    }
    show(session, &reply)
}

/// Prints an answer of the report service in the form that the user chose.
pub(super) fn show(session: &Session, reply: &v1::ReportReply) -> Result<(), Failure> {
    let text = match session.format {
        Format::Table if std::io::stdout().is_terminal() => render(reply, Rendered::Terminal),
        Format::Table => render(reply, Rendered::Table),
        Format::Csv => render(reply, Rendered::Csv),
        Format::Json => rows_alone(&render(reply, Rendered::Json))?,
        Format::Html => render(reply, Rendered::Html),
        Format::Svg => render(reply, Rendered::Svg),
        Format::Parquet => return output::write_bytes(&output::parquet(reply)?),
    };
    session.write(&text)
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

async fn together(session: &Session, arguments: TogetherArguments) -> v1::TogetherQuery {
    let TogetherArguments { at, corruption, firing, job, run, machine } = arguments;
    let at_ns = moment(session, at).await;
    v1::TogetherQuery {
        filter: Some(v1::ReportFilter { run, job: job.unwrap_or(0), machine, ..Default::default() }),
        at_ns,
        corruption: corruption.unwrap_or(0),
        firing: firing.map(|firing| firing.0.to_vec()).unwrap_or_default().into(),
    }
}

async fn perf(session: &Session, arguments: PerfArguments) -> v1::PerfQuery {
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
        filter: Some(limits(session, arguments.filter).await),
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
