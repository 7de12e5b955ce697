//! Tasks of plans.

use std::collections::BTreeMap;

use muster_store::{Result, Transaction};
use serde_json::json;

use super::rows::{insert, time};
use crate::records::{TaskChange, TaskId};

/// What is null in a row leaves the column as it was; `placed_at` and `ended_at` are set once.
pub(super) async fn write_tasks(transaction: &Transaction<'_>, tasks: &BTreeMap<TaskId, TaskChange>) -> Result<()> {
    let statement = "INSERT INTO plan_task (run, job, task, step, name, state, verdict, attempt, reason, placed_at, \
        ended_at) SELECT r.run, r.job, r.task, coalesce(r.step, old.step, ''), coalesce(r.name, old.name, ''), \
        coalesce(r.state, old.state, 'queued'), coalesce(r.verdict, old.verdict, 'none'), \
        coalesce(r.attempt, old.attempt, 1), coalesce(r.reason, old.reason, ''), \
        coalesce(old.placed_at, muster_time(r.placed)), coalesce(old.ended_at, muster_time(r.ended)) \
        FROM jsonb_to_recordset($1) AS r(run bigint, job bigint, task bigint, step text, name text, state text, \
        verdict text, attempt bigint, reason text, placed bigint, ended bigint) \
        LEFT JOIN plan_task AS old USING (run, job, task) \
        ON CONFLICT (run, job, task) DO UPDATE SET step = excluded.step, name = excluded.name, state = excluded.state, \
        verdict = excluded.verdict, attempt = excluded.attempt, reason = excluded.reason, \
        placed_at = excluded.placed_at, ended_at = excluded.ended_at";
    let rows = tasks.iter().map(|((run, job, task), change)| {
        json!({"run": run, "job": job, "task": task, "step": change.step, "name": change.name,
               "state": change.state.map(|state| state.as_str()),
               "verdict": change.verdict.map(|verdict| verdict.as_str()), "attempt": change.attempt,
               "reason": change.reason, "placed": change.placed.map(time), "ended": change.ended.map(time)})
    });
    insert(transaction, "write tasks of plans", statement, rows).await.map(drop)
}
