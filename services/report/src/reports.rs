//! Questions about a run or a period: which limits they have, and what they are refused for.

use muster_model::{Dpid, JobNumber, ProcessNumber, Refusal, RefusalCode};
use muster_proto::v1;
use muster_store::{Store, read_retrying};
use muster_telemetry::query::{self, Scope, Timeline};

use crate::answer::{BUCKET_MIN, invalid, no_run, refusal};

type Answer = Result<v1::ReportReply, Refusal>;

/// A part of one, in millionths.
const WHOLE_PPM: u32 = 1_000_000;

/// What ran, and how it ended.
pub(crate) async fn summary(store: &Store, filter: v1::ReportFilter) -> Answer {
    let scope = scope(store, &filter).await?;
    read_retrying(|| query::summary(store, &scope)).await.map_err(|error| refusal(&error))
}

/// Wrong data that was found.
pub(crate) async fn corruptions(store: &Store, filter: v1::ReportFilter) -> Answer {
    let scope = scope(store, &filter).await?;
    read_retrying(|| query::corruptions(store, &scope)).await.map_err(|error| refusal(&error))
}

/// What went wrong.
pub(crate) async fn errors(store: &Store, filter: v1::ReportFilter) -> Answer {
    let scope = scope(store, &filter).await?;
    read_retrying(|| query::errors(store, &scope)).await.map_err(|error| refusal(&error))
}

/// All that is known of one process.
pub(crate) async fn history(store: &Store, filter: v1::ReportFilter) -> Answer {
    if filter.job == 0 || filter.process == 0 {
        return Err(invalid("it names no process"));
    }
    let scope = scope(store, &filter).await?;
    let dpid = Dpid { job: JobNumber(filter.job), process: ProcessNumber(filter.process) }.to_string();
    let told = read_retrying(|| query::history(store, &scope, &dpid)).await.map_err(|error| refusal(&error))?;
    told.ok_or_else(|| {
        let next = "`muster ps --all` lists processes of this run; name another as RUN/DPID";
        Refusal::new(RefusalCode::NotFound, "report history", format!("the store does not know {dpid}"), next)
    })
}

/// What happened in each stretch of time.
pub(crate) async fn timeline(store: &Store, query: v1::TimelineQuery) -> Answer {
    if query.bucket_ns != 0 && query.bucket_ns < BUCKET_MIN {
        return Err(invalid("a time bucket is narrower than 1 ms"));
    }
    let scope = scope(store, &query.filter.unwrap_or_default()).await?;
    let asked = Timeline { bucket_ns: query.bucket_ns, metric: query.metric };
    read_retrying(|| query::timeline(store, &scope, &asked)).await.map_err(|error| refusal(&error))
}

/// Machines and devices against their peers.
pub(crate) async fn worst(store: &Store, query: v1::WorstQuery) -> Answer {
    let scope = scope(store, &query.filter.unwrap_or_default()).await?;
    read_retrying(|| query::worst(store, &scope, &query.metrics)).await.map_err(|error| refusal(&error))
}

/// Two runs beside each other.
pub(crate) async fn compare(store: &Store, query: v1::CompareQuery) -> Answer {
    if query.significance_ppm >= WHOLE_PPM {
        return Err(invalid("a significance is a part of 1"));
    }
    let filter = query.filter.clone().unwrap_or_default();
    let before = scope(store, &filter).await?;
    let after = scope(store, &v1::ReportFilter { run: query.run, ..filter }).await?;
    read_retrying(|| query::compare(store, &before, &after, &query)).await.map_err(|error| refusal(&error))
}

/// What has stopped to report.
pub(crate) async fn quiet(store: &Store, query: v1::QuietQuery) -> Answer {
    let scope = scope(store, &query.filter.unwrap_or_default()).await?;
    read_retrying(|| query::quiet(store, &scope, query.longer_than_ns)).await.map_err(|error| refusal(&error))
}

/// What was tested on what.
pub(crate) async fn coverage(store: &Store, query: v1::CoverageQuery, now_ns: i64) -> Answer {
    let scope = scope(store, &query.filter.unwrap_or_default()).await?;
    let answer = match query.pairs {
        true => read_retrying(|| query::coverage_pairs(store, &scope, now_ns)).await,
        false => read_retrying(|| query::coverage(store, &scope, now_ns)).await,
    };
    answer.map_err(|error| refusal(&error))
}

/// Who had machines.
pub(crate) async fn usage(store: &Store, query: v1::UsageQuery, now_ns: i64) -> Answer {
    let scope = scope(store, &query.filter.unwrap_or_default()).await?;
    read_retrying(|| query::usage(store, &scope, now_ns, query.by_machine)).await.map_err(|error| refusal(&error))
}

/// Results of the processes of a job.
pub(crate) async fn results(store: &Store, query: v1::ResultsQuery) -> Answer {
    let filter = query.filter.unwrap_or_default();
    let job = filter.job;
    if job == 0 {
        return Err(invalid("it names no job"));
    }
    let scope = scope(store, &filter).await?;
    let found = read_retrying(|| query::results(store, &scope, job, query.after_process)).await;
    found.map_err(|error| refusal(&error))?.ok_or_else(|| {
        let next = "`muster report summary` lists jobs; --run for an older run";
        Refusal::new(RefusalCode::NotFound, "export", format!("the store does not know job {job}"), next)
    })
}

async fn scope(store: &Store, filter: &v1::ReportFilter) -> Result<Scope, Refusal> {
    let found = read_retrying(|| Scope::find(store, filter)).await.map_err(|error| refusal(&error))?;
    found.ok_or_else(|| no_run(filter.run))
}
