-- Days: one row for the hours of a series in a day, so that questions over months read a twenty-fourth. Chunks stay: they have the values,
-- and a question that a day's row can not answer reads them.

CREATE TABLE chunk_day (
    t0          timestamptz NOT NULL,
    series_id   bigint      NOT NULL,
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
    PRIMARY KEY (t0, series_id)
);
COMMENT ON TABLE chunk_day IS 'The chunks of a series in a day as one row, as their columns have it; without their values.';

CREATE TABLE rolled_day (
    t0       timestamptz PRIMARY KEY,
    series   bigint      NOT NULL,
    took     interval    NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE rolled_day IS 'Days whose chunks are rolled up. Each series that has chunks in one of them is in chunk_day or in unrolled_series.';

CREATE TABLE unrolled_series (
    t0        timestamptz NOT NULL,
    series_id bigint      NOT NULL,
    PRIMARY KEY (t0, series_id)
);
COMMENT ON TABLE unrolled_series IS 'Series of a rolled day whose chunks have to be read: their times overlap, or some came after the day was rolled up. A row of chunk_day, where there is one, does not count.';
