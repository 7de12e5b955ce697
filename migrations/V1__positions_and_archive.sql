-- Where the logger stands in every stream, what it could not take, and its copy of the decision logs.

-- Pool time (nanoseconds since 1970) as a timestamp; 0 means never.
CREATE FUNCTION muster_time(ns bigint) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN ns <> 0 THEN timestamptz '1970-01-01 00:00:00+00' + (ns / 1000) * interval '1 microsecond' END;

-- Job and process number as people read them: 00010064.
CREATE FUNCTION muster_dpid(job bigint, process bigint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN job <= 65535 AND process <= 65535
                THEN lpad(upper(to_hex(job)), 4, '0') || lpad(upper(to_hex(process)), 4, '0')
                ELSE lpad(upper(to_hex(job)), 8, '0') || lpad(upper(to_hex(process)), 8, '0') END;

-- A moment as programs read it.
CREATE FUNCTION muster_text(moment timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

CREATE TABLE stream_offset (
    stream     text        NOT NULL,
    shard      integer     NOT NULL DEFAULT 0,
    epoch      bigint      NOT NULL,
    last_seq   bigint      NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stream, shard, epoch)
);
COMMENT ON TABLE stream_offset IS 'Last sequence taken from each stream. Moved in the same transaction as the rows: this alone is the position.';
COMMENT ON COLUMN stream_offset.epoch IS 'Creation time of the stream, nanoseconds: a stream that was made again starts at its beginning.';

CREATE TABLE agent_batch (
    stream      text   NOT NULL,
    machine     text   NOT NULL,
    incarnation bigint NOT NULL,
    last_batch  bigint NOT NULL,
    PRIMARY KEY (stream, machine, incarnation)
);
COMMENT ON TABLE agent_batch IS 'Newest batch taken of each agent; one that is not newer is a repeat, and dropped.';

CREATE TABLE gap (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    noticed_at timestamptz NOT NULL DEFAULT now(),
    place      text   NOT NULL,
    epoch      bigint NOT NULL,
    machine    text,
    first      bigint NOT NULL,
    last       bigint NOT NULL,
    reason     text   NOT NULL
);
COMMENT ON TABLE gap IS 'What was never seen: sequences that a stream no longer held, or numbers that an agent reports as lost.';
COMMENT ON COLUMN gap.place IS 'Name of the stream, or the place that the agent names (spool).';

CREATE TABLE reject (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream    text        NOT NULL,
    epoch     bigint      NOT NULL,
    sequence  bigint      NOT NULL,
    stored_at timestamptz NOT NULL,
    subject   text        NOT NULL,
    reason    text        NOT NULL,
    items     integer     NOT NULL,
    payload   bytea       NOT NULL
);
COMMENT ON TABLE reject IS 'Messages, or parts of them, that could not be taken, with the reason. The reader went on.';
COMMENT ON COLUMN reject.payload IS 'The message, at most its first 64 KiB.';

CREATE TABLE archive (
    log           text        NOT NULL,
    lineage       bigint      NOT NULL,
    sequence      bigint      NOT NULL,
    hash          bytea       NOT NULL,
    previous_hash bytea       NOT NULL,
    subject       text        NOT NULL,
    stored_at     timestamptz NOT NULL,
    term          bigint      NOT NULL,
    payload       bytea       NOT NULL,
    PRIMARY KEY (log, lineage, sequence)
);
COMMENT ON TABLE archive IS 'Every message of every decision log, as it was stored. A lost log is rebuilt from here.';
COMMENT ON COLUMN archive.hash IS 'BLAKE3 of payload, 32 bytes.';
COMMENT ON COLUMN archive.previous_hash IS 'What the message says of its predecessor''s hash.';

CREATE VIEW archive_break AS
SELECT log, lineage, sequence, previous_sequence, previous_hash, expected_hash
FROM (SELECT log, lineage, sequence, previous_hash,
             lag(sequence) OVER chain AS previous_sequence,
             lag(hash) OVER chain AS expected_hash
      FROM archive
      WINDOW chain AS (PARTITION BY log, lineage ORDER BY sequence)) AS linked
WHERE expected_hash IS NOT NULL AND (expected_hash <> previous_hash OR previous_sequence <> sequence - 1);
COMMENT ON VIEW archive_break IS 'Places where the archived chain of a log does not hold; empty when all is well.';
