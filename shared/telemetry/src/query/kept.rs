//! What the store keeps of samples, and what it could not take.

use std::collections::BTreeMap;

use muster_proto::v1::{Cell, ReportReply, Row};
use muster_store::{Client, Error, Result, Store};

use super::StreamEnd;
use super::cells::{integer, number, number_column, text, text_column};
use crate::write::{retained_tables, retentions};

/// Bounds of series that are named.
const BOUNDS_MAX: i64 = 20;

const NUMBERS: &str = "\
WITH hot AS (SELECT count(*) AS hours, coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint AS bytes \
             FROM pg_inherits WHERE inhparent = 'sample'::regclass), \
days AS (SELECT count(*) AS days, coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint AS bytes \
         FROM pg_inherits WHERE inhparent = 'chunk'::regclass), \
done AS (SELECT count(*) AS hours, coalesce(sum(samples), 0)::bigint AS samples, coalesce(sum(chunks), 0)::bigint AS chunks, \
                coalesce(extract(epoch FROM sum(took)), 0)::float8 AS seconds FROM compaction), \
total AS (SELECT coalesce(sum(samples), 0)::bigint AS samples FROM layout_total) \
SELECT total.samples, hot.hours, hot.bytes, done.hours, done.samples, done.chunks, days.bytes, done.seconds, \
       (SELECT count(*) FROM series), (SELECT count(*) FROM gap), (SELECT count(*) FROM reject), \
       (SELECT count(*) FROM series_bound), (SELECT count(*) FROM rolled_day) \
FROM hot, days, done, total";

/// Names of the numbers of the statement, in its order.
const NAMES: [&str; 13] = [
    "samples",
    "hot_hours",
    "hot_bytes",
    "compacted_hours",
    "compacted_samples",
    "chunks",
    "chunk_bytes",
    "compaction_seconds",
    "series",
    "gaps",
    "rejects",
    "bounds_reached",
    "rolled_days",
];

/// One row for each number. `end` is what the bus says of the stream of samples; none where it was not reachable.
///
/// # Errors
/// As the store.
pub async fn kept(store: &Store, stream: &str, end: Option<StreamEnd>) -> Result<ReportReply> {
    let client = store.client().await?;
    let found = client.query_one(NUMBERS, &[]).await.map_err(Error::doing("measure what is kept"))?;
    let cell = |(column, name): (usize, &&str)| match *name {
        "compaction_seconds" => number(Some(found.get(column))),
        _ => integer(found.get(column)),
    };
    let mut rows: Vec<Row> =
        NAMES.iter().enumerate().map(|(column, name)| row(name, cell((column, name)), String::new())).collect();
    rows.extend(backlog(&client, stream, end).await?);
    let keeping: BTreeMap<String, i64> = retentions(store)
        .await?
        .into_iter()
        .map(|(name, keep)| (name, i64::try_from(keep.as_secs()).unwrap_or(i64::MAX)))
        .collect();
    for table in retained_tables() {
        let (value, told) = match keeping.get(table) {
            Some(seconds) => (integer(*seconds), format!("{table} goes after so many seconds")),
            None => (Cell::default(), format!("{table} keeps everything")),
        };
        rows.push(row(&format!("retention_{table}"), value, told));
    }
    let columns = vec![text_column("name"), number_column("value"), text_column("detail")];
    let notes = bounds(&client).await?;
    Ok(ReportReply { title: format!("samples in {}", store.place()), columns, rows, notes })
}

fn row(name: &str, value: Cell, detail: String) -> Row {
    Row { cells: vec![text(name), value, text(detail)] }
}

/// How far the store is behind its stream.
async fn backlog(client: &Client, stream: &str, end: Option<StreamEnd>) -> Result<Vec<Row>> {
    let select = "SELECT epoch, last_seq, extract(epoch FROM now() - stored_at)::float8 FROM stream_offset \
                  WHERE stream = $1 AND shard = 0 ORDER BY epoch DESC LIMIT 1";
    let found = client.query_opt(select, &[&stream]).await.map_err(Error::doing("read the position of a stream"))?;
    let Some(end) = end else {
        return Ok(vec![row("backlog_messages", Cell::default(), format!("{stream} could not be reached"))]);
    };
    let position = found.filter(|found| found.get::<_, i64>(0) == end.epoch);
    let last = position.as_ref().map_or(0, |position| position.get::<_, i64>(1));
    let messages = i64::try_from(end.last).unwrap_or(i64::MAX).saturating_sub(last).max(0);
    let age: Option<f64> = position.and_then(|position| position.get(2));
    let seconds = if messages == 0 { Some(0.0) } else { age.map(|age| age.max(0.0)) };
    let told = format!("since {stream} stored the last message that was taken");
    Ok(vec![
        row("backlog_messages", integer(messages), format!("of {stream}, not taken yet")),
        row("backlog_seconds", number(seconds), told),
    ])
}

/// Which bounds were reached, the newest first.
async fn bounds(client: &Client) -> Result<Vec<String>> {
    let select = "SELECT muster_text(noticed_at), scope, run, muster_dpid(job, process), machine, bound, metric \
                  FROM series_bound ORDER BY id DESC LIMIT $1";
    let rows = client.query(select, &[&BOUNDS_MAX]).await.map_err(Error::doing("read bounds of series"))?;
    let told = |row: &tokio_postgres::Row| {
        let (at, scope, run): (String, String, i64) = (row.get(0), row.get(1), row.get(2));
        let whose = match scope.as_str() {
            "process" => format!("process {run}/{}", row.get::<_, String>(3)),
            "machine" => format!("machine {} in run {run}", row.get::<_, String>(4)),
            _ => format!("run {run}"),
        };
        let (bound, metric): (i64, String) = (row.get(5), row.get(6));
        format!("{at}: {whose} has {bound} series: `{}` and what came later is not stored", metric.escape_debug())
    };
    Ok(rows.iter().map(told).collect())
}
