-- How long tables keep what they hold, and which bounds of series were reached.

CREATE TABLE retention (
    name   text        PRIMARY KEY,
    keep   interval    NOT NULL CHECK (keep > interval '0'),
    set_at timestamptz NOT NULL DEFAULT now(),
    set_by text        NOT NULL
);
COMMENT ON TABLE retention IS 'Tables that do not keep everything. One that is not here keeps all.';

CREATE TABLE series_bound (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    noticed_at timestamptz NOT NULL DEFAULT now(),
    scope      text        NOT NULL CHECK (scope IN ('process', 'machine', 'run')),
    run        bigint      NOT NULL,
    job        bigint      NOT NULL,
    process    bigint      NOT NULL,
    attempt    bigint      NOT NULL,
    machine    text        NOT NULL,
    bound      bigint      NOT NULL,
    metric     text        NOT NULL,
    UNIQUE (scope, run, job, process, attempt, machine)
);
COMMENT ON TABLE series_bound IS 'Bounds of series that were reached, once each: further series of that process, machine or run are not stored.';
COMMENT ON COLUMN series_bound.metric IS 'The first metric that was not stored.';

CREATE INDEX series_by_machine ON series (machine, run);
