//! `muster report`: questions about the past, answered by the report service and laid out by muster-telemetry.

use muster_proto::v1::{self, report_query};
use muster_telemetry::{Format as Rendered, render};

use super::Session;
use crate::arguments::{DimensionName, FilterArguments, PerfArguments, ReportCommand};
use crate::exit::Failure;
use crate::output::{self, Format};
use crate::times::nanoseconds;

pub(super) async fn run(session: &Session, command: ReportCommand) -> Result<(), Failure> {
    let (what, kind) = match command {
        ReportCommand::Summary(arguments) => {
            ("report summary", report_query::Kind::Summary(v1::SummaryQuery { filter: Some(filter(arguments)) }))
        }
        ReportCommand::Perf(arguments) => ("report perf", report_query::Kind::Perf(perf(arguments))),
        ReportCommand::Status => ("report status", report_query::Kind::Status(v1::StoreStatusQuery {})),
    };
    let reply = session.client.report(what, kind).await?;
    let text = match session.format {
        Format::Table => render(&reply, Rendered::Table),
        Format::Csv => render(&reply, Rendered::Csv),
        Format::Json => rows_alone(&render(&reply, Rendered::Json))?,
    };
    output::write(&text)
}

fn filter(arguments: FilterArguments) -> v1::ReportFilter {
    let FilterArguments { run, job, module, machine } = arguments;
    v1::ReportFilter { run, job, module, machine, ..Default::default() }
}

fn perf(arguments: PerfArguments) -> v1::PerfQuery {
    let by = match arguments.by {
        DimensionName::Module => v1::Dimension::Module,
        DimensionName::Machine => v1::Dimension::Machine,
        DimensionName::Device => v1::Dimension::Device,
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
