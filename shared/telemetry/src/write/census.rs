//! How many series there are of whom, and which bounds they reached.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::ProcessId;
use muster_store::{Error, Result, Store, Transaction};
use serde_json::json;
use tokio_postgres::Row;

use super::rows::{insert, number, with_process};
use crate::query::process_id;
use crate::records::{Scope, SeriesBound};

/// Which of some series the store has.
///
/// # Errors
/// As the store.
pub async fn known_series(store: &Store, series: &BTreeSet<i64>) -> Result<BTreeSet<i64>> {
    let client = store.client().await?;
    let asked: Vec<i64> = series.iter().copied().collect();
    let rows = client.query("SELECT id FROM series WHERE id = ANY($1)", &[&asked]).await;
    Ok(rows.map_err(Error::doing("look for series"))?.iter().map(|row| row.get(0)).collect())
}

const OF_PROCESSES: &str = "\
SELECT run, job, process, attempt, count(*) \
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS asked(run, job, process, attempt) \
JOIN series USING (run, job, process, attempt) GROUP BY 1, 2, 3, 4";

const OF_MACHINES: &str = "\
SELECT run, machine, count(*) FROM unnest($1::bigint[], $2::text[]) AS asked(run, machine) \
JOIN series USING (run, machine) GROUP BY 1, 2";

const OF_RUNS: &str = "SELECT run, count(*) FROM series WHERE run = ANY($1::bigint[]) GROUP BY 1";

/// How many series the store has of each scope; one that has none is not in the answer.
///
/// # Errors
/// As the store.
pub async fn series_counts(store: &Store, scopes: &BTreeSet<Scope>) -> Result<BTreeMap<Scope, u64>> {
    let failed = Error::doing("count series");
    let client = store.client().await?;
    let mut columns: [Vec<i64>; 4] = Default::default();
    let (mut machine_runs, mut machines, mut runs) = (Vec::new(), Vec::new(), Vec::new());
    for scope in scopes {
        match scope {
            Scope::Process(id) => {
                let numbers = [id.run.0, id.dpid.job.0, id.dpid.process.0, id.attempt.0];
                for (column, number) in columns.iter_mut().zip(numbers) {
                    column.push(i64::from(number));
                }
            }
            Scope::Machine(run, machine) => {
                machine_runs.push(i64::from(run.0));
                machines.push(machine.as_str());
            }
            Scope::Run(run) => runs.push(i64::from(run.0)),
        }
    }
    let [run, job, process, attempt] = &columns;
    let processes = client.query(OF_PROCESSES, &[run, job, process, attempt]).await.map_err(&failed)?;
    let of_process = |row: &Row| Scope::Process(process_id(row.get(0), row.get(1), row.get(2), row.get(3)));
    let mut counts: BTreeMap<Scope, u64> = processes.iter().map(|row| (of_process(row), count(row, 4))).collect();
    let found = client.query(OF_MACHINES, &[&machine_runs, &machines]).await.map_err(&failed)?;
    let run_of = |row: &Row| process_id(row.get(0), 0, 0, 0).run;
    counts.extend(found.iter().map(|row| (Scope::Machine(run_of(row), row.get(1)), count(row, 2))));
    let found = client.query(OF_RUNS, &[&runs]).await.map_err(&failed)?;
    counts.extend(found.iter().map(|row| (Scope::Run(run_of(row)), count(row, 1))));
    Ok(counts)
}

fn count(row: &Row, column: usize) -> u64 {
    row.get::<_, i64>(column).unsigned_abs()
}

/// Writes down each bound that was reached, once.
pub(super) async fn write_bounds(transaction: &Transaction<'_>, bounds: &[SeriesBound]) -> Result<()> {
    let statement = "INSERT INTO series_bound (scope, run, job, process, attempt, machine, bound, metric) \
        SELECT scope, run, job, process, attempt, machine, bound, metric FROM jsonb_to_recordset($1) \
        AS r(scope text, run bigint, job bigint, process bigint, attempt bigint, machine text, bound bigint, metric text) \
        ON CONFLICT DO NOTHING";
    let rows = bounds.iter().map(|SeriesBound { scope, bound, metric }| {
        let (word, id, machine) = match scope {
            Scope::Process(id) => ("process", *id, ""),
            Scope::Machine(run, machine) => {
                ("machine", ProcessId { run: *run, ..ProcessId::default() }, machine.as_str())
            }
            Scope::Run(run) => ("run", ProcessId { run: *run, ..ProcessId::default() }, ""),
        };
        let row = json!({"scope": word, "machine": machine, "bound": number(*bound), "metric": metric});
        with_process(row, id)
    });
    insert(transaction, "write bounds of series", statement, rows).await.map(drop)
}
