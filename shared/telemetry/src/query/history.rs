//! One process from its placement to its final report: everything that is known of it, on one time axis.

use muster_proto::v1::{ReportReply, Row};
use muster_store::{Result, Store};

use super::cells::{integer, number, number_column, text, text_column};
use super::fetch::fetch;
use super::scope::{ASKED, Scope};

/// What the machine said in the meantime counts where it explains an end.
const STATEMENT: &str = "\
own AS (SELECT p.* FROM asked JOIN process_attempt AS p ON (p.run, p.job, p.process) = (asked.run, asked.job, asked.process)), \
life AS (SELECT min(placed_at) AS began, coalesce(max(ended_at), 'infinity') AS ended FROM own), \
told AS ( \
    SELECT placed_at AS at, attempt, 'placed' AS kind, machine, module || coalesce(' on ' || nullif(array_to_string(devices, ' '), ''), '') AS told \
    FROM own WHERE placed_at IS NOT NULL \
    UNION ALL \
    SELECT s.at, s.attempt, s.to_state, s.machine, s.reason FROM asked JOIN process_state AS s \
        ON (s.run, s.job, s.process) = (asked.run, asked.job, asked.process) \
    UNION ALL \
    SELECT e.at, e.attempt, 'error', e.machine, e.message FROM asked JOIN error_report AS e \
        ON (e.run, e.job, e.process) = (asked.run, asked.job, asked.process) \
    UNION ALL \
    SELECT c.at, c.attempt, 'corruption', c.machine, c.class || ' on ' || c.target || ' at ' || c.byte_offset || ', corruption ' || c.id \
    FROM asked JOIN corruption_report AS c ON (c.run, c.job, c.process) = (asked.run, asked.job, asked.process) \
    UNION ALL \
    SELECT a.at, a.attempt, CASE WHEN a.name LIKE '%/history-%' THEN 'ring' ELSE 'file' END, a.machine, a.bucket || ': ' || a.name || ', ' || a.size_bytes || ' bytes' \
    FROM asked JOIN artifact AS a ON (a.run, a.job, a.process) = (asked.run, asked.job, asked.process) \
    UNION ALL \
    SELECT f.at, f.attempt, 'final report', f.machine, concat_ws('; ', nullif(f.text, ''), \
           (SELECT string_agg(key || ' ' || value, ', ' ORDER BY key) FROM jsonb_each_text(f.totals))) \
    FROM asked JOIN final_report AS f ON (f.run, f.job, f.process) = (asked.run, asked.job, asked.process) \
    UNION ALL \
    SELECT l.at, 0, replace(l.kind, '_', ' '), '', coalesce((SELECT string_agg(key || '=' || value, ' ') FROM ( \
               SELECT p ->> 'key' AS key, coalesce(p ->> 'value', '') AS value \
               FROM jsonb_array_elements(coalesce(l.detail -> 'parameters', '[]')) AS p) AS pairs), '') \
    FROM asked CROSS JOIN life JOIN log_event AS l ON l.log = 'JOBS' AND l.kind IN ('job_changed', 'stop_requested') \
         AND l.subject = asked.job::text AND l.at >= life.began AND l.at <= life.ended \
    UNION ALL \
    SELECT l.at, coalesce((l.detail #>> '{process,attempt}')::bigint, 0), replace(l.kind, '_', ' '), coalesce(l.detail ->> 'machine', ''), \
           concat_ws(' ', l.detail ->> 'number', l.detail ->> 'name', l.detail ->> 'note', l.detail ->> 'text') \
    FROM asked CROSS JOIN life JOIN log_event AS l ON l.log = 'JOBS' AND l.kind IN ('trigger_fired', 'test_event') \
         AND (l.detail #>> '{process,run}')::bigint = asked.run AND (l.detail #>> '{process,dpid,job}')::bigint = asked.job \
         AND (l.detail #>> '{process,dpid,process}')::bigint = asked.process AND l.at >= life.began \
    UNION ALL \
    SELECT l.at, own.attempt, replace(l.kind, '_', ' '), l.subject, \
           concat_ws(' ', l.detail ->> 'health', l.detail ->> 'from', l.detail ->> 'to', l.detail ->> 'verdict', l.detail ->> 'reason') \
    FROM own JOIN log_event AS l ON l.log = 'MACHINES' AND l.subject = own.machine AND l.at >= own.placed_at \
         AND l.at <= coalesce(own.ended_at, 'infinity') \
         AND l.kind IN ('health_changed', 'phase_changed', 'boot_observed', 'boot_judged', 'quarantined', 'draining_started')) \
SELECT muster_text(told.at), extract(epoch FROM told.at - life.began)::float8, told.attempt, told.kind, coalesce(told.machine, ''), coalesce(told.told, '') \
FROM told CROSS JOIN life ORDER BY told.at, told.attempt, told.kind";

/// One row for each thing that is known of a process, the oldest first; none where the store does not know it.
///
/// # Errors
/// As the store.
pub async fn history(store: &Store, scope: &Scope, dpid: &str) -> Result<Option<ReportReply>> {
    let client = store.client().await?;
    let statement = format!("{ASKED}, {STATEMENT}");
    let fetched = fetch(&client, "tell the history of a process", &statement, &scope.parameters(&[])).await?;
    if fetched.rows.is_empty() {
        return Ok(None);
    }
    let mut columns = vec![text_column("time"), number_column("after_seconds"), number_column("attempt")];
    columns.extend(["kind", "machine", "told"].map(text_column));
    let title = format!("history of {dpid} of {}", scope.words());
    Ok(Some(fetched.answer(title, columns, |row| {
        let mut cells = vec![text(row.get::<_, String>(0)), number(row.get(1)), integer(row.get(2))];
        cells.extend((3..6).map(|column| text(row.get::<_, String>(column))));
        Row { cells }
    })))
}
