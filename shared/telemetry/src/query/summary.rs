//! What ran, and how it ended.

use muster_proto::v1::{Cell, Column, ReportFilter, ReportReply, Row};
use muster_store::{Error, Result, Store};

use super::cells::{integer, number, number_column, text, text_column};
use super::run::Run;
use super::{ROWS_MAX, cut_note};

/// Whole-number columns of the statement, in its order, after job, module and started.
const COUNTS: [&str; 13] = [
    "processes",
    "starting",
    "running",
    "mia",
    "fip",
    "away",
    "finished",
    "dead",
    "lost",
    "pass",
    "fail",
    "skip",
    "error",
];
/// The same, after the two spans of time.
const STORED: [&str; 5] = ["samples", "final_reports", "verified_bytes", "errors", "corruptions"];

const SELECT: &str = "\
SELECT o.job, o.module, muster_text(o.started_at), \
       o.processes, o.starting, o.running, o.mia, o.fip, o.away, o.finished, o.dead, o.lost, \
       o.pass, o.fail, o.skip, o.error, \
       extract(epoch FROM o.all_running_at - o.started_at)::float8, \
       extract(epoch FROM o.ended_at - o.started_at)::float8, \
       coalesce(stored.samples, 0), coalesce(final.reports, 0), coalesce(final.verified, 0)::bigint, \
       coalesce(errors.n, 0), coalesce(corruptions.n, 0) \
FROM job_outcome AS o \
LEFT JOIN (SELECT job, samples FROM job_stored WHERE run = $1::bigint) AS stored USING (job) \
LEFT JOIN (SELECT job, count(*) AS reports, sum((totals ->> 'verified_bytes')::float8) AS verified \
           FROM final_report WHERE run = $1 GROUP BY job) AS final USING (job) \
LEFT JOIN (SELECT job, count(*) AS n FROM error_report WHERE run = $1 GROUP BY job) AS errors USING (job) \
LEFT JOIN (SELECT job, count(*) AS n FROM corruption_report WHERE run = $1 GROUP BY job) AS corruptions USING (job) \
WHERE o.run = $1 AND ($2::bigint = 0 OR o.job = $2) AND ($3::text = '' OR o.module = $3) \
  AND ($4::text = '' OR EXISTS (SELECT FROM process AS p WHERE p.run = $1 AND p.job = o.job AND p.machine = $4)) \
  AND o.started_at >= coalesce(muster_time($5), '-infinity') AND o.started_at < coalesce(muster_time($6), 'infinity') \
ORDER BY o.job LIMIT $7";

/// One row for each job of a run.
///
/// # Errors
/// As the store.
pub async fn summary(store: &Store, run: &Run, filter: &ReportFilter) -> Result<ReportReply> {
    let client = store.client().await?;
    let limit = i64::try_from(ROWS_MAX + 1).unwrap_or(i64::MAX);
    let (run_id, job) = (i64::from(run.id.0), i64::from(filter.job));
    let (module, machine) = (&filter.module, &filter.machine);
    let parameters: [&(dyn postgres_types::ToSql + Sync); 7] =
        [&run_id, &job, module, machine, &filter.from_ns, &filter.to_ns, &limit];
    let mut rows = client.query(SELECT, &parameters).await.map_err(Error::doing("summarise the run"))?;
    let cut = rows.len() > ROWS_MAX;
    rows.truncate(ROWS_MAX);
    let mut notes = vec![total_note(run, &rows)];
    notes.extend(trouble_note(&client).await?);
    notes.extend(cut.then(cut_note));
    let title = format!("run {}", run.id);
    Ok(ReportReply { title, columns: columns(), rows: rows.iter().map(row).collect(), notes })
}

fn columns() -> Vec<Column> {
    let mut columns = vec![number_column("job"), text_column("module"), text_column("started")];
    columns.extend(COUNTS.map(number_column));
    columns.extend(["all_running_seconds", "duration_seconds"].map(number_column));
    columns.extend(STORED.map(number_column));
    columns
}

fn row(row: &tokio_postgres::Row) -> Row {
    let mut cells: Vec<Cell> = vec![integer(row.get(0)), text(row.get::<_, String>(1)), text(row.get::<_, String>(2))];
    let spans = 3 + COUNTS.len();
    cells.extend((3..spans).map(|column| integer(row.get(column))));
    cells.extend([number(row.get(spans)), number(row.get(spans + 1))]);
    cells.extend((spans + 2..spans + 2 + STORED.len()).map(|column| integer(row.get(column))));
    Row { cells }
}

fn total_note(run: &Run, rows: &[tokio_postgres::Row]) -> String {
    let sum = |column: usize| rows.iter().map(|row| row.get::<_, i64>(column)).sum::<i64>();
    let live: i64 = (4..9).map(sum).sum();
    let stored = 3 + COUNTS.len() + 2;
    format!(
        "run {} started {}: {} jobs, {} processes, {} live, {} finished, {} dead, {} lost; {} samples, {} errors, {} corruptions",
        run.id,
        run.started,
        rows.len(),
        sum(3),
        live,
        sum(9),
        sum(10),
        sum(11),
        sum(stored),
        sum(stored + 3),
        sum(stored + 4)
    )
}

/// Says so when the store knows that something is missing.
async fn trouble_note(client: &muster_store::Client) -> Result<Option<String>> {
    let select = "SELECT (SELECT count(*) FROM gap), (SELECT count(*) FROM reject)";
    let row = client.query_one(select, &[]).await.map_err(Error::doing("count gaps"))?;
    let (gaps, rejects): (i64, i64) = (row.get(0), row.get(1));
    let note = format!("the store has {gaps} gaps and {rejects} rejected messages: `muster report status`");
    Ok((gaps + rejects > 0).then_some(note))
}
