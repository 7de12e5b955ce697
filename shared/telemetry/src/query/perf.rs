//! Performance by a dimension: increases and rates of counters, levels of gauges.
//!
//! A counter of a process begins at 0, one of a machine at its first value; a fall is a reset. Steps are taken before the
//! bounds of time are applied, so that the first sample inside them counts what was done since the one before.

use muster_proto::v1::{Column, Dimension, PerfQuery, ReportReply, Row};
use muster_store::{Error, Result, Store};

use super::cells::{integer, number, number_column, text, text_column};
use super::run::Run;
use super::{ROWS_MAX, cut_note};

/// Width of a time bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Nanoseconds.
    pub nanoseconds: i64,
}

impl Default for Bucket {
    fn default() -> Self {
        Self { nanoseconds: 10_000_000_000 }
    }
}

const SELECT: &str = "\
WITH wanted AS MATERIALIZED ( \
    SELECT series.*, p.running_at FROM series \
    LEFT JOIN process AS p USING (run, job, process, attempt) \
    WHERE (series.run = $1::bigint AND ($2::bigint = 0 OR job = $2) AND ($3::text = '' OR series.module = $3) \
           OR series.run = 0 AND $2 = 0 AND $3 = '') \
      AND ($4::text = '' OR series.machine = $4) AND (cardinality($5::text[]) = 0 OR metric = ANY($5))), \
layouts AS MATERIALIZED ( \
    SELECT DISTINCT layout.id, layout.series FROM layout CROSS JOIN LATERAL unnest(layout.series) AS part(id) \
    JOIN wanted ON wanted.id = part.id), \
born AS ( \
    SELECT min(started_at) AS first, \
           (SELECT min(started_at) FROM run WHERE run > $1) AS next \
    FROM (SELECT started_at FROM run WHERE run = $1 UNION ALL SELECT started_at FROM job WHERE run = $1) AS starts), \
steps AS ( \
    SELECT wanted.*, sample.ts, part.v, \
           lag(part.v) OVER line AS previous, lag(sample.ts) OVER line AS previous_ts \
    FROM born CROSS JOIN sample JOIN layouts ON layouts.id = sample.layout_id \
    CROSS JOIN LATERAL unnest(sample.vals, layouts.series) AS part(v, id) JOIN wanted ON wanted.id = part.id \
    WHERE part.v <> 'NaN'::float8 AND sample.recv >= born.first - interval '1 day' \
      AND (wanted.run <> 0 OR sample.ts >= born.first AND (born.next IS NULL OR sample.ts < born.next)) \
    WINDOW line AS (PARTITION BY wanted.id ORDER BY sample.ts, sample.stream_seq)), \
counted AS ( \
    SELECT *, least(ts, coalesce(previous_ts, running_at)) AS since, \
           CASE WHEN kind = 'gauge' THEN NULL \
                WHEN kind = 'delta' THEN v \
                WHEN previous IS NULL THEN CASE WHEN process > 0 THEN v ELSE 0 END \
                WHEN v >= previous THEN v - previous ELSE v END AS increase \
    FROM steps) \
SELECT KEY AS key, metric, kind, unit, count(*), sum(increase), \
       sum(increase) / nullif(SPAN, 0), \
       min(v) FILTER (WHERE kind = 'gauge'), avg(v) FILTER (WHERE kind = 'gauge'), max(v) FILTER (WHERE kind = 'gauge') \
FROM counted \
WHERE ts >= coalesce(muster_time($6), '-infinity') AND ts < coalesce(muster_time($7), 'infinity') AND ONLY \
  AND $8::bigint > 0 \
GROUP BY 1, metric, kind, unit ORDER BY 1, metric, kind, unit LIMIT $9";

/// How a dimension appears in the statement.
struct Grouping {
    name: &'static str,
    key: &'static str,
    span: &'static str,
    only: &'static str,
}

const WHOLE_SPAN: &str = "extract(epoch FROM max(ts) - min(since))::float8";

fn grouping(by: Dimension) -> Option<Grouping> {
    let whole = |name, key, only| Some(Grouping { name, key, span: WHOLE_SPAN, only });
    match by {
        Dimension::Unspecified => None,
        Dimension::Module => whole("module", "module", "process > 0"),
        Dimension::Machine => whole("machine", "machine", "true"),
        Dimension::MachineType => whole("machine_type", "machine_type", "true"),
        Dimension::DeviceType => whole("device_type", "device_type", "device <> ''"),
        Dimension::Device => whole("device", "machine || '/' || device", "device <> ''"),
        Dimension::Process => whole(
            "process",
            "muster_dpid(job, process) || CASE WHEN attempt > 1 THEN '#' || attempt ELSE '' END",
            "process > 0",
        ),
        Dimension::Time => Some(Grouping {
            name: "time",
            key: "muster_text(date_bin($8::bigint * interval '1 microsecond', ts, timestamptz '1970-01-01 00:00:00+00'))",
            span: "($8::bigint / 1000000.0)::float8",
            only: "true",
        }),
    }
}

/// Performance of a run; none when the query names no dimension.
///
/// # Errors
/// As the store.
pub async fn perf(store: &Store, run: &Run, query: &PerfQuery, bucket: Bucket) -> Result<Option<ReportReply>> {
    let Some(grouping) = grouping(query.by()) else { return Ok(None) };
    let statement = SELECT.replace("KEY", grouping.key).replace("SPAN", grouping.span).replace("ONLY", grouping.only);
    let filter = query.filter.clone().unwrap_or_default();
    let client = store.client().await?;
    let limit = i64::try_from(ROWS_MAX + 1).unwrap_or(i64::MAX);
    let (run_id, job, bucket) = (i64::from(run.id.0), i64::from(filter.job), (bucket.nanoseconds / 1_000).max(1));
    let parameters: [&(dyn postgres_types::ToSql + Sync); 9] = [
        &run_id,
        &job,
        &filter.module,
        &filter.machine,
        &query.metrics,
        &filter.from_ns,
        &filter.to_ns,
        &bucket,
        &limit,
    ];
    let mut rows = client.query(&statement, &parameters).await.map_err(Error::doing("measure performance"))?;
    let cut = rows.len() > ROWS_MAX;
    rows.truncate(ROWS_MAX);
    let mut notes: Vec<String> = cut.then(cut_note).into_iter().collect();
    notes.extend(rows.is_empty().then(|| "no samples match".to_owned()));
    let title = format!("performance of run {} by {}", run.id, grouping.name);
    let rows = rows.iter().map(row).collect();
    Ok(Some(ReportReply { title, columns: columns(grouping.name), rows, notes }))
}

fn columns(key: &str) -> Vec<Column> {
    let mut columns: Vec<Column> = [key, "metric", "kind", "unit"].map(text_column).into();
    columns.extend(["n", "total", "rate_per_second", "min", "avg", "max"].map(number_column));
    columns
}

fn row(row: &tokio_postgres::Row) -> Row {
    let mut cells: Vec<_> = (0..4).map(|column| text(row.get::<_, String>(column))).collect();
    cells.push(integer(row.get(4)));
    cells.extend((5..10).map(|column| number(row.get(column))));
    Row { cells }
}
