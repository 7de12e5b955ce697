-- Plans: their tasks, and jobs whose processes are known only as their tasks are placed.

CREATE TABLE plan_task (
    run       bigint NOT NULL,
    job       bigint NOT NULL,
    task      bigint NOT NULL,
    step      text   NOT NULL,
    name      text   NOT NULL,
    state     text   NOT NULL,
    verdict   text   NOT NULL,
    attempt   bigint NOT NULL,
    reason    text   NOT NULL,
    placed_at timestamptz,
    ended_at  timestamptz,
    PRIMARY KEY (run, job, task)
);
COMMENT ON TABLE plan_task IS 'Tasks of plans as JOBS has them; attempt is the newest. placed_at (of the first attempt) and ended_at are set once.';
COMMENT ON COLUMN plan_task.task IS 'Its place among all tasks of the plan, from 0.';
COMMENT ON COLUMN job.processes IS 'Processes that the start asked for; 0 for a plan, whose processes begin with its tasks.';

-- As in V5, but for plans: their processes are those that were placed until now, and they are over when all of their tasks are.
CREATE OR REPLACE VIEW job_outcome AS
SELECT job.run, job.job, job.module, job.module_version, job.actor, job.started_at,
       greatest(job.processes, count(p.process)) AS processes,
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
       CASE WHEN count(p.first_running_at) = greatest(job.processes, count(p.process)) AND coalesce(plan.queued, 0) = 0
            THEN max(p.first_running_at) END AS all_running_at,
       CASE WHEN plan.tasks > 0 THEN plan.ended_at
            WHEN count(*) FILTER (WHERE p.state IN ('finished', 'dead', 'lost')) = job.processes
            THEN max(p.ended_at) END AS ended_at
FROM job
LEFT JOIN process_newest AS p USING (run, job)
LEFT JOIN (SELECT run, job, count(*) AS tasks, count(*) FILTER (WHERE state = 'queued') AS queued,
                  CASE WHEN count(ended_at) = count(*) THEN max(ended_at) END AS ended_at
           FROM plan_task GROUP BY run, job) AS plan USING (run, job)
GROUP BY job.run, job.job, plan.tasks, plan.queued, plan.ended_at;
COMMENT ON VIEW job_outcome IS 'Each job with its processes by state and verdict; all_running_at and ended_at are null until all were, or are.';
