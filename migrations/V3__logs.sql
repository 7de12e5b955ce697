-- What the decision logs say, decoded for reports. Written in the same transaction as the archive.

CREATE TABLE log_event (
    log      text        NOT NULL,
    lineage  bigint      NOT NULL,
    sequence bigint      NOT NULL,
    ordinal  integer     NOT NULL,
    at       timestamptz NOT NULL,
    actor    text        NOT NULL,
    cause    text        NOT NULL,
    kind     text        NOT NULL,
    subject  text        NOT NULL,
    detail   jsonb       NOT NULL,
    PRIMARY KEY (log, lineage, sequence, ordinal)
);
CREATE INDEX log_event_by_subject ON log_event (log, subject, at);
COMMENT ON TABLE log_event IS 'Every event of every decision log, in order.';
COMMENT ON COLUMN log_event.ordinal IS 'Place of the event in its message, from 0.';
COMMENT ON COLUMN log_event.cause IS 'command, followed, own, leader_started, genesis or rejected.';
COMMENT ON COLUMN log_event.subject IS 'Machine, reservation or job that it is about; empty where there is none.';
COMMENT ON COLUMN log_event.detail IS 'The event as protobuf JSON with the names of proto/muster/v1.';

CREATE TABLE run (
    run        bigint      PRIMARY KEY,
    started_at timestamptz NOT NULL
);
COMMENT ON TABLE run IS 'Lives of the system between initialisations.';

CREATE TABLE job (
    run            bigint      NOT NULL,
    job            bigint      NOT NULL,
    module         text        NOT NULL,
    module_version text        NOT NULL,
    selector       text        NOT NULL,
    actor          text        NOT NULL,
    seed           text        NOT NULL,
    reservation    bigint      NOT NULL,
    parameters     jsonb       NOT NULL,
    processes      bigint      NOT NULL,
    started_at     timestamptz NOT NULL,
    PRIMARY KEY (run, job)
);
COMMENT ON TABLE job IS 'Accepted start commands.';
COMMENT ON COLUMN job.started_at IS 'Pool time at which the start command was decided.';

CREATE TABLE process (
    run          bigint  NOT NULL,
    job          bigint  NOT NULL,
    process      bigint  NOT NULL,
    attempt      bigint  NOT NULL,
    module       text,
    machine      text,
    epoch        bigint,
    resources    text[]  NOT NULL DEFAULT '{}',
    state        text    NOT NULL,
    verdict      text    NOT NULL DEFAULT 'none',
    placed_at    timestamptz,
    running_at   timestamptz,
    ended_at     timestamptz,
    exit_status  integer,
    reason       text    NOT NULL DEFAULT '',
    pid          bigint,
    PRIMARY KEY (run, job, process, attempt)
);
COMMENT ON TABLE process IS 'Attempts of processes as JOBS has them. running_at and ended_at are set once.';
COMMENT ON COLUMN process.state IS 'The process state, or replaced: the attempt never started and the next one was placed elsewhere.';

CREATE TABLE process_state (
    run        bigint      NOT NULL,
    job        bigint      NOT NULL,
    process    bigint      NOT NULL,
    attempt    bigint      NOT NULL,
    lineage    bigint      NOT NULL,
    sequence   bigint      NOT NULL,
    ordinal    integer     NOT NULL,
    at         timestamptz NOT NULL,
    from_state text        NOT NULL,
    to_state   text        NOT NULL,
    machine    text        NOT NULL,
    reason     text        NOT NULL,
    PRIMARY KEY (run, job, process, attempt, lineage, sequence, ordinal)
);
COMMENT ON TABLE process_state IS 'History of process states: one row for each transition in JOBS.';
