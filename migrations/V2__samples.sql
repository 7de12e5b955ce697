-- Samples: one hot row for each report of a machine; a layout gives its values their series.

CREATE TABLE series (
    id           bigint   PRIMARY KEY,
    machine      text     NOT NULL,
    machine_type text     NOT NULL,
    run          bigint   NOT NULL,
    job          bigint   NOT NULL,
    process      bigint   NOT NULL,
    attempt      bigint   NOT NULL,
    module       text     NOT NULL,
    device       text     NOT NULL,
    device_type  text     NOT NULL,
    metric       text     NOT NULL,
    kind         text     NOT NULL CHECK (kind IN ('gauge', 'counter', 'delta')),
    unit         text     NOT NULL
);
CREATE INDEX series_by_process ON series (run, job, process);
COMMENT ON TABLE series IS 'One metric of one origin. run, job, process and attempt are 0 for the machine itself; id is a hash of the rest.';

CREATE TABLE layout (
    id     bigint   PRIMARY KEY,
    series bigint[] NOT NULL CHECK (cardinality(series) BETWEEN 1 AND 200)
);
COMMENT ON TABLE layout IS 'Position in sample.vals -> series. id is a hash of the list.';

CREATE TABLE sample (
    ts         timestamptz NOT NULL,
    recv       timestamptz NOT NULL,
    stream_seq bigint      NOT NULL,
    layout_id  bigint      NOT NULL,
    vals       float8[]    NOT NULL
) PARTITION BY RANGE (recv);
CREATE INDEX sample_by_ts ON sample USING brin (ts);
COMMENT ON TABLE sample IS 'Hot rows. Hourly partitions by the stream''s time, so that a wrong clock of a machine never misses one. No unique index: exactly once is the offset''s work.';
COMMENT ON COLUMN sample.ts IS 'Pool time of the measurement.';
COMMENT ON COLUMN sample.recv IS 'When the stream stored it.';
COMMENT ON COLUMN sample.vals IS 'One for each series of the layout; NaN means missing.';

CREATE TABLE layout_total (
    layout_id bigint      PRIMARY KEY REFERENCES layout,
    reports   bigint      NOT NULL,
    samples   bigint      NOT NULL,
    first_ts  timestamptz NOT NULL,
    last_ts   timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE layout_total IS 'How much was stored of each layout: outlives the samples. samples counts values that are not missing.';
