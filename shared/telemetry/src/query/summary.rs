//! What ran, and how it ended.

use muster_proto::v1::{Cell, Column, ReportReply, Row};
use muster_store::{Error, Result, Store};

use super::cells::{integer, number, number_column, text, text_column};
use super::fetch::fetch;
use super::scope::{ASKED, PICKED, Scope};

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

/// A job counts where it ran within the time that is asked for; what it stored counts as a whole.
const SELECT: &str = "\
SELECT o.job, o.module, muster_text(o.started_at), \
       o.processes, o.starting, o.running, o.mia, o.fip, o.away, o.finished, o.dead, o.lost, \
       o.pass, o.fail, o.skip, o.error, \
       extract(epoch FROM o.all_running_at - o.started_at)::float8, \
       extract(epoch FROM o.ended_at - o.started_at)::float8, \
       coalesce(stored.samples, 0), coalesce(final.reports, 0), coalesce(final.verified, 0)::bigint, \
       coalesce(errors.n, 0), coalesce(corruptions.n, 0), o.run \
FROM asked CROSS JOIN job_outcome AS o \
LEFT JOIN (SELECT run, job, samples FROM job_stored) AS stored ON (stored.run, stored.job) = (o.run, o.job) \
LEFT JOIN (SELECT f.run, f.job, count(*) AS reports, sum((f.totals ->> 'verified_bytes')::float8) AS verified \
           FROM asked JOIN final_report AS f ON asked.run IN (0, f.run) GROUP BY 1, 2) AS final ON (final.run, final.job) = (o.run, o.job) \
LEFT JOIN (SELECT e.run, e.job, count(*) AS n FROM asked JOIN error_report AS e ON asked.run IN (0, e.run) GROUP BY 1, 2) AS errors ON (errors.run, errors.job) = (o.run, o.job) \
LEFT JOIN (SELECT c.run, c.job, count(*) AS n FROM asked JOIN corruption_report AS c ON asked.run IN (0, c.run) GROUP BY 1, 2) AS corruptions ON (corruptions.run, corruptions.job) = (o.run, o.job) \
WHERE asked.run IN (0, o.run) AND (asked.job = 0 OR o.job = asked.job) AND (asked.module = '' OR o.module = asked.module \
       OR (o.run, o.job) IN (SELECT run, job FROM picked)) \
  AND (asked.machine = '' AND asked.machine_type = '' AND asked.device = '' AND asked.device_type = '' AND asked.process = 0 \
       OR (o.run, o.job) IN (SELECT run, job FROM picked)) \
  AND o.started_at < asked.until AND coalesce(o.ended_at, 'infinity') >= asked.since \
ORDER BY o.run, o.job";

/// One row for each job of a run, or of any run within a period.
///
/// # Errors
/// As the store.
pub async fn summary(store: &Store, scope: &Scope) -> Result<ReportReply> {
    let client = store.client().await?;
    let statement = format!("{ASKED}, {PICKED} {SELECT}");
    let fetched = fetch(&client, "summarise the run", &statement, &scope.parameters(&[])).await?;
    let of_runs = scope.run() == 0;
    let mut reply = fetched.answer(scope.words().to_owned(), columns(of_runs), |found| row(found, of_runs));
    let mut notes = vec![total_note(scope, &fetched.rows)];
    notes.extend(trouble_note(&client).await?);
    notes.append(&mut reply.notes);
    Ok(ReportReply { notes, ..reply })
}

fn columns(of_runs: bool) -> Vec<Column> {
    let mut columns: Vec<Column> = of_runs.then(|| number_column("run")).into_iter().collect();
    columns.extend([number_column("job"), text_column("module"), text_column("started")]);
    columns.extend(COUNTS.map(number_column));
    columns.extend(["all_running_seconds", "duration_seconds"].map(number_column));
    columns.extend(STORED.map(number_column));
    columns
}

fn row(row: &tokio_postgres::Row, of_runs: bool) -> Row {
    let run = 3 + COUNTS.len() + 2 + STORED.len();
    let mut cells: Vec<Cell> = of_runs.then(|| integer(row.get(run))).into_iter().collect();
    cells.extend([integer(row.get(0)), text(row.get::<_, String>(1)), text(row.get::<_, String>(2))]);
    let spans = 3 + COUNTS.len();
    cells.extend((3..spans).map(|column| integer(row.get(column))));
    cells.extend([number(row.get(spans)), number(row.get(spans + 1))]);
    cells.extend((spans + 2..spans + 2 + STORED.len()).map(|column| integer(row.get(column))));
    Row { cells }
}

fn total_note(scope: &Scope, rows: &[tokio_postgres::Row]) -> String {
    let sum = |column: usize| rows.iter().map(|row| row.get::<_, i64>(column)).sum::<i64>();
    let live: i64 = (4..9).map(sum).sum();
    let stored = 3 + COUNTS.len() + 2;
    format!(
        "{}: {} jobs, {} processes, {} live, {} finished, {} dead, {} lost; {} samples, {} errors, {} corruptions",
        scope.told(),
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
