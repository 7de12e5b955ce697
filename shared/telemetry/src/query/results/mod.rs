//! Results of the processes of a job, for programs that know nothing of Muster: what `muster export` writes.

mod tasks;

use muster_proto::v1::{Column, ReportReply, Row};
use muster_store::{Client, Error, Result, Store};
use serde_json::Value;

use self::tasks::Tasks;
use super::cells::{integer, maybe_integer, number_column, text, text_column};
use super::scope::{ASKED, Scope};

/// Rows of one page, which fits a message even if each has its longest texts.
const PAGE: i64 = 250;
/// Events of a plan that are read at most.
const PLAN_EVENTS_MAX: i64 = 100_000;
/// Messages of one attempt that are told.
const MESSAGES_MAX: i64 = 5;

/// Names of the columns, which `export` reads again.
const TEXTS: [&str; 15] = [
    "dpid",
    "step",
    "task",
    "module",
    "module_version",
    "machine",
    "machine_type",
    "kernel",
    "kernel_build_id",
    "devices",
    "state",
    "verdict",
    "reason",
    "messages",
    "actor",
];
const NUMBERS: [&str; 8] =
    ["process", "attempt", "exit_status", "corruptions", "placed_ms", "running_ms", "ended_ms", "errors"];

/// The kernel of an attempt is the newest that its machine had said to run when it began.
const SELECT: &str = "\
SELECT p.dpid, p.module, coalesce(j.module_version, ''), p.machine, coalesce(k.machine_type, ''), coalesce(k.kernel_release, ''), \
       coalesce(k.kernel_build_id, ''), array_to_string(p.devices, ' '), p.state, p.verdict, p.reason, \
       coalesce((SELECT string_agg(left(m.message, 500), E'\\n') FROM (SELECT e.message FROM error_report AS e \
           WHERE (e.run, e.job, e.process, e.attempt) = (p.run, p.job, p.process, p.attempt) ORDER BY e.at, e.ordinal LIMIT $12) AS m), ''), \
       coalesce(j.actor, ''), p.process, p.attempt, p.exit_status::bigint, \
       (SELECT count(*) FROM corruption_report AS c WHERE (c.run, c.job, c.process, c.attempt) = (p.run, p.job, p.process, p.attempt)), \
       (extract(epoch FROM p.placed_at) * 1000)::bigint, (extract(epoch FROM p.running_at) * 1000)::bigint, \
       (extract(epoch FROM p.ended_at) * 1000)::bigint, \
       (SELECT count(*) FROM error_report AS e WHERE (e.run, e.job, e.process, e.attempt) = (p.run, p.job, p.process, p.attempt)) \
FROM asked JOIN process_attempt AS p ON p.run = asked.run AND p.job = asked.job AND p.process > $11::bigint \
LEFT JOIN job AS j ON (j.run, j.job) = (p.run, p.job) \
LEFT JOIN LATERAL (SELECT l.detail #>> '{inventory,machine_type}' AS machine_type, l.detail #>> '{inventory,kernel_release}' AS kernel_release, \
                          l.detail #>> '{inventory,kernel_build_id}' AS kernel_build_id \
    FROM log_event AS l WHERE l.log = 'MACHINES' AND l.subject = p.machine AND l.kind = 'inventory_changed' \
      AND l.at <= coalesce(p.running_at, p.placed_at, 'infinity') ORDER BY l.at DESC LIMIT 1) AS k ON true \
WHERE asked.process = 0 OR p.process = asked.process \
ORDER BY p.process, p.attempt LIMIT $13";

/// Events of the plan that the job is, if it is one, in order.
const PLAN: &str = "\
SELECT l.kind, l.detail FROM asked CROSS JOIN log_event AS l \
WHERE l.log = 'JOBS' AND l.subject = asked.job::text AND l.kind IN ('plan_started', 'plan_task_placed', 'plan_tasks_ended') \
  AND l.at >= asked.born AND l.at < asked.next ORDER BY l.lineage, l.sequence, l.ordinal LIMIT $11";

/// A page of results after a process, the first of which has the tasks that had no processes; none where the store does not know the job.
///
/// # Errors
/// As the store.
pub async fn results(store: &Store, scope: &Scope, job: u32, after: u32) -> Result<Option<ReportReply>> {
    let client = store.client().await?;
    let known = format!("{ASKED} SELECT count(*) FROM asked JOIN job USING (run, job)");
    let row = client.query_one(&known, &scope.parameters(&[])).await.map_err(Error::doing("find the job"))?;
    if row.get::<_, i64>(0) == 0 {
        return Ok(None);
    }
    let tasks = tasks(&client, scope).await?;
    let statement = format!("{ASKED} {SELECT}");
    let (after, limit) = (i64::from(after), PAGE + 1);
    let parameters = scope.parameters(&[&after, &MESSAGES_MAX, &limit]);
    let mut rows = client.query(&statement, &parameters).await.map_err(Error::doing("read the results"))?;
    if rows.len() > usize::try_from(PAGE).unwrap_or(usize::MAX) {
        // Attempts of one process stay together: the last one of the page is asked for again.
        let last: i64 = rows.last().map_or(0, |row| row.get(13));
        rows.retain(|row| row.get::<_, i64>(13) < last);
    }
    let mut answer: Vec<Row> = rows.iter().map(|row| result(row, &tasks)).collect();
    if after == 0 {
        answer.extend(tasks.without_processes().map(|task| untried(&task)));
    }
    let title = format!("job {job} of {}", scope.words());
    Ok(Some(ReportReply { title, columns: columns(), rows: answer, notes: Vec::new() }))
}

fn columns() -> Vec<Column> {
    TEXTS.map(text_column).into_iter().chain(NUMBERS.map(number_column)).collect()
}

fn result(row: &tokio_postgres::Row, tasks: &Tasks) -> Row {
    let text_of = |column: usize| text(row.get::<_, String>(column));
    let (step, task) = tasks.of_process(row.get(13), row.get(14)).unwrap_or_default();
    let mut cells = vec![text_of(0), text(step), text(task)];
    cells.extend((1..13).map(text_of));
    cells.extend([13, 14].map(|column| integer(row.get(column))));
    cells.extend((15..21).map(|column| maybe_integer(row.get(column))));
    Row { cells }
}

/// A task of a plan that never had processes.
fn untried(task: &tasks::Untried) -> Row {
    let words =
        ["", &task.step, &task.task, "", "", "", "", "", "", "", &task.state, &task.verdict, &task.reason, "", ""];
    let mut cells: Vec<_> = words.map(text).into();
    cells.extend((0..NUMBERS.len()).map(|_| maybe_integer(None)));
    Row { cells }
}

async fn tasks(client: &Client, scope: &Scope) -> Result<Tasks> {
    let statement = format!("{ASKED} {PLAN}");
    let rows = client.query(&statement, &scope.parameters(&[&PLAN_EVENTS_MAX])).await;
    let rows = rows.map_err(Error::doing("read the plan"))?;
    let mut tasks = Tasks::default();
    for row in &rows {
        let (kind, detail): (String, Value) = (row.get(0), row.get(1));
        tasks.take(&kind, &detail);
    }
    Ok(tasks)
}
