//! `muster ps`: processes of the current run.

use std::time::Duration;

use muster_model::{PoolTime, ProcessId, ProcessState, Verdict};
use muster_proto::v1;

use super::Session;
use crate::arguments::PsArguments;
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};

pub(super) async fn list(session: &Session, arguments: &PsArguments) -> Result<(), Failure> {
    let asked = v1::ListProcesses {
        job: arguments.job,
        machine: arguments.machine.clone(),
        ended: arguments.all,
        ..Default::default()
    };
    let (processes, _) = session.client.processes("list processes", asked).await?;
    let now = session.viewer().await.now;
    session.print(&table(&processes, now)).await
}

/// Processes as a table; ages are told from `now`.
pub(super) fn table(processes: &[v1::ProcessRecord], now: PoolTime) -> Table {
    let mut columns: Vec<Column> =
        ["dpid", "module", "machine", "state", "verdict"].into_iter().map(Column::new).collect();
    columns.extend([Column::people("age_seconds"), Column::new("iterations"), Column::new("pid")]);
    columns.extend([Column::if_told("stalled"), Column::if_told("gang")]);
    columns.extend([Column::new("resources"), Column::new("reason")]);
    columns.extend(PROGRAM_COLUMNS.map(Column::programs));
    let mut table = Table::new(columns);
    for process in processes {
        table.push(row(process, now));
    }
    table
}

const PROGRAM_COLUMNS: [&str; 14] = [
    "run",
    "job",
    "process",
    "attempt",
    "epoch",
    "placed_time",
    "running_time",
    "ended_time",
    "exit_status",
    "stalled",
    "unchanged_seconds",
    "gang",
    "role",
    "away_until_time",
];

fn row(process: &v1::ProcessRecord, now: PoolTime) -> Vec<Cell> {
    let id = ProcessId::from(process.id.unwrap_or_default());
    let end = if process.ended_ns == 0 { now } else { PoolTime(process.ended_ns) };
    vec![
        Cell::text(id.dpid.to_string()),
        Cell::text(&process.module),
        Cell::text(&process.machine),
        Cell::text(state(process.state())),
        Cell::text(Verdict::from(process.verdict()).as_str()),
        Cell::Span(end.since(PoolTime(process.placed_ns))),
        Cell::Integer(process.iterations),
        if process.pid == 0 { Cell::None } else { Cell::Integer(process.pid.into()) },
        if process.stalled { Cell::Span(unchanged(process)) } else { Cell::None },
        gang_and_role(process),
        Cell::List(process.resources.clone()),
        Cell::text(&process.reason),
        Cell::Integer(id.run.0.into()),
        Cell::Integer(id.dpid.job.0.into()),
        Cell::Integer(id.dpid.process.0.into()),
        Cell::Integer(id.attempt.0.into()),
        Cell::Integer(process.epoch),
        Cell::time_ns(process.placed_ns),
        Cell::time_ns(process.running_ns),
        Cell::time_ns(process.ended_ns),
        if process.exited { Cell::text(exit_text(process.exit_status)) } else { Cell::None },
        Cell::Flag(process.stalled),
        Cell::Span(unchanged(process)),
        if process.gang == 0 { Cell::None } else { Cell::Integer(process.gang.into()) },
        if process.role.is_empty() { Cell::None } else { Cell::text(&process.role) },
        Cell::time_ns(process.away_until_ns),
    ]
}

/// How long its iterations have not changed.
pub(super) fn unchanged(process: &v1::ProcessRecord) -> Duration {
    Duration::from_millis(process.unchanged_ms)
}

/// Its gang and its place in it in one word: `3/server`.
fn gang_and_role(process: &v1::ProcessRecord) -> Cell {
    if process.gang == 0 { Cell::None } else { Cell::text(format!("{}/{}", process.gang, process.role)) }
}

/// The word for a state.
pub(super) fn state(state: v1::ProcessState) -> &'static str {
    ProcessState::try_from(state).map_or("unknown", ProcessState::as_str)
}

/// An exit status of wait(2) in words: `exit 3`, `signal 9`.
fn exit_text(status: i32) -> String {
    let signal = status & 0x7f;
    if signal == 0 { format!("exit {}", status >> 8 & 0xff) } else { format!("signal {signal}") }
}

/// A process is ended for good.
pub(super) fn is_final(process: &v1::ProcessRecord) -> bool {
    ProcessState::try_from(process.state()).is_ok_and(ProcessState::is_final)
}

#[cfg(test)]
mod tests {
    use muster_model::PoolTime;
    use muster_proto::v1;

    use crate::output::{Format, Layout};
    use crate::times::Viewer;

    fn rendered(format: Format, processes: &[v1::ProcessRecord]) -> String {
        let now = PoolTime(1_763_640_000_000_000_000);
        let viewer = Viewer { now, zone: jiff::tz::TimeZone::UTC };
        Layout { format, viewer }.render(&super::table(processes, now)).expect("it is laid out")
    }

    #[test]
    fn stalled_and_gangs_are_shown_where_there_are_any_and_always_to_programs() {
        let dpid = |process| Some(v1::Dpid { job: 1, process });
        let plain = |process| v1::ProcessRecord {
            id: Some(v1::ProcessId { run: 1, dpid: dpid(process), attempt: 1 }),
            module: "tcp".into(),
            machine: "node-1".into(),
            state: v1::ProcessState::Running.into(),
            placed_ns: 1_763_639_990_000_000_000,
            ..Default::default()
        };
        let stalled = v1::ProcessRecord { stalled: true, unchanged_ms: 61_500, ..plain(2) };
        let of_gang = v1::ProcessRecord { gang: 3, role: "server".into(), unchanged_ms: 200, ..plain(3) };
        insta::assert_snapshot!("ps_plain", rendered(Format::Table, &[plain(1)]));
        insta::assert_snapshot!("ps_trouble", rendered(Format::Table, &[plain(1), stalled.clone(), of_gang.clone()]));
        insta::assert_snapshot!("ps_json", rendered(Format::Json, &[stalled, of_gang]));
    }

    #[test]
    fn exit_statuses_are_told_in_words() {
        assert_eq!(super::exit_text(3 << 8), "exit 3");
        assert_eq!(super::exit_text(9), "signal 9");
        assert_eq!(super::exit_text(0), "exit 0");
    }
}
