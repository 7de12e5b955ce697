-- Durable words of agents, from REPORTS. Each row names its batch; (incarnation, batch, ordinal) orders an agent's words.

CREATE TABLE process_report (
    machine text NOT NULL, incarnation bigint NOT NULL, batch bigint NOT NULL, ordinal integer NOT NULL,
    stream_seq bigint NOT NULL, at timestamptz NOT NULL,
    run bigint NOT NULL, job bigint NOT NULL, process bigint NOT NULL, attempt bigint NOT NULL,
    epoch bigint NOT NULL, state text NOT NULL, verdict text NOT NULL,
    exit_status integer, reason text NOT NULL, pid bigint NOT NULL
);
CREATE INDEX process_report_by_process ON process_report (run, job, process);
COMMENT ON TABLE process_report IS 'What agents said of their processes; the decision about it is in process_state.';

CREATE TABLE fence_report (
    machine text NOT NULL, incarnation bigint NOT NULL, batch bigint NOT NULL, ordinal integer NOT NULL,
    stream_seq bigint NOT NULL, at timestamptz NOT NULL,
    epoch bigint NOT NULL
);
COMMENT ON TABLE fence_report IS 'Epochs that agents fenced: nothing older was alive.';

CREATE TABLE error_report (
    machine text NOT NULL, incarnation bigint NOT NULL, batch bigint NOT NULL, ordinal integer NOT NULL,
    stream_seq bigint NOT NULL, at timestamptz NOT NULL,
    run bigint NOT NULL, job bigint NOT NULL, process bigint NOT NULL, attempt bigint NOT NULL,
    message text NOT NULL
);
CREATE INDEX error_report_by_process ON error_report (run, job, process);
COMMENT ON TABLE error_report IS 'Trouble that a person should know of; run, job and process are 0 for the agent itself.';

CREATE TABLE corruption_report (
    machine text NOT NULL, incarnation bigint NOT NULL, batch bigint NOT NULL, ordinal integer NOT NULL,
    stream_seq bigint NOT NULL, at timestamptz NOT NULL,
    run bigint NOT NULL, job bigint NOT NULL, process bigint NOT NULL, attempt bigint NOT NULL,
    target text NOT NULL, resource text NOT NULL, byte_offset numeric NOT NULL,
    class text NOT NULL, persistence text NOT NULL,
    owner_run bigint, owner_job bigint, owner_process bigint, owner_attempt bigint,
    expected bytea NOT NULL, actual bytea NOT NULL, detail text NOT NULL
);
CREATE INDEX corruption_report_by_process ON corruption_report (run, job, process);
COMMENT ON TABLE corruption_report IS 'Data that were found corrupt; owner is who wrote it, where the pattern names another process.';

CREATE TABLE final_report (
    machine text NOT NULL, incarnation bigint NOT NULL, batch bigint NOT NULL, ordinal integer NOT NULL,
    stream_seq bigint NOT NULL, at timestamptz NOT NULL,
    run bigint NOT NULL, job bigint NOT NULL, process bigint NOT NULL, attempt bigint NOT NULL,
    module text NOT NULL, totals jsonb NOT NULL, text text NOT NULL, resources text[] NOT NULL
);
CREATE INDEX final_report_by_process ON final_report (run, job, process);
COMMENT ON TABLE final_report IS 'What processes said of themselves at their end. totals: name with unit -> number.';

CREATE TABLE artifact (
    machine text NOT NULL, incarnation bigint NOT NULL, batch bigint NOT NULL, ordinal integer NOT NULL,
    stream_seq bigint NOT NULL, at timestamptz NOT NULL,
    run bigint NOT NULL, job bigint NOT NULL, process bigint NOT NULL, attempt bigint NOT NULL,
    bucket text NOT NULL, name text NOT NULL, size_bytes numeric NOT NULL, sha256 text NOT NULL
);
CREATE INDEX artifact_by_process ON artifact (run, job, process);
COMMENT ON TABLE artifact IS 'Files of processes in the object stores logs and artifacts.';
