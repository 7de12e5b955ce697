//! Levels of series: what each measured, as one number. A gauge's level is its mean; a counter's, and a delta's, its rate.
//!
//! A counter of a process begins at 0, one of a machine at its first value; a fall is a reset. Steps are taken before the bounds of
//! time are applied, so that the first sample inside them counts what was done since the one before.

/// Series and their steps: `wanted`, `steps` and `counted` after [`super::scope::ASKED`]; $11 has the metrics, empty for all.
pub(super) const COUNTED: &str = "\
wanted AS MATERIALIZED ( \
    SELECT s.*, p.running_at FROM asked CROSS JOIN series AS s \
    LEFT JOIN process AS p ON (p.run, p.job, p.process, p.attempt) = (s.run, s.job, s.process, s.attempt) \
    WHERE (asked.run = 0 OR s.run = asked.run OR s.run = 0) AND (s.run > 0 OR asked.job = 0 AND asked.process = 0 AND asked.module = '') \
      AND (asked.job = 0 OR s.job = asked.job) AND (asked.process = 0 OR s.process = asked.process) \
      AND (asked.module = '' OR s.module = asked.module) AND (asked.machine = '' OR s.machine = asked.machine) \
      AND (asked.machine_type = '' OR s.machine_type = asked.machine_type) AND (asked.device = '' OR s.device = asked.device) \
      AND (asked.device_type = '' OR s.device_type = asked.device_type) \
      AND (cardinality($11::text[]) = 0 OR s.metric = ANY($11))), \
steps AS ( \
    SELECT w.id, w.kind, w.process, w.running_at, v.ts, v.value, \
           lag(v.value) OVER line AS previous, lag(v.ts) OVER line AS previous_ts \
    FROM asked CROSS JOIN wanted AS w JOIN sample_value AS v ON v.series_id = w.id \
    WHERE w.run > 0 OR v.ts >= asked.born AND v.ts < asked.next \
    WINDOW line AS (PARTITION BY w.id ORDER BY v.ts, v.stream_seq)), \
counted AS ( \
    SELECT steps.id, steps.ts, steps.value, least(ts, coalesce(previous_ts, running_at)) AS since, \
           CASE WHEN kind = 'gauge' THEN NULL \
                WHEN kind = 'delta' THEN value \
                WHEN previous IS NULL THEN CASE WHEN steps.process > 0 THEN value ELSE 0 END \
                WHEN value >= previous THEN value - previous ELSE value END AS increase \
    FROM asked CROSS JOIN steps WHERE ts >= asked.since AND ts < asked.until)";

/// One row for each series with samples: `id`, `n` and `level`, after [`COUNTED`].
pub(super) const LEVELS: &str = "\
levels AS ( \
    SELECT id, count(*) AS n, coalesce(sum(increase) / nullif(extract(epoch FROM max(ts) - min(since))::float8, 0), avg(value) FILTER (WHERE increase IS NULL)) AS level \
    FROM counted GROUP BY id)";
