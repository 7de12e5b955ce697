//! `muster export`: the results of a job or plan for other programs, from the store.

use std::time::Instant;

use anyhow::Context as _;
use muster_proto::v1::{self, cell::Value, report_query::Kind};
use muster_telemetry::export::{Format, Results};

use super::{Session, reports};
use crate::arguments::{ExportArguments, ExportFormat};
use crate::exit::Failure;
use crate::output;

/// Pages of an answer at most: a start has no more than 65,535 processes.
const PAGES_MAX: usize = 2_000;
/// Longer than this, and it is told how far it is.
const SILENT_MAX: std::time::Duration = std::time::Duration::from_secs(2);

pub(super) async fn run(session: &Session, arguments: ExportArguments) -> Result<(), Failure> {
    reports::catch_up(session).await?;
    let results = Results::of(&pages(session, &arguments).await?);
    let unfinished = results.unfinished();
    if unfinished > 0 {
        eprintln!("muster: {unfinished} of {} have not ended: they are told as skipped or pending", results.name);
    }
    let text = results.render(match arguments.format {
        ExportFormat::Junit => Format::Junit,
        ExportFormat::Tap => Format::Tap,
        ExportFormat::Ctrf => Format::Ctrf,
    });
    let Some(file) = arguments.to else { return output::write(&text) };
    tokio::fs::write(&file, text).await.with_context(|| format!("write {}", file.display()))?;
    Ok(())
}

async fn pages(session: &Session, arguments: &ExportArguments) -> Result<Vec<v1::ReportReply>, Failure> {
    let filter = v1::ReportFilter { run: arguments.run, job: arguments.target.0.0, ..Default::default() };
    let (mut pages, mut after, begun) = (Vec::new(), 0, Instant::now());
    for _ in 0..PAGES_MAX {
        let query = v1::ResultsQuery { filter: Some(filter.clone()), after_process: after };
        let page = session.client.report("export", Kind::Results(query)).await?;
        let last = last_process(&page);
        pages.push(page);
        match last {
            Some(last) if last > after => after = last,
            _ => break,
        }
        if begun.elapsed() >= SILENT_MAX {
            eprintln!("muster: {after} processes read");
        }
    }
    Ok(pages)
}

/// The last process of a page; none where it has none.
fn last_process(page: &v1::ReportReply) -> Option<u32> {
    let place = page.columns.iter().position(|column| column.name == "process")?;
    let numbers = page.rows.iter().filter_map(|row| match row.cells.get(place)?.value {
        Some(Value::Integer(number)) => u32::try_from(number).ok(),
        Some(Value::Text(_) | Value::Number(_)) | None => None,
    });
    numbers.max()
}
