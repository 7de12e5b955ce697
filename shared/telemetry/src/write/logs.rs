//! The decision logs: the archive, and what is decoded from it for reports.
//!
//! A log that was rebuilt says again what its older lineage said, so the decoded rows are written as if for the first time.

use std::collections::BTreeMap;

use muster_model::{PoolTime, ProcessId};
use muster_store::{Error, Result, Stamp, Transaction};
use serde_json::json;

use super::rows::{fit, insert, number, time, with_process};
use crate::records::{Archived, Job, LogEvent, ProcessChange, StateChange};

/// Copies messages into the archive. What is there already must be the same.
pub(super) async fn write_archive(transaction: &Transaction<'_>, log: &str, messages: &[Archived]) -> Result<()> {
    if messages.is_empty() {
        return Ok(());
    }
    let what = "write the archive";
    let statement = "INSERT INTO archive (log, lineage, sequence, hash, previous_hash, subject, stored_at, term, payload) \
        SELECT $1, r.* FROM unnest($2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[], $6::text[], $7::timestamptz[], \
        $8::bigint[], $9::bytea[]) AS r(lineage, sequence, hash, previous_hash, subject, stored_at, term, payload) \
        ON CONFLICT (log, lineage, sequence) DO UPDATE SET stored_at = archive.stored_at \
        WHERE archive.hash = excluded.hash";
    let lineages: Vec<i64> = messages.iter().map(|message| number(message.position.lineage.0)).collect();
    let sequences: Vec<i64> = messages.iter().map(|message| number(message.position.sequence.0)).collect();
    let hashes: Vec<&[u8]> = messages.iter().map(|message| message.hash.as_slice()).collect();
    let previous: Vec<&[u8]> = messages.iter().map(|message| message.previous_hash.as_ref()).collect();
    let subjects: Vec<&str> = messages.iter().map(|message| message.subject.as_str()).collect();
    let stored: Vec<Stamp> = messages.iter().map(|message| Stamp(message.stored)).collect();
    let terms: Vec<i64> = messages.iter().map(|message| number(message.term)).collect();
    let payloads: Vec<&[u8]> = messages.iter().map(|message| message.payload.as_ref()).collect();
    let prepared = transaction.prepare_cached(statement).await.map_err(Error::doing(what))?;
    let parameters: [&(dyn postgres_types::ToSql + Sync); 9] =
        [&log, &lineages, &sequences, &hashes, &previous, &subjects, &stored, &terms, &payloads];
    let written = transaction.execute(&prepared, &parameters).await.map_err(Error::doing(what))?;
    if written == messages.len() as u64 {
        return Ok(());
    }
    // A row with another hash was left alone by the WHERE: two histories must not be mixed.
    let first = messages.first().map_or_else(Default::default, |message| message.position);
    let why = format!("the archive already holds another history of {log} at or after {first}");
    Err(Error::broken(what, why, "give this system a database of its own"))
}

pub(super) async fn write_events(transaction: &Transaction<'_>, log: &str, events: &[LogEvent]) -> Result<()> {
    let statement = "INSERT INTO log_event (log, lineage, sequence, ordinal, at, actor, cause, kind, subject, detail) \
        SELECT log, lineage, sequence, ordinal, muster_time(at), actor, cause, kind, subject, detail \
        FROM jsonb_to_recordset($1) AS r(log text, lineage bigint, sequence bigint, ordinal integer, at bigint, \
        actor text, cause text, kind text, subject text, detail jsonb) ON CONFLICT DO NOTHING";
    let rows = events.iter().map(|event| {
        json!({"log": log, "lineage": number(event.position.lineage.0), "sequence": number(event.position.sequence.0),
               "ordinal": event.ordinal, "at": time(event.at), "actor": event.actor, "cause": event.cause,
               "kind": event.kind, "subject": event.subject, "detail": event.detail})
    });
    insert(transaction, "write events", statement, rows).await.map(drop)
}

pub(super) async fn write_runs(transaction: &Transaction<'_>, runs: &BTreeMap<u32, PoolTime>) -> Result<()> {
    let statement = "INSERT INTO run (run, started_at) SELECT run, muster_time(started) \
        FROM jsonb_to_recordset($1) AS r(run bigint, started bigint) ON CONFLICT (run) DO NOTHING";
    let rows = runs.iter().map(|(run, started)| json!({"run": run, "started": time(*started)}));
    insert(transaction, "write runs", statement, rows).await.map(drop)
}

pub(super) async fn write_jobs(transaction: &Transaction<'_>, jobs: &[Job]) -> Result<()> {
    let statement = "INSERT INTO job (run, job, module, module_version, selector, actor, seed, reservation, parameters, \
        processes, started_at) SELECT run, job, module, module_version, selector, actor, seed, reservation, parameters, \
        processes, muster_time(started) FROM jsonb_to_recordset($1) AS r(run bigint, job bigint, module text, \
        module_version text, selector text, actor text, seed text, reservation bigint, parameters jsonb, \
        processes bigint, started bigint) ON CONFLICT (run, job) DO NOTHING";
    let rows = jobs.iter().map(|job| {
        json!({"run": job.run, "job": job.job, "module": job.module, "module_version": job.module_version,
               "selector": job.selector, "actor": job.actor, "seed": job.seed.to_string(),
               "reservation": number(job.reservation), "parameters": fit(json!(job.parameters)),
               "processes": job.processes, "started": time(job.started)})
    });
    insert(transaction, "write jobs", statement, rows).await.map(drop)
}

/// What is null in a row leaves the column as it was; `running_at`, `ended_at` and `placed_at` are set once.
pub(super) async fn write_processes(
    transaction: &Transaction<'_>,
    processes: &BTreeMap<ProcessId, ProcessChange>,
) -> Result<()> {
    let statement = "INSERT INTO process (run, job, process, attempt, module, machine, epoch, resources, state, \
        verdict, placed_at, running_at, ended_at, exit_status, reason, pid) \
        SELECT r.run, r.job, r.process, r.attempt, coalesce(r.module, old.module, \
        (SELECT before.module FROM process AS before WHERE before.run = r.run AND before.job = r.job \
        AND before.process = r.process AND before.attempt = r.attempt - 1), \
        (SELECT job.module FROM job WHERE job.run = r.run AND job.job = r.job)), coalesce(r.machine, old.machine), \
        coalesce(r.epoch, old.epoch), coalesce(r.resources, old.resources, '{}'), coalesce(r.state, old.state, 'starting'), \
        coalesce(r.verdict, old.verdict, 'none'), coalesce(old.placed_at, muster_time(r.placed)), \
        coalesce(old.running_at, muster_time(r.running)), coalesce(old.ended_at, muster_time(r.ended)), \
        coalesce(r.exit_status, old.exit_status), coalesce(r.reason, old.reason, ''), coalesce(r.pid, old.pid) \
        FROM jsonb_to_recordset($1) AS r(run bigint, job bigint, process bigint, attempt bigint, module text, \
        machine text, epoch bigint, resources text[], state text, verdict text, placed bigint, running bigint, \
        ended bigint, exit_status integer, reason text, pid bigint) \
        LEFT JOIN process AS old USING (run, job, process, attempt) \
        ON CONFLICT (run, job, process, attempt) DO UPDATE SET module = excluded.module, machine = excluded.machine, \
        epoch = excluded.epoch, resources = excluded.resources, state = excluded.state, verdict = excluded.verdict, \
        placed_at = excluded.placed_at, running_at = excluded.running_at, ended_at = excluded.ended_at, \
        exit_status = excluded.exit_status, reason = excluded.reason, pid = excluded.pid";
    let rows = processes.iter().map(|(id, change)| {
        let row = json!({"module": change.module, "machine": change.machine, "epoch": change.epoch.map(number),
            "resources": change.resources, "state": change.state,
            "verdict": change.verdict.map(|verdict| verdict.as_str()), "placed": change.placed.map(time),
            "running": change.running.map(time), "ended": change.ended.map(time), "exit_status": change.exit_status,
            "reason": change.reason, "pid": change.pid});
        with_process(row, *id)
    });
    insert(transaction, "write processes", statement, rows).await.map(drop)
}

pub(super) async fn write_states(transaction: &Transaction<'_>, states: &[StateChange]) -> Result<()> {
    let statement = "INSERT INTO process_state (run, job, process, attempt, lineage, sequence, ordinal, at, from_state, \
        to_state, machine, reason) SELECT run, job, process, attempt, lineage, sequence, ordinal, muster_time(at), \
        from_state, to_state, machine, reason FROM jsonb_to_recordset($1) AS r(run bigint, job bigint, process bigint, \
        attempt bigint, lineage bigint, sequence bigint, ordinal integer, at bigint, from_state text, to_state text, \
        machine text, reason text) ON CONFLICT DO NOTHING";
    let rows = states.iter().map(|state| {
        let row = json!({"lineage": number(state.position.lineage.0), "sequence": number(state.position.sequence.0),
            "ordinal": state.ordinal, "at": time(state.at), "from_state": state.from, "to_state": state.to,
            "machine": state.machine, "reason": state.reason});
        with_process(row, state.id)
    });
    insert(transaction, "write states of processes", statement, rows).await.map(drop)
}
