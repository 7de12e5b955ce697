DROP TABLE IF EXISTS narrow;
CREATE TABLE narrow (ts timestamptz NOT NULL, series_id bigint NOT NULL, value float8 NOT NULL);
CREATE INDEX narrow_by_ts ON narrow USING brin (ts);
