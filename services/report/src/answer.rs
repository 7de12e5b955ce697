//! One question and its answer.

use std::collections::BTreeMap;

use muster_bus::{Bus, body, streams};
use muster_model::{Refusal, RefusalCode, RunId};
use muster_proto::v1;
use muster_proto::v1::envelope::Body;
use muster_proto::v1::report_query::Kind;
use muster_store::{Error, Store, read_retrying};
use muster_telemetry::query::{self, Bucket, Moment, Run, StreamEnd};

use crate::reports;

/// Narrowest time bucket, nanoseconds.
pub(crate) const BUCKET_MIN: i64 = 1_000_000;

/// Answers a question.
///
/// # Errors
/// What was asked for does not exist, is malformed, or the store is away.
pub(crate) async fn answer(
    bus: &Bus,
    store: &Store,
    envelope: &Result<v1::Envelope, String>,
) -> Result<v1::ReportReply, Refusal> {
    let envelope = envelope.clone().map_err(|error| invalid(&error))?;
    let Body::ReportQuery(query) = body(envelope).map_err(invalid)? else {
        return Err(invalid("the request is no report_query"));
    };
    match query.kind.ok_or_else(|| invalid("it asks nothing that this version knows"))? {
        Kind::Summary(query) => reports::summary(store, query.filter.unwrap_or_default()).await,
        Kind::Perf(query) => perf(store, &query).await,
        Kind::Corruption(query) if query.number > 0 => {
            let answer = read_retrying(|| query::corruption(store, query.number)).await;
            answer.map_err(|error| refusal(&error))?.ok_or_else(|| no_corruption(query.number))
        }
        Kind::Corruption(query) => reports::corruptions(store, query.filter.unwrap_or_default()).await,
        Kind::Artifact(query) => artifacts(store, &query).await,
        Kind::Firing(query) => firings(store, &query).await,
        Kind::Together(query) => together(store, &query).await,
        Kind::Errors(query) => reports::errors(store, query.filter.unwrap_or_default()).await,
        Kind::History(query) => reports::history(store, query.filter.unwrap_or_default()).await,
        Kind::Timeline(query) => reports::timeline(store, query).await,
        Kind::Worst(query) => reports::worst(store, query).await,
        Kind::Compare(query) => reports::compare(store, query).await,
        Kind::Quiet(query) => reports::quiet(store, query).await,
        Kind::Coverage(query) => reports::coverage(store, query, bus.now().0).await,
        Kind::Usage(query) => reports::usage(store, query, bus.now().0).await,
        Kind::Results(query) => reports::results(store, query).await,
        Kind::TelemetryStatus(_) => {
            let end = stream_ends(bus).await.get(streams::TEL).copied();
            read_retrying(|| query::kept(store, streams::TEL, end)).await.map_err(|error| refusal(&error))
        }
        Kind::Status(_) => {
            let ends = stream_ends(bus).await;
            read_retrying(|| query::status(store, &ends)).await.map_err(|error| refusal(&error))
        }
    }
}

async fn perf(store: &Store, query: &v1::PerfQuery) -> Result<v1::ReportReply, Refusal> {
    let bucket = match query.bucket_ns {
        0 => Bucket::default(),
        nanoseconds if nanoseconds >= BUCKET_MIN => Bucket { nanoseconds },
        _ => return Err(invalid("a time bucket is narrower than 1 ms")),
    };
    let run = known_run(store, &query.filter.clone().unwrap_or_default()).await?;
    let answer = read_retrying(|| query::perf(store, &run, query, bucket)).await.map_err(|error| refusal(&error))?;
    answer.ok_or_else(|| {
        invalid("it names no dimension; there are module, machine, machine type, device, device type, process and time")
    })
}

/// A firing is of the run that it is of.
async fn firings(store: &Store, query: &v1::FiringQuery) -> Result<v1::ReportReply, Refusal> {
    let filter = query.filter.clone().unwrap_or_default();
    if filter.process > 0 || ![filter.machine_type, filter.device, filter.device_type].iter().all(String::is_empty) {
        return Err(invalid("firings are limited by run, job, module, machine and time alone"));
    }
    let run = match query.firing.is_empty() {
        true => Some(known_run(store, &query.filter.clone().unwrap_or_default()).await?),
        false => None,
    };
    read_retrying(|| query::firings(store, run.as_ref(), query)).await.map_err(|error| refusal(&error))
}

/// Of a moment where one is said, else with a job.
async fn together(store: &Store, query: &v1::TogetherQuery) -> Result<v1::ReportReply, Refusal> {
    let filter = query.filter.clone().unwrap_or_default();
    if query.at_ns == 0 && query.corruption == 0 && query.firing.is_empty() {
        if filter.job == 0 {
            return Err(invalid("it names neither a moment, a corruption, a firing nor a job"));
        }
        let run = known_run(store, &filter).await?;
        return read_retrying(|| query::together_with(store, &run, filter.job)).await.map_err(|error| refusal(&error));
    }
    let found = read_retrying(|| Moment::find(store, query)).await.map_err(|error| refusal(&error))?;
    let moment = found.ok_or_else(|| {
        let why = "the store knows no such corruption or firing, or no run at that time";
        let next = "`muster report corruption` and `muster report triggers` list them";
        Refusal::new(RefusalCode::NotFound, "report", why, next)
    })?;
    read_retrying(|| query::together(store, &moment)).await.map_err(|error| refusal(&error))
}

/// A corruption, a firing or a name is of the run that it is of; a crash of a machine is of none.
async fn artifacts(store: &Store, query: &v1::ArtifactQuery) -> Result<v1::ReportReply, Refusal> {
    let is_named = query.corruption > 0 || !query.name.is_empty() || !query.firing.is_empty() || query.crash_files;
    let run = if is_named { None } else { Some(known_run(store, &query.filter.clone().unwrap_or_default()).await?) };
    let answer = read_retrying(|| query::artifacts(store, run.as_ref(), query)).await;
    answer.map_err(|error| refusal(&error))?.ok_or_else(|| no_corruption(query.corruption))
}

fn no_corruption(number: u64) -> Refusal {
    let why = format!("the store does not know corruption {number}");
    Refusal::new(RefusalCode::NotFound, "report", why, "`muster report corruption` lists them; --run for an older run")
}

async fn known_run(store: &Store, filter: &v1::ReportFilter) -> Result<Run, Refusal> {
    let run = read_retrying(|| query::find_run(store, RunId(filter.run))).await.map_err(|error| refusal(&error))?;
    run.ok_or_else(|| no_run(filter.run))
}

/// The store does not know a run; 0 is the newest.
pub(crate) fn no_run(run: u32) -> Refusal {
    let (why, next) = match run {
        0 => ("the store knows no run yet".into(), "start a job; `muster report status` shows how far the store is"),
        number => (format!("the store does not know run {number}"), "leave --run out for the newest"),
    };
    Refusal::new(RefusalCode::NotFound, "report", why, next)
}

/// Where the streams end, as far as the bus answers.
async fn stream_ends(bus: &Bus) -> BTreeMap<String, StreamEnd> {
    let mut ends = BTreeMap::new();
    for row in streams::TABLE {
        match bus.stream_state(row.name).await {
            Ok(Some(state)) => {
                let end = StreamEnd { epoch: state.created.0, last: state.last };
                ends.insert(row.name.to_owned(), end);
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(stream = row.name, %error, "a stream could not be looked at"),
        }
    }
    ends
}

/// What is asked makes no sense.
pub(crate) fn invalid(why: &str) -> Refusal {
    Refusal::new(RefusalCode::Invalid, "report", why, "see `muster report --help`")
}

/// The refusal that a failure of the store is.
pub(crate) fn refusal(error: &Error) -> Refusal {
    let why = error.to_string();
    match error {
        Error::Unavailable { .. } => Refusal::new(
            RefusalCode::Unavailable,
            "report",
            why,
            "jobs go on without it; try again when PostgreSQL is back",
        ),
        Error::TimedOut { .. } => Refusal::new(
            RefusalCode::Limit,
            "report",
            why,
            "narrow it: --job, --module, --machine, --metric, a time span",
        ),
        Error::Broken { .. } | Error::Unfit { .. } => {
            tracing::error!(%error, "the store refused a question");
            let next = "is muster-telemetry-logger of the same version running? it makes the schema";
            Refusal::new(RefusalCode::Unavailable, "report", why, next)
        }
    }
}
