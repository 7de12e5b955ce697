-- What reports read.

CREATE VIEW process_newest AS
SELECT DISTINCT ON (run, job, process)
       run, job, process, attempt, module, machine, epoch, resources, state, verdict, placed_at, running_at, ended_at,
       exit_status, reason, pid,
       min(running_at) OVER (PARTITION BY run, job, process) AS first_running_at
FROM process
ORDER BY run, job, process, attempt DESC;
COMMENT ON VIEW process_newest IS 'The newest attempt of each process. first_running_at: when any of its attempts first ran.';

CREATE VIEW job_outcome AS
SELECT job.run, job.job, job.module, job.module_version, job.actor, job.started_at, job.processes,
       count(*) FILTER (WHERE p.state = 'starting') AS starting,
       count(*) FILTER (WHERE p.state = 'running')  AS running,
       count(*) FILTER (WHERE p.state = 'mia')      AS mia,
       count(*) FILTER (WHERE p.state = 'fip')      AS fip,
       count(*) FILTER (WHERE p.state = 'away')     AS away,
       count(*) FILTER (WHERE p.state = 'finished') AS finished,
       count(*) FILTER (WHERE p.state = 'dead')     AS dead,
       count(*) FILTER (WHERE p.state = 'lost')     AS lost,
       count(*) FILTER (WHERE p.verdict = 'pass')   AS pass,
       count(*) FILTER (WHERE p.verdict = 'fail')   AS fail,
       count(*) FILTER (WHERE p.verdict = 'skip')   AS skip,
       count(*) FILTER (WHERE p.verdict = 'error')  AS error,
       CASE WHEN count(p.first_running_at) = job.processes THEN max(p.first_running_at) END AS all_running_at,
       CASE WHEN count(*) FILTER (WHERE p.state IN ('finished', 'dead', 'lost')) = job.processes
            THEN max(p.ended_at) END AS ended_at
FROM job LEFT JOIN process_newest AS p USING (run, job)
GROUP BY job.run, job.job;
COMMENT ON VIEW job_outcome IS 'Each job with its processes by state and verdict; all_running_at and ended_at are null until all were, or are.';

CREATE VIEW job_stored AS
SELECT run, job, sum(reports)::bigint AS reports, sum(samples)::bigint AS samples
FROM (SELECT origin.run, origin.job, total.reports, total.samples
      FROM layout_total AS total
      JOIN layout ON layout.id = total.layout_id
      JOIN series AS origin ON origin.id = layout.series[1]) AS stored
GROUP BY run, job;
COMMENT ON VIEW job_stored IS 'Samples stored for each job; job 0 is the machines'' own.';

CREATE VIEW sample_value AS
SELECT sample.ts, sample.recv, sample.stream_seq, value.series_id, value.v AS value
FROM sample
JOIN layout ON layout.id = sample.layout_id
CROSS JOIN LATERAL unnest(sample.vals, layout.series) AS value(v, series_id)
WHERE value.v <> 'NaN'::float8;
COMMENT ON VIEW sample_value IS 'Samples one by one, without the missing ones. Join series for what they mean; bound recv to touch few partitions.';

CREATE VIEW machine_event AS
SELECT lineage, sequence, ordinal, at, actor, cause, subject AS machine, kind, detail
FROM log_event WHERE log = 'MACHINES';
COMMENT ON VIEW machine_event IS 'Events of MACHINES.';

CREATE VIEW reservation AS
SELECT subject::bigint AS reservation,
       max(detail ->> 'user')     FILTER (WHERE kind = 'queued') AS username,
       max(detail ->> 'selector') FILTER (WHERE kind = 'queued') AS selector,
       max((detail ->> 'count')::bigint) FILTER (WHERE kind = 'queued') AS count,
       max(detail ->> 'comment')  FILTER (WHERE kind = 'queued') AS comment,
       min(at) FILTER (WHERE kind = 'queued')  AS queued_at,
       min(at) FILTER (WHERE kind = 'granted') AS granted_at,
       min(at) FILTER (WHERE kind = 'ready')   AS ready_at,
       min(at) FILTER (WHERE kind = 'ended')   AS ended_at,
       max(detail ->> 'end')    FILTER (WHERE kind = 'ended') AS ending,
       max(detail ->> 'reason') FILTER (WHERE kind = 'ended') AS reason
FROM log_event
WHERE log = 'RESERVATIONS' AND subject ~ '^[0-9]+$'
GROUP BY subject;
COMMENT ON VIEW reservation IS 'Reservations with the moments of their life.';
