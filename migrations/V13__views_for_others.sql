-- What reports and other programs read: views whose names and columns stay (docs/sql.md is made from the comments here), and a role
-- that may read them and nothing else.

CREATE VIEW process_attempt AS
SELECT p.run, p.job, p.process, p.attempt, muster_dpid(p.job, p.process) AS dpid,
       -- A later attempt of a plan's process has the module of the job, which is `plan`: what it runs is that of the first.
       coalesce(nullif(p.module, 'plan'), (SELECT max(other.module) FROM process AS other
                                           WHERE (other.run, other.job, other.process) = (p.run, p.job, p.process)
                                             AND other.module <> 'plan'), p.module, '') AS module,
       coalesce(p.machine, '') AS machine, p.resources AS devices, p.state, p.verdict, p.placed_at, p.running_at, p.ended_at,
       p.exit_status, p.reason
FROM process AS p;
COMMENT ON VIEW process_attempt IS 'Every attempt of every process.';

CREATE VIEW machine_kind AS
SELECT DISTINCT ON (subject) subject AS machine,
       coalesce(detail #>> '{inventory,machine_type}', '') AS machine_type,
       coalesce(detail #>> '{inventory,architecture}', '') AS architecture,
       coalesce(detail #>> '{inventory,kernel_release}', '') AS kernel_release,
       coalesce(detail #>> '{inventory,kernel_build_id}', '') AS kernel_build_id,
       at AS since
FROM log_event WHERE log = 'MACHINES' AND kind = 'inventory_changed'
ORDER BY subject, lineage DESC, sequence DESC, ordinal DESC;
COMMENT ON VIEW machine_kind IS 'Machines as their newest inventory has them.';

CREATE VIEW machine_device AS
SELECT newest.machine, device ->> 'id' AS device,
       lower(replace(coalesce(device ->> 'kind', ''), 'RESOURCE_KIND_', '')) AS kind,
       coalesce(device ->> 'device_type', '') AS device_type, coalesce(device ->> 'path', '') AS path
FROM (SELECT DISTINCT ON (subject) subject AS machine, detail FROM log_event
      WHERE log = 'MACHINES' AND kind = 'inventory_changed'
      ORDER BY subject, lineage DESC, sequence DESC, ordinal DESC) AS newest
CROSS JOIN LATERAL jsonb_array_elements(coalesce(newest.detail #> '{inventory,resources}', '[]')) AS device;
COMMENT ON VIEW machine_device IS 'Devices of machines as their newest inventory has them.';

CREATE VIEW machine_tenure AS
SELECT subject AS machine, (detail ->> 'epoch')::bigint AS epoch,
       coalesce((detail #>> '{holder,reservation}')::bigint, 0) AS reservation,
       coalesce(detail #>> '{holder,user}', '') AS username, at AS held_from,
       lead(at) OVER (PARTITION BY subject ORDER BY lineage, sequence, ordinal) AS held_to
FROM log_event WHERE log = 'MACHINES' AND kind = 'epoch_raised';
COMMENT ON VIEW machine_tenure IS 'Who had each machine from when to when.';

CREATE VIEW metric_value AS
SELECT v.ts AS at, s.run, s.job, s.process, s.attempt, CASE WHEN s.job > 0 THEN muster_dpid(s.job, s.process) ELSE '' END AS dpid,
       s.module, s.machine, s.machine_type, s.device, s.device_type, s.metric, s.kind, s.unit, v.value
FROM (SELECT series_id, ts, value FROM sample_value
      UNION ALL
      SELECT c.series_id, c.last_ts, CASE origin.kind WHEN 'gauge' THEN c.sum / c.n WHEN 'delta' THEN c.increase ELSE c.last END
      FROM chunk AS c JOIN series AS origin ON origin.id = c.series_id) AS v
JOIN series AS s ON s.id = v.series_id;
COMMENT ON VIEW metric_value IS 'What was measured, with what it means: samples of late one by one; of past hours one row for each series and hour, with the mean of a gauge, the last value of a counter, the sum of deltas. Bound the time: there are many.';

CREATE VIEW error AS
SELECT e.at, e.run, e.job, e.process, e.attempt, CASE WHEN e.job > 0 THEN muster_dpid(e.job, e.process) ELSE '' END AS dpid,
       e.machine, coalesce(p.module, '') AS module, e.message
FROM error_report AS e
LEFT JOIN process_attempt AS p ON (p.run, p.job, p.process, p.attempt) = (e.run, e.job, e.process, e.attempt);
COMMENT ON VIEW error IS 'Errors that processes and agents reported.';

CREATE VIEW corruption AS
SELECT c.id, c.at, c.run, c.job, c.process, c.attempt, muster_dpid(c.job, c.process) AS dpid, c.machine,
       coalesce(p.module, '') AS module, c.resource AS device, c.target, c.byte_offset, c.class, c.persistence, c.detail
FROM corruption_report AS c
LEFT JOIN process_attempt AS p ON (p.run, p.job, p.process, p.attempt) = (c.run, c.job, c.process, c.attempt);
COMMENT ON VIEW corruption IS 'Wrong data that processes found.';

COMMENT ON COLUMN process_attempt.run IS 'Run.';
COMMENT ON COLUMN process_attempt.job IS 'Job number in its run.';
COMMENT ON COLUMN process_attempt.process IS 'Process number in its job.';
COMMENT ON COLUMN process_attempt.attempt IS 'Attempt, from 1.';
COMMENT ON COLUMN process_attempt.dpid IS 'Job and process number as people read them.';
COMMENT ON COLUMN process_attempt.module IS 'Module.';
COMMENT ON COLUMN process_attempt.machine IS 'Machine; empty where it was never placed.';
COMMENT ON COLUMN process_attempt.devices IS 'Devices that it was given.';
COMMENT ON COLUMN process_attempt.state IS 'starting, running, mia, fip, away, finished, dead, lost or replaced.';
COMMENT ON COLUMN process_attempt.verdict IS 'none, pass, fail, skip or error.';
COMMENT ON COLUMN process_attempt.placed_at IS 'Pool time at which it was placed.';
COMMENT ON COLUMN process_attempt.running_at IS 'Pool time at which it first ran; null before.';
COMMENT ON COLUMN process_attempt.ended_at IS 'Pool time at which it ended; null before.';
COMMENT ON COLUMN process_attempt.exit_status IS 'Exit status, where one is known.';
COMMENT ON COLUMN process_attempt.reason IS 'Why it is in its state, for people.';

COMMENT ON COLUMN machine_kind.machine IS 'Machine.';
COMMENT ON COLUMN machine_kind.machine_type IS 'Type of machine.';
COMMENT ON COLUMN machine_kind.architecture IS 'CPU architecture.';
COMMENT ON COLUMN machine_kind.kernel_release IS 'Release of the kernel that runs.';
COMMENT ON COLUMN machine_kind.kernel_build_id IS 'GNU build id of that kernel, hexadecimal; empty where it can not be read.';
COMMENT ON COLUMN machine_kind.since IS 'Pool time of that inventory.';

COMMENT ON COLUMN machine_device.machine IS 'Machine.';
COMMENT ON COLUMN machine_device.device IS 'Device, unique on its machine.';
COMMENT ON COLUMN machine_device.kind IS 'cpu, disk, nic, memory or tape.';
COMMENT ON COLUMN machine_device.device_type IS 'Type of device.';
COMMENT ON COLUMN machine_device.path IS 'Its path on the machine; empty where it has none.';

COMMENT ON COLUMN machine_tenure.machine IS 'Machine.';
COMMENT ON COLUMN machine_tenure.epoch IS 'Epoch of the holder.';
COMMENT ON COLUMN machine_tenure.reservation IS 'Reservation; 0 for the pool.';
COMMENT ON COLUMN machine_tenure.username IS 'User of the reservation; empty for the pool.';
COMMENT ON COLUMN machine_tenure.held_from IS 'Pool time from which on it was this holder''s.';
COMMENT ON COLUMN machine_tenure.held_to IS 'Pool time at which it became another''s; null where it still is.';

COMMENT ON COLUMN metric_value.at IS 'Pool time of the measurement.';
COMMENT ON COLUMN metric_value.run IS 'Run; 0 for what the machine itself measures.';
COMMENT ON COLUMN metric_value.job IS 'Job; 0 likewise.';
COMMENT ON COLUMN metric_value.process IS 'Process; 0 likewise.';
COMMENT ON COLUMN metric_value.attempt IS 'Attempt; 0 likewise.';
COMMENT ON COLUMN metric_value.dpid IS 'Job and process number as people read them; empty likewise.';
COMMENT ON COLUMN metric_value.module IS 'Module; empty likewise.';
COMMENT ON COLUMN metric_value.machine IS 'Machine.';
COMMENT ON COLUMN metric_value.machine_type IS 'Type of machine.';
COMMENT ON COLUMN metric_value.device IS 'Device; empty for the process or machine as a whole.';
COMMENT ON COLUMN metric_value.device_type IS 'Type of device.';
COMMENT ON COLUMN metric_value.metric IS 'Name of the metric.';
COMMENT ON COLUMN metric_value.kind IS 'gauge, counter (only rises; a fall is a reset) or delta.';
COMMENT ON COLUMN metric_value.unit IS 'Unit.';
COMMENT ON COLUMN metric_value.value IS 'The value.';

COMMENT ON COLUMN error.at IS 'Pool time.';
COMMENT ON COLUMN error.run IS 'Run; 0 where an agent speaks of itself.';
COMMENT ON COLUMN error.job IS 'Job; 0 likewise.';
COMMENT ON COLUMN error.process IS 'Process; 0 likewise.';
COMMENT ON COLUMN error.attempt IS 'Attempt; 0 likewise.';
COMMENT ON COLUMN error.dpid IS 'Job and process number as people read them; empty likewise.';
COMMENT ON COLUMN error.machine IS 'Machine.';
COMMENT ON COLUMN error.module IS 'Module; empty likewise.';
COMMENT ON COLUMN error.message IS 'What went wrong, for people.';

COMMENT ON COLUMN corruption.id IS 'Number that `muster report corruption` takes.';
COMMENT ON COLUMN corruption.at IS 'Pool time at which it was found.';
COMMENT ON COLUMN corruption.run IS 'Run of who found it.';
COMMENT ON COLUMN corruption.job IS 'Job of who found it.';
COMMENT ON COLUMN corruption.process IS 'Process that found it.';
COMMENT ON COLUMN corruption.attempt IS 'Its attempt.';
COMMENT ON COLUMN corruption.dpid IS 'Job and process number as people read them.';
COMMENT ON COLUMN corruption.machine IS 'Machine.';
COMMENT ON COLUMN corruption.module IS 'Module.';
COMMENT ON COLUMN corruption.device IS 'Device.';
COMMENT ON COLUMN corruption.target IS 'Path of the disk or file.';
COMMENT ON COLUMN corruption.byte_offset IS 'Where in it.';
COMMENT ON COLUMN corruption.class IS 'What kind of damage it is.';
COMMENT ON COLUMN corruption.persistence IS 'Whether it was the same when it was read again.';
COMMENT ON COLUMN corruption.detail IS 'More of it, for people.';

COMMENT ON COLUMN job_outcome.run IS 'Run.';
COMMENT ON COLUMN job_outcome.job IS 'Job number in its run.';
COMMENT ON COLUMN job_outcome.module IS 'Module; `plan` for a plan.';
COMMENT ON COLUMN job_outcome.module_version IS 'Version of the module; name of a plan.';
COMMENT ON COLUMN job_outcome.actor IS 'Who started it.';
COMMENT ON COLUMN job_outcome.started_at IS 'Pool time at which the start was decided.';
COMMENT ON COLUMN job_outcome.processes IS 'Its processes; 0 for a plan.';
COMMENT ON COLUMN job_outcome.starting IS 'Processes that are starting.';
COMMENT ON COLUMN job_outcome.running IS 'Processes that run.';
COMMENT ON COLUMN job_outcome.mia IS 'Processes that do not answer.';
COMMENT ON COLUMN job_outcome.fip IS 'Processes that were told to stop.';
COMMENT ON COLUMN job_outcome.away IS 'Processes whose machine reboots as announced.';
COMMENT ON COLUMN job_outcome.finished IS 'Processes that ended well.';
COMMENT ON COLUMN job_outcome.dead IS 'Processes that ended otherwise.';
COMMENT ON COLUMN job_outcome.lost IS 'Processes whose machine was lost.';
COMMENT ON COLUMN job_outcome.pass IS 'Processes with the verdict pass.';
COMMENT ON COLUMN job_outcome.fail IS 'Processes with the verdict fail.';
COMMENT ON COLUMN job_outcome.skip IS 'Processes with the verdict skip.';
COMMENT ON COLUMN job_outcome.error IS 'Processes with the verdict error.';
COMMENT ON COLUMN job_outcome.all_running_at IS 'Pool time at which the last process first ran; null before.';
COMMENT ON COLUMN job_outcome.ended_at IS 'Pool time at which the last process ended; null before.';

COMMENT ON COLUMN reservation.reservation IS 'Number.';
COMMENT ON COLUMN reservation.username IS 'Who asked.';
COMMENT ON COLUMN reservation.selector IS 'Which machines.';
COMMENT ON COLUMN reservation.count IS 'How many.';
COMMENT ON COLUMN reservation.comment IS 'Comment.';
COMMENT ON COLUMN reservation.queued_at IS 'Pool time at which it was asked for.';
COMMENT ON COLUMN reservation.granted_at IS 'Pool time at which its machines were named; null before.';
COMMENT ON COLUMN reservation.ready_at IS 'Pool time at which all of them were ready; null before.';
COMMENT ON COLUMN reservation.ended_at IS 'Pool time at which it ended; null before.';
COMMENT ON COLUMN reservation.ending IS 'How it ended.';
COMMENT ON COLUMN reservation.reason IS 'Why it ended, for people.';

COMMENT ON COLUMN machine_event.lineage IS 'Lineage of the log.';
COMMENT ON COLUMN machine_event.sequence IS 'Sequence in the log.';
COMMENT ON COLUMN machine_event.ordinal IS 'Place in its message.';
COMMENT ON COLUMN machine_event.at IS 'Pool time.';
COMMENT ON COLUMN machine_event.actor IS 'Who did it.';
COMMENT ON COLUMN machine_event.cause IS 'command, followed, own, leader_started, genesis or rejected.';
COMMENT ON COLUMN machine_event.machine IS 'Machine; what else it is about where it is about none.';
COMMENT ON COLUMN machine_event.kind IS 'Kind: a field of MachineEvent in proto/muster/v1/machine_log.proto.';
COMMENT ON COLUMN machine_event.detail IS 'The event as JSON.';

COMMENT ON COLUMN trigger_fired.firing IS 'The firing, hexadecimal.';
COMMENT ON COLUMN trigger_fired.number IS 'Trigger.';
COMMENT ON COLUMN trigger_fired.fired_at IS 'Pool time.';
COMMENT ON COLUMN trigger_fired.machine IS 'Machine whose process fired; empty for a person.';
COMMENT ON COLUMN trigger_fired.run IS 'Run of that process.';
COMMENT ON COLUMN trigger_fired.job IS 'Job of that process.';
COMMENT ON COLUMN trigger_fired.process IS 'That process.';
COMMENT ON COLUMN trigger_fired.attempt IS 'Its attempt.';
COMMENT ON COLUMN trigger_fired.actor IS 'Who fired, where a person did.';
COMMENT ON COLUMN trigger_fired.note IS 'Note.';
COMMENT ON COLUMN trigger_fired.lineage IS 'Lineage of JOBS.';
COMMENT ON COLUMN trigger_fired.sequence IS 'Sequence in JOBS.';

COMMENT ON COLUMN trigger_acted.firing IS 'The firing, hexadecimal.';
COMMENT ON COLUMN trigger_acted.machine IS 'Machine that acted.';
COMMENT ON COLUMN trigger_acted.number IS 'Trigger.';
COMMENT ON COLUMN trigger_acted.fired_at IS 'Pool time of the firing.';
COMMENT ON COLUMN trigger_acted.action IS 'What it was armed to do.';
COMMENT ON COLUMN trigger_acted.argument IS 'With which argument.';
COMMENT ON COLUMN trigger_acted.outcome IS 'What became of it.';
COMMENT ON COLUMN trigger_acted.detail IS 'More of it, for people.';
COMMENT ON COLUMN trigger_acted.latency_seconds IS 'From the firing to the action.';
COMMENT ON COLUMN trigger_acted.lineage IS 'Lineage of JOBS.';
COMMENT ON COLUMN trigger_acted.sequence IS 'Sequence in JOBS.';

-- Roles belong to the whole server: one of that name may be there, and who may not make one goes on without.
DO $$
BEGIN
    CREATE ROLE muster_reader NOLOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN RAISE NOTICE 'the role muster_reader is not made: a superuser may make it, see docs/sql.md';
END $$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'muster_reader') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO muster_reader', current_schema());
        GRANT SELECT ON process_attempt, machine_kind, machine_device, machine_tenure, metric_value, error, corruption,
            job_outcome, reservation, machine_event, trigger_fired, trigger_acted TO muster_reader;
    END IF;
END $$;
