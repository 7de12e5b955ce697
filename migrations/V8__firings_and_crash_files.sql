-- Firings of triggers as reports read them, and files that crashes left.

ALTER TABLE artifact ADD COLUMN path text NOT NULL DEFAULT '', ADD COLUMN firing text;
CREATE INDEX artifact_by_firing ON artifact (firing) WHERE firing IS NOT NULL;
COMMENT ON TABLE artifact IS 'Files of processes in the object stores logs and artifacts, and files that crashes left; run, job and process are 0 for these.';
COMMENT ON COLUMN artifact.path IS 'Where a file that a crash left was on its machine; empty for files of processes.';
COMMENT ON COLUMN artifact.firing IS 'The firing whose action crashed the machine, as hexadecimal; null where none is known.';

CREATE INDEX log_event_of_triggers ON log_event (at) WHERE kind IN ('trigger_fired', 'trigger_acted');
CREATE INDEX log_event_of_pulses ON log_event (at) WHERE kind IN ('pulse_set', 'pulse_cleared');

CREATE VIEW trigger_fired AS
SELECT DISTINCT ON (firing) *
FROM (SELECT encode(decode(detail ->> 'firing', 'base64'), 'hex') AS firing,
             coalesce((detail ->> 'number')::integer, 0) AS number,
             muster_time((detail ->> 'fired_ns')::bigint) AS fired_at,
             coalesce(detail ->> 'machine', '') AS machine,
             (detail #>> '{process,run}')::bigint AS run,
             (detail #>> '{process,dpid,job}')::bigint AS job,
             (detail #>> '{process,dpid,process}')::bigint AS process,
             (detail #>> '{process,attempt}')::bigint AS attempt,
             coalesce(detail ->> 'actor', '') AS actor,
             coalesce(detail ->> 'note', '') AS note,
             lineage, sequence
      FROM log_event WHERE log = 'JOBS' AND kind = 'trigger_fired') AS told
ORDER BY firing, lineage, sequence;
COMMENT ON VIEW trigger_fired IS 'Firings of triggers: by a process of a machine, or by a person.';

CREATE VIEW trigger_acted AS
SELECT DISTINCT ON (firing, machine) *
FROM (SELECT encode(decode(detail ->> 'firing', 'base64'), 'hex') AS firing,
             detail ->> 'machine' AS machine,
             coalesce((detail ->> 'number')::integer, 0) AS number,
             muster_time((detail ->> 'fired_ns')::bigint) AS fired_at,
             lower(replace(replace(detail ->> 'action', 'TRIGGER_ACTION_', ''), '_', '-')) AS action,
             coalesce(detail ->> 'argument', '') AS argument,
             lower(replace(replace(detail ->> 'outcome', 'TRIGGER_OUTCOME_', ''), '_', '-')) AS outcome,
             coalesce(detail ->> 'detail', '') AS detail,
             coalesce((detail ->> 'latency_ns')::bigint, 0) / 1e9::float8 AS latency_seconds,
             lineage, sequence
      FROM log_event WHERE log = 'JOBS' AND kind = 'trigger_acted') AS told
ORDER BY firing, machine, lineage, sequence;
COMMENT ON VIEW trigger_acted IS 'What became of firings on armed machines, once for each; latency_seconds from the firing to the action.';
