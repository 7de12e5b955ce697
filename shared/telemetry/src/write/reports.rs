//! Words of agents, each kind into its table.

use muster_model::text::hex;
use muster_store::{Result, Transaction};
use serde_json::{Value, json};

use super::rows::{insert, number, time, with_process};
use crate::records::{Corruption, Report, ReportKind, Said};

const SAID: &str = "machine, incarnation, batch, ordinal, stream_seq, at";
const SAID_FROM: &str = "machine, incarnation, batch, ordinal, stream_seq, muster_time(at)";
const SAID_TYPES: &str =
    "machine text, incarnation bigint, batch bigint, ordinal integer, stream_seq bigint, at bigint";
const PROCESS: &str = "run, job, process, attempt";
const PROCESS_TYPES: &str = "run bigint, job bigint, process bigint, attempt bigint";

/// Rows by table.
#[derive(Default)]
struct Tables {
    processes: Vec<Value>,
    fences: Vec<Value>,
    errors: Vec<Value>,
    corruptions: Vec<Value>,
    finals: Vec<Value>,
    artifacts: Vec<Value>,
}

pub(super) async fn write_reports(transaction: &Transaction<'_>, reports: &[Report]) -> Result<()> {
    let tables = sort(reports);
    let processes = Table {
        name: "process_report",
        process: true,
        columns: "epoch, state, verdict, exit_status, reason, pid",
        values: "epoch, state, verdict, exit_status, reason, pid",
        types: "epoch bigint, state text, verdict text, exit_status integer, reason text, pid bigint",
    };
    let fences =
        Table { name: "fence_report", process: false, columns: "epoch", values: "epoch", types: "epoch bigint" };
    let errors =
        Table { name: "error_report", process: true, columns: "message", values: "message", types: "message text" };
    let corruptions = Table {
        name: "corruption_report",
        process: true,
        columns: "target, resource, byte_offset, class, persistence, owner_run, owner_job, owner_process, owner_attempt, \
                  expected, actual, detail",
        values: "target, resource, byte_offset, class, persistence, owner_run, owner_job, owner_process, owner_attempt, \
                 decode(expected, 'hex'), decode(actual, 'hex'), detail",
        types: "target text, resource text, byte_offset numeric, class text, persistence text, owner_run bigint, \
                owner_job bigint, owner_process bigint, owner_attempt bigint, expected text, actual text, detail text",
    };
    let finals = Table {
        name: "final_report",
        process: true,
        columns: "module, totals, text, resources",
        values: "module, totals, text, resources",
        types: "module text, totals jsonb, text text, resources text[]",
    };
    let artifacts = Table {
        name: "artifact",
        process: true,
        columns: "bucket, name, size_bytes, sha256, path, firing",
        values: "bucket, name, size_bytes, sha256, path, firing",
        types: "bucket text, name text, size_bytes numeric, sha256 text, path text, firing text",
    };
    processes.write(transaction, tables.processes).await?;
    fences.write(transaction, tables.fences).await?;
    errors.write(transaction, tables.errors).await?;
    corruptions.write(transaction, tables.corruptions).await?;
    finals.write(transaction, tables.finals).await?;
    artifacts.write(transaction, tables.artifacts).await
}

/// A table of reports: what it has beside the columns that all have.
struct Table {
    name: &'static str,
    /// It has the four columns of a process.
    process: bool,
    columns: &'static str,
    values: &'static str,
    types: &'static str,
}

impl Table {
    async fn write(&self, transaction: &Transaction<'_>, rows: Vec<Value>) -> Result<()> {
        let Self { name, columns, values, types, .. } = self;
        let (process, process_types) =
            if self.process { (format!("{PROCESS}, "), format!("{PROCESS_TYPES}, ")) } else { Default::default() };
        let statement = format!(
            "INSERT INTO {name} ({SAID}, {process}{columns}) SELECT {SAID_FROM}, {process}{values} \
             FROM jsonb_to_recordset($1) AS r({SAID_TYPES}, {process_types}{types})"
        );
        insert(transaction, &format!("write {name}"), &statement, rows.into_iter()).await.map(drop)
    }
}

fn sort(reports: &[Report]) -> Tables {
    let mut tables = Tables::default();
    for report in reports {
        let said = &report.said;
        match &report.kind {
            ReportKind::Process { id, epoch, state, verdict, exit_status, reason, pid } => {
                let row = json!({"epoch": number(*epoch), "state": state.as_str(), "verdict": verdict.as_str(),
                    "exit_status": exit_status, "reason": reason, "pid": pid});
                tables.processes.push(with_process(with_said(row, said), *id));
            }
            ReportKind::Fence { epoch } => tables.fences.push(with_said(json!({"epoch": number(*epoch)}), said)),
            ReportKind::Error { id, message } => {
                tables.errors.push(with_process(with_said(json!({"message": message}), said), *id));
            }
            ReportKind::Corruption(corruption) => {
                tables.corruptions.push(with_process(with_said(corruption_row(corruption), said), corruption.id));
            }
            ReportKind::Final { id, module, totals, text, resources } => {
                let row = json!({"module": module, "totals": totals, "text": text, "resources": resources});
                tables.finals.push(with_process(with_said(row, said), *id));
            }
            ReportKind::Artifact { id, bucket, name, size_bytes, sha256, path, firing } => {
                let firing = firing.map(|firing| firing.to_string());
                let row = json!({"bucket": bucket, "name": name, "size_bytes": size_bytes, "sha256": sha256,
                    "path": path, "firing": firing});
                tables.artifacts.push(with_process(with_said(row, said), *id));
            }
        }
    }
    tables
}

fn corruption_row(corruption: &Corruption) -> Value {
    let owner = corruption.owner;
    json!({"target": corruption.target, "resource": corruption.resource, "byte_offset": corruption.offset,
        "class": corruption.class, "persistence": corruption.persistence,
        "owner_run": owner.map(|id| id.run.0), "owner_job": owner.map(|id| id.dpid.job.0),
        "owner_process": owner.map(|id| id.dpid.process.0), "owner_attempt": owner.map(|id| id.attempt.0),
        "expected": hex(&corruption.expected), "actual": hex(&corruption.actual), "detail": corruption.detail})
}

fn with_said(mut row: Value, said: &Said) -> Value {
    if let Value::Object(columns) = &mut row {
        columns.insert("machine".into(), said.origin.machine.clone().into());
        columns.insert("incarnation".into(), number(said.origin.incarnation).into());
        columns.insert("batch".into(), number(said.batch).into());
        columns.insert("ordinal".into(), said.ordinal.into());
        columns.insert("stream_seq".into(), number(said.sequence).into());
        columns.insert("at".into(), time(said.at));
    }
    row
}
