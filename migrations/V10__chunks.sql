-- Compacted samples: one row for the values of a series in an hour. Hot rows become chunks in one transaction, so that a statement, and a
-- transaction that begins with LOCK TABLE ONLY sample IN ACCESS SHARE MODE, see each sample once.

CREATE TABLE chunk (
    series_id   bigint      NOT NULL,
    t0          timestamptz NOT NULL,
    part        bigint      NOT NULL,
    n           integer     NOT NULL,
    min         float8      NOT NULL,
    max         float8      NOT NULL,
    sum         float8      NOT NULL,
    sum_squares float8      NOT NULL,
    first_ts    timestamptz NOT NULL,
    last_ts     timestamptz NOT NULL,
    first       float8      NOT NULL,
    last        float8      NOT NULL,
    increase    float8,
    sketch      bytea       NOT NULL,
    times       bytea       NOT NULL,
    vals        bytea       NOT NULL,
    PRIMARY KEY (series_id, t0, part)
) PARTITION BY RANGE (t0);
COMMENT ON TABLE chunk IS 'Compacted samples. Daily partitions by t0; chunk_rest has what clocks that are wrong by more than a month say.';
COMMENT ON COLUMN chunk.t0 IS 'Start of the hour of its times.';
COMMENT ON COLUMN chunk.part IS '0: received in its own hour; else so many hours later (-1: by a clock that is ahead). Ten million more for each further piece of one hour.';
COMMENT ON COLUMN chunk.increase IS 'Counters: rise from the first value to the last, with resets. Deltas: the sum. Null for gauges.';
COMMENT ON COLUMN chunk.sketch IS 'DDSketch of the values, 1 %, for gauges and deltas; its encoding is in shared/telemetry/src/chunk/sketch.rs.';
COMMENT ON COLUMN chunk.times IS 'pco file of i64: nanoseconds from t0 to the first time, then from each time to the next.';
COMMENT ON COLUMN chunk.vals IS 'pco file of f64, a value for each time.';
CREATE TABLE chunk_rest PARTITION OF chunk DEFAULT;

CREATE TABLE compaction (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partition  text        NOT NULL,
    samples    bigint      NOT NULL,
    chunks     bigint      NOT NULL,
    hot_bytes  bigint      NOT NULL,
    bytes      bigint      NOT NULL,
    took       interval    NOT NULL,
    ended_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX compaction_by_partition ON compaction (partition);
COMMENT ON TABLE compaction IS 'Hourly partitions of sample that became chunks.';
COMMENT ON COLUMN compaction.bytes IS 'Packed times, values and sketches; rows and index come on top.';

-- All series of a layout are of one origin: the first one tells which.
CREATE INDEX layout_by_first ON layout ((series[1]));

ALTER TABLE stream_offset ADD COLUMN stored_at timestamptz;
COMMENT ON COLUMN stream_offset.stored_at IS 'When the stream stored the message at last_seq; null until a writer of this version moved it.';

CREATE VIEW sample_hour AS
SELECT series_id, t0, sum(n)::bigint AS n, min(min) AS min, sum(sum) / sum(n) AS avg, max(max) AS max, sum(sum) AS sum,
       sum(sum_squares) AS sum_squares, min(first_ts) AS first_ts, max(last_ts) AS last_ts
FROM (SELECT series_id, t0, n, min, max, greatest(least(sum, 1e300), -1e300) AS sum, least(sum_squares, 1e300) AS sum_squares,
             first_ts, last_ts
      FROM chunk
      UNION ALL
      SELECT series_id, date_trunc('hour', ts, 'UTC'), count(*), min(value), max(value),
             sum(greatest(least(value, 1e300), -1e300)),
             sum(CASE WHEN abs(value) < 1e150 THEN value * value ELSE 1e300 END), min(ts), max(ts)
      FROM sample_value GROUP BY 1, 2) AS piece
GROUP BY series_id, t0;
COMMENT ON VIEW sample_hour IS 'Stable: hourly aggregates of each series over hot rows and chunks. A sample that came twice, in different hours, counts twice here; `muster report perf` counts it once. Sums stay within 1e300 for each of its pieces.';
COMMENT ON VIEW sample_value IS 'Hot samples one by one, without the missing ones; those of past hours are compacted: see sample_hour. Join series for what they mean.';
