//! What ran together: at a moment, or with a job, each with the parameters and pulses that it had then.
//!
//! Responsible for finding the moment and the jobs. What a job was set to, and whether its pulses let it go on, is told by
//! `setting.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_model::quantity::print_duration;
use muster_model::text::hex;
use muster_model::{PoolTime, Pulse};
use muster_proto::v1::{Column, ReportReply, Row, TogetherQuery};
use muster_store::{Client, Error, Result, Store};
use serde_json::Value;

use super::cells::{integer, number, number_column, text, text_column};
use super::run::Run;
use super::setting::Setting;
use super::{ROWS_MAX, cut_note};

/// Nanoseconds of a timestamp.
const NS: &str = "(extract(epoch FROM at) * 1000000)::bigint * 1000";

const LIVE: &str = "\
SELECT l.job, j.module, l.processes, l.here, l.devices, muster_text(l.since), \
       (SELECT e.detail -> 'spec' FROM log_event AS e WHERE e.log = 'JOBS' AND e.kind = 'job_started' AND e.subject = l.job::text \
          AND e.at = j.started_at LIMIT 1), \
       (SELECT jsonb_agg(e.detail ORDER BY e.lineage, e.sequence, e.ordinal) FROM log_event AS e \
          WHERE e.log = 'JOBS' AND e.kind = 'job_changed' AND e.subject = l.job::text AND e.at >= j.started_at AND e.at <= muster_time($2)), \
       l.machines \
FROM (SELECT p.job, count(*) AS processes, count(*) FILTER (WHERE p.machine = $3::text) AS here, min(p.placed_at) AS since, \
             count(DISTINCT p.machine) AS machines, \
             coalesce(string_agg(DISTINCT array_to_string(p.resources, ' '), ' ') FILTER (WHERE p.machine = $3), '') AS devices \
      FROM process AS p \
      WHERE p.run = $1::bigint AND p.state <> 'replaced' AND p.placed_at <= muster_time($2::bigint) \
        AND (p.ended_at IS NULL OR p.ended_at >= muster_time($2)) GROUP BY p.job) AS l \
JOIN job AS j ON j.run = $1 AND j.job = l.job ORDER BY l.here DESC, l.job LIMIT $4";

/// A job that has not ended goes on until now.
const WITH: &str = "\
WITH span AS ( \
    SELECT job, min(placed_at) AS began, CASE WHEN bool_or(ended_at IS NULL) THEN greatest(now(), max(placed_at)) ELSE max(ended_at) END AS ended \
    FROM process WHERE run = $1::bigint AND state <> 'replaced' AND placed_at IS NOT NULL GROUP BY job), \
own AS (SELECT began, ended FROM span WHERE job = $2::bigint) \
SELECT s.job, j.module, j.processes, \
       extract(epoch FROM least(s.ended, own.ended) - greatest(s.began, own.began))::float8 AS together, \
       (SELECT count(DISTINCT p.machine) FROM process AS p JOIN process AS q ON q.run = $1 AND q.job = $2 AND q.machine = p.machine \
          WHERE p.run = $1 AND p.job = s.job AND p.state <> 'replaced' AND q.state <> 'replaced' \
            AND p.placed_at < coalesce(q.ended_at, own.ended) AND coalesce(p.ended_at, s.ended) > q.placed_at), \
       muster_text(greatest(s.began, own.began)), \
       (SELECT e.detail -> 'spec' FROM log_event AS e WHERE e.log = 'JOBS' AND e.kind = 'job_started' AND e.subject = s.job::text \
          AND e.at = j.started_at LIMIT 1), \
       (SELECT jsonb_agg(e.detail ORDER BY e.lineage, e.sequence, e.ordinal) FROM log_event AS e \
          WHERE e.log = 'JOBS' AND e.kind = 'job_changed' AND e.subject = s.job::text AND e.at >= j.started_at \
            AND e.at <= least(s.ended, own.ended)) \
FROM own CROSS JOIN span AS s JOIN job AS j ON j.run = $1 AND j.job = s.job \
WHERE s.job <> $2 AND s.began < own.ended AND s.ended > own.began ORDER BY together DESC, s.job LIMIT $3";

const PULSES: &str = "\
SELECT DISTINCT ON (number) number, block_ns, free_ns, phase_ns FROM ( \
    SELECT coalesce((detail #>> '{pulse,number}')::integer, 0) AS number, (detail #>> '{pulse,block_ns}')::bigint AS block_ns, \
           (detail #>> '{pulse,free_ns}')::bigint AS free_ns, coalesce((detail #>> '{pulse,phase_ns}')::bigint, 0) AS phase_ns, \
           lineage, sequence, ordinal \
    FROM log_event WHERE log = 'JOBS' AND kind = 'pulse_set' AND at <= muster_time($1::bigint) \
    UNION ALL \
    SELECT cleared::integer, NULL, NULL, NULL, lineage, sequence, ordinal \
    FROM log_event, jsonb_array_elements_text(detail -> 'numbers') AS cleared \
    WHERE log = 'JOBS' AND kind = 'pulse_cleared' AND at <= muster_time($1)) AS told \
ORDER BY number, lineage DESC, sequence DESC, ordinal DESC";

/// A moment of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Run.
    pub run: i64,
    /// When.
    pub at: PoolTime,
    /// The same as text.
    pub time: String,
    /// The machine whose own share is shown; empty for none.
    pub machine: String,
    /// What happened then, for people.
    pub what: String,
}

impl Moment {
    /// The moment that is asked for; none where there is no such corruption or firing, or no run at that time.
    ///
    /// # Errors
    /// As the store.
    pub async fn find(store: &Store, query: &TogetherQuery) -> Result<Option<Self>> {
        let client = store.client().await?;
        let filter = query.filter.clone().unwrap_or_default();
        let given = if query.corruption > 0 {
            Self::of_corruption(&client, query.corruption).await?
        } else if !query.firing.is_empty() {
            Self::of_firing(&client, &hex(&query.firing)).await?
        } else {
            let what = "what ran".to_owned();
            Some(Self::new(filter.run.into(), query.at_ns, String::new(), what))
        };
        let Some(mut moment) = given else { return Ok(None) };
        if !filter.machine.is_empty() {
            moment.machine = filter.machine;
        }
        let select = "SELECT coalesce(muster_text(muster_time($1::bigint)), ''), \
            (SELECT max(run) FROM (SELECT run, started_at FROM run UNION ALL SELECT run, started_at FROM job) AS known \
             WHERE started_at <= muster_time($1))";
        let row = client.query_one(select, &[&moment.at.0]).await.map_err(Error::doing("find the run of a moment"))?;
        moment.time = row.get(0);
        match (moment.run, row.get(1)) {
            (0, None) => return Ok(None),
            (0, Some(run)) => moment.run = run,
            (_, _) => {}
        }
        Ok(Some(moment))
    }

    fn new(run: i64, at_ns: i64, machine: String, what: String) -> Self {
        Self { run, at: PoolTime(at_ns), time: String::new(), machine, what }
    }

    async fn of_corruption(client: &Client, number: u64) -> Result<Option<Self>> {
        let Ok(id) = i64::try_from(number) else { return Ok(None) };
        let select = format!("SELECT run, {NS}, machine FROM corruption_report WHERE id = $1::bigint");
        let row = client.query_opt(&select, &[&id]).await.map_err(Error::doing("find the corruption"))?;
        let what = format!("what ran when corruption {number} was found");
        Ok(row.map(|row| Self::new(row.get(0), row.get(1), row.get(2), what)))
    }

    async fn of_firing(client: &Client, firing: &str) -> Result<Option<Self>> {
        let select = format!(
            "SELECT coalesce(run, 0), {NS}, machine FROM \
             (SELECT run, fired_at AS at, machine FROM trigger_fired WHERE firing = $1::text) AS fired"
        );
        let row = client.query_opt(&select, &[&firing]).await.map_err(Error::doing("find the firing"))?;
        let what = format!("what ran when {firing} fired");
        Ok(row.map(|row| Self::new(row.get(0), row.get(1), row.get(2), what)))
    }
}

/// One row for each job with live processes at a moment; what has processes on the moment's machine comes first.
///
/// # Errors
/// As the store.
pub async fn together(store: &Store, moment: &Moment) -> Result<ReportReply> {
    let client = store.client().await?;
    let pulses = pulses(&client, moment.at).await?;
    let limit = i64::try_from(ROWS_MAX + 1).unwrap_or(i64::MAX);
    let parameters: [&(dyn postgres_types::ToSql + Sync); 4] = [&moment.run, &moment.at.0, &moment.machine, &limit];
    let mut rows = client.query(LIVE, &parameters).await.map_err(Error::doing("find what ran together"))?;
    let cut = rows.len() > ROWS_MAX;
    rows.truncate(ROWS_MAX);
    let has_machine = !moment.machine.is_empty();
    let processes: i64 = rows.iter().map(|row| row.get::<_, i64>(2)).sum();
    let mut notes = vec![format!("{} jobs with {processes} processes of run {}", rows.len(), moment.run)];
    notes.extend(has_machine.then(|| format!("here, devices: on {}", moment.machine)));
    notes.extend(cut.then(cut_note));
    let settings: Vec<Setting> = rows.iter().map(|row| setting(row, 6)).collect();
    notes.extend(settings_notes(&settings, &pulses, moment.at));
    let rows = rows.iter().zip(&settings);
    let rows = rows.map(|(row, setting)| live_row(row, setting, &pulses, moment)).collect();
    let title = format!("{}, at {}", moment.what, moment.time);
    Ok(ReportReply { title, columns: live_columns(has_machine), rows, notes })
}

fn live_columns(has_machine: bool) -> Vec<Column> {
    let mut columns =
        vec![number_column("job"), text_column("module"), number_column("processes"), number_column("machines")];
    columns.extend(has_machine.then(|| [number_column("here"), text_column("devices")]).into_iter().flatten());
    columns.extend(["since", "gate", "pulses", "parameters"].map(text_column));
    columns
}

fn live_row(row: &tokio_postgres::Row, setting: &Setting, pulses: &BTreeMap<u8, Pulse>, moment: &Moment) -> Row {
    let mut cells = vec![integer(row.get(0)), text(row.get::<_, String>(1)), integer(row.get(2)), integer(row.get(8))];
    if !moment.machine.is_empty() {
        cells.extend([integer(row.get(3)), text(row.get::<_, String>(4))]);
    }
    cells.extend(
        [row.get::<_, String>(5), setting.gate(pulses, moment.at).into(), setting.pulses_told(), setting.told()]
            .map(text),
    );
    Row { cells }
}

/// One row for each job that ran while another did, the longest together first.
///
/// # Errors
/// As the store.
pub async fn together_with(store: &Store, run: &Run, job: u32) -> Result<ReportReply> {
    let client = store.client().await?;
    let limit = i64::try_from(ROWS_MAX + 1).unwrap_or(i64::MAX);
    let (run_id, own) = (i64::from(run.id.0), i64::from(job));
    let mut rows =
        client.query(WITH, &[&run_id, &own, &limit]).await.map_err(Error::doing("find what ran with a job"))?;
    let cut = rows.len() > ROWS_MAX;
    rows.truncate(ROWS_MAX);
    let mut columns = vec![number_column("job"), text_column("module"), number_column("processes")];
    columns.extend([number_column("together_seconds"), number_column("machines_shared")]);
    columns.extend(["since", "pulses", "parameters"].map(text_column));
    let told = |row: &tokio_postgres::Row| {
        let setting = setting(row, 6);
        let mut cells = vec![integer(row.get(0)), text(row.get::<_, String>(1)), integer(row.get(2))];
        cells.extend([number(row.get(3)), integer(row.get(4)), text(row.get::<_, String>(5))]);
        cells.extend([setting.pulses_told(), setting.told()].map(text));
        Row { cells }
    };
    let mut notes =
        vec!["parameters and pulses are those at the end of the time together; defaults are left out".to_owned()];
    notes.extend(cut.then(cut_note));
    let title = format!("what ran together with job {job} of run {}", run.id);
    Ok(ReportReply { title, columns, rows: rows.iter().map(told).collect(), notes })
}

/// What a job was started with, in a column, and how it was changed, in the next.
fn setting(row: &tokio_postgres::Row, column: usize) -> Setting {
    let (spec, changes): (Option<Value>, Option<Value>) = (row.get(column), row.get(column + 1));
    Setting::of(&spec.unwrap_or_default(), &changes.unwrap_or_default())
}

/// Pulses that were defined at a moment.
async fn pulses(client: &Client, at: PoolTime) -> Result<BTreeMap<u8, Pulse>> {
    let rows = client.query(PULSES, &[&at.0]).await.map_err(Error::doing("find the pulses of a moment"))?;
    let read = |row: &tokio_postgres::Row| {
        let part = |column: usize| Some(Duration::from_nanos(row.get::<_, Option<i64>>(column)?.unsigned_abs()));
        let pulse = Pulse::new(part(1)?, part(2)?, part(3)?).ok()?;
        Some((u8::try_from(row.get::<_, i32>(0)).ok()?, pulse))
    };
    Ok(rows.iter().filter_map(read).collect())
}

/// The pulses that jobs have, with what each did then.
fn settings_notes(settings: &[Setting], pulses: &BTreeMap<u8, Pulse>, at: PoolTime) -> Vec<String> {
    let had = pulses.iter().filter(|(number, _)| settings.iter().any(|setting| setting.pulses.contains(*number)));
    let note = |(number, pulse): (&u8, &Pulse)| {
        let [block, free] = [pulse.block(), pulse.free()].map(print_duration);
        format!(
            "pulse {number}: block {block}, free {free}: it {} then",
            if pulse.blocks(at) { "blocked" } else { "was free" }
        )
    };
    let mut notes: Vec<String> = had.map(note).collect();
    notes.push("gate: whether the pulses of a job let it go on then; defaults of parameters are left out".into());
    notes
}
