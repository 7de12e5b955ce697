//! What a question is limited to, in words and as the beginning of a statement.
//!
//! Every statement of a report begins with [`ASKED`], whose first ten parameters are [`Scope::parameters`], so that a filter means
//! the same everywhere. What is looked up for each row is `IN` a whole of its own, which PostgreSQL hashes once; a correlated `EXISTS`
//! would be run for each.

use muster_model::RunId;
use muster_proto::v1::ReportFilter;
use muster_store::{Client, Error, Result, Store};
use postgres_types::ToSql;

use super::run::{Run, find_run};

/// One row with the limits. `born` and `next`: when the run began, and the one after it, which bound what belongs to no run.
pub(super) const ASKED: &str = "\
WITH asked AS (SELECT $1::bigint AS run, $2::bigint AS job, $3::bigint AS process, $4::text AS module, $5::text AS machine, \
       $6::text AS machine_type, $7::text AS device, $8::text AS device_type, \
       coalesce(muster_time($9::bigint), '-infinity') AS since, coalesce(muster_time($10::bigint), 'infinity') AS until, \
       coalesce((SELECT min(started_at) FROM (SELECT started_at FROM run WHERE run = $1 \
                 UNION ALL SELECT started_at FROM job WHERE run = $1) AS starts), '-infinity') AS born, \
       coalesce((SELECT min(started_at) FROM run WHERE run > $1 AND $1 > 0), 'infinity') AS next)";

/// Attempts of processes within the limits, of any time.
pub(super) const PICKED: &str = "\
picked AS (SELECT p.* FROM asked CROSS JOIN process_attempt AS p \
    WHERE (asked.run = 0 OR p.run = asked.run) AND (asked.job = 0 OR p.job = asked.job) \
      AND (asked.process = 0 OR p.process = asked.process) AND (asked.module = '' OR p.module = asked.module) \
      AND (asked.machine = '' OR p.machine = asked.machine) AND (asked.device = '' OR asked.device = ANY(p.devices)) \
      AND (asked.machine_type = '' OR (p.machine, asked.machine_type) IN (SELECT machine, machine_type FROM machine_kind)) \
      AND (asked.device_type = '' OR EXISTS (SELECT FROM unnest(p.devices) AS own(device) \
           WHERE (p.machine, own.device, asked.device_type) IN (SELECT machine, device, device_type FROM machine_device))))";

/// Machines within the limits, as a condition on `MACHINE`; true where the question names none.
pub(super) const MACHINE_WANTED: &str = "\
(asked.machine = '' OR MACHINE = asked.machine) \
 AND (asked.machine_type = '' OR (MACHINE, asked.machine_type) IN (SELECT machine, machine_type FROM machine_kind))";

/// Whether the question is about processes alone, so that what concerns none of them is left out.
pub(super) const NAMES_PROCESSES: &str = "\
(asked.job > 0 OR asked.process > 0 OR asked.module <> '' OR asked.device <> '' OR asked.device_type <> '')";

/// What a question is limited to.
#[derive(Debug, Clone)]
pub struct Scope {
    run: i64,
    job: i64,
    process: i64,
    filter: ReportFilter,
    words: String,
    started: Option<String>,
}

impl Scope {
    /// The run that is named; without one the newest, or any where a time is said. None where the store does not know it.
    ///
    /// # Errors
    /// As the store.
    pub async fn find(store: &Store, filter: &ReportFilter) -> Result<Option<Self>> {
        if filter.run == 0 && filter.job == 0 && (filter.from_ns != 0 || filter.to_ns != 0) {
            let words = period(&store.client().await?, filter).await?;
            return Ok(Some(Self::of(0, filter, words, None)));
        }
        let run = find_run(store, RunId(filter.run)).await?;
        Ok(run.map(|run| Self::of_run(&run, filter)))
    }

    /// A known run.
    pub(super) fn of_run(run: &Run, filter: &ReportFilter) -> Self {
        Self::of(run.id.0.into(), filter, format!("run {}", run.id), Some(run.started.clone()))
    }

    fn of(run: i64, filter: &ReportFilter, words: String, started: Option<String>) -> Self {
        Self { run, job: filter.job.into(), process: filter.process.into(), filter: filter.clone(), words, started }
    }

    /// The run; 0 for any.
    pub(super) fn run(&self) -> i64 {
        self.run
    }

    /// The limits as they were asked for.
    pub(super) fn filter(&self) -> &ReportFilter {
        &self.filter
    }

    /// `run 3`, or the period.
    pub(super) fn words(&self) -> &str {
        &self.words
    }

    /// `run 3 started 2026-11-20T12:00:00.000Z`, or the period.
    pub(super) fn told(&self) -> String {
        match &self.started {
            Some(started) => format!("{} started {started}", self.words),
            None => self.words.clone(),
        }
    }

    /// Parameters $1 to $10 of [`ASKED`], followed by others.
    pub(super) fn parameters<'a>(&'a self, more: &[&'a (dyn ToSql + Sync)]) -> Vec<&'a (dyn ToSql + Sync)> {
        let filter = &self.filter;
        let own: [&(dyn ToSql + Sync); 10] = [
            &self.run,
            &self.job,
            &self.process,
            &filter.module,
            &filter.machine,
            &filter.machine_type,
            &filter.device,
            &filter.device_type,
            &filter.from_ns,
            &filter.to_ns,
        ];
        own.into_iter().chain(more.iter().copied()).collect()
    }
}

async fn period(client: &Client, filter: &ReportFilter) -> Result<String> {
    let select = "SELECT coalesce(muster_text(muster_time($1::bigint)), 'the beginning'), \
                         coalesce(muster_text(muster_time($2::bigint)), 'now')";
    let row = client.query_one(select, &[&filter.from_ns, &filter.to_ns]).await;
    let row = row.map_err(Error::doing("say the period"))?;
    Ok(format!("{} to {}", row.get::<_, String>(0), row.get::<_, String>(1)))
}

/// [`MACHINE_WANTED`] of a column.
pub(super) fn machine_wanted(column: &str) -> String {
    MACHINE_WANTED.replace("MACHINE", column)
}

/// A condition on a row of a report table that is called `alias`: of the asked time, and of a process or machine that is asked for.
pub(super) fn report_wanted(alias: &str) -> String {
    let machine = machine_wanted(&format!("{alias}.machine"));
    format!(
        "{alias}.at >= asked.since AND {alias}.at < asked.until AND ( \
           {alias}.job > 0 AND ({alias}.run, {alias}.job, {alias}.process, {alias}.attempt) IN (SELECT run, job, process, attempt FROM picked) \
           OR {alias}.job = 0 AND NOT {NAMES_PROCESSES} AND {alias}.at >= asked.born AND {alias}.at < asked.next AND {machine})"
    )
}
