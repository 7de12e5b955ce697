//! `muster ps`: processes of the current run.

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
    columns.extend([Column::new("resources"), Column::new("reason")]);
    let programs =
        ["run", "job", "process", "attempt", "epoch", "placed_time", "running_time", "ended_time", "exit_status"];
    columns.extend(programs.into_iter().map(Column::programs));
    let mut table = Table::new(columns);
    for process in processes {
        table.push(row(process, now));
    }
    table
}

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
    ]
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
    #[test]
    fn exit_statuses_are_told_in_words() {
        assert_eq!(super::exit_text(3 << 8), "exit 3");
        assert_eq!(super::exit_text(9), "signal 9");
        assert_eq!(super::exit_text(0), "exit 0");
    }
}
