//! The store: the two services before PostgreSQL, and how far it has taken the streams.

use muster_bus::subjects::Service;
use muster_proto::v1::{self, cell::Value};

use super::super::found::Found;
use super::{Check, Reason};

/// A stream of which more is not in PostgreSQL yet is far behind.
const LAG_MAX: i64 = 50_000;

pub(super) fn judge(found: &Found) -> Vec<Check> {
    let mut checks: Vec<Check> =
        [Service::TelemetryLogger, Service::Report].map(|service| answering(found, service)).into();
    match &found.store {
        Ok(reply) => checks.push(lag(reply)),
        Err(error) => {
            let reason = Reason {
                why: "reports, exports and the archive wait for it; jobs, reservations and reboots go on without",
                next: "start PostgreSQL; streams keep samples for 3 days and reports for 14",
            };
            checks.push(Check::fail("postgresql", error, reason));
        }
    }
    checks
}

fn answering(found: &Found, service: Service) -> Check {
    let name = service.as_str();
    let program = format!("muster-{name}");
    let count = found.programs.iter().filter(|one| one.name == program).count();
    if count > 0 {
        return Check::ok(name, format!("{count} answering"));
    }
    let next = format!("start {program}, or look at its log");
    Check::fail(
        name,
        "nobody answers",
        Reason { why: "without it nothing is stored, or nothing is reported", next: &next },
    )
}

/// How far PostgreSQL is behind the streams.
fn lag(reply: &v1::ReportReply) -> Check {
    let at = |name: &str| reply.columns.iter().position(|column| column.name == name);
    let (Some(name), Some(lag)) = (at("name"), at("lag")) else {
        return Check::ok("postgresql", reply.notes.join(", "));
    };
    let value = |row: &v1::Row, at: usize| row.cells.get(at).and_then(|cell| cell.value.clone());
    let mut behind = Vec::new();
    let mut all = 0;
    for row in &reply.rows {
        let (Some(Value::Text(name)), Some(Value::Integer(lag))) = (value(row, name), value(row, lag)) else {
            continue;
        };
        all += lag;
        if lag > LAG_MAX {
            behind.push(format!("{lag} messages of {name}"));
        }
    }
    let place = reply.notes.first().cloned().unwrap_or_default();
    if behind.is_empty() {
        return Check::ok("postgresql", format!("{place}, {all} messages behind the streams"));
    }
    let reason = Reason {
        why: "what ages out of a stream before it is stored is lost to reports",
        next: "look at the load of PostgreSQL, and at `muster_telemetry_logger_lag_seconds`",
    };
    Check::warn("postgresql", format!("{place}, behind by {}", behind.join(", ")), reason)
}
