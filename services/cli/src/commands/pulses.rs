//! `muster pulse`: square waves that gate the iterations of processes.

use std::time::Duration;

use muster_proto::v1::{self, job_command, job_query, job_reply};

use super::{Session, ladder};
use crate::arguments::{PulseClearArguments, PulseCommand, PulseSetArguments};
use crate::client::unexpected;
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};

pub(super) async fn run(session: &Session, command: PulseCommand) -> Result<(), Failure> {
    match command {
        PulseCommand::Set(arguments) => set(session, &arguments).await,
        PulseCommand::List => list(session).await,
        PulseCommand::Clear(arguments) => clear(session, arguments).await,
        PulseCommand::Ladder(arguments) => ladder::run(session, &arguments).await,
    }
}

async fn set(session: &Session, arguments: &PulseSetArguments) -> Result<(), Failure> {
    let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let pulse = v1::Pulse {
        number: arguments.number,
        block_ns: nanoseconds(arguments.block),
        free_ns: nanoseconds(arguments.free),
        phase_ns: nanoseconds(arguments.phase),
    };
    let command = job_command::Kind::SetPulse(v1::SetPulse { pulse: Some(pulse) });
    print(session, session.client.job_command(&format!("set pulse {}", arguments.number), command).await?).await
}

async fn list(session: &Session) -> Result<(), Failure> {
    print(session, session.client.job_query("list pulses", job_query::Kind::Pulses(v1::ListPulses {})).await?).await
}

async fn clear(session: &Session, arguments: PulseClearArguments) -> Result<(), Failure> {
    let PulseClearArguments { numbers, all } = arguments;
    let command = job_command::Kind::ClearPulses(v1::ClearPulses { numbers, all });
    print(session, session.client.job_command("clear pulses", command).await?).await
}

async fn print(session: &Session, reply: job_reply::Kind) -> Result<(), Failure> {
    let job_reply::Kind::Pulses(list) = reply else { return Err(unexpected("scheduler")) };
    session.print(&table(&list)).await
}

fn table(list: &v1::PulseList) -> Table {
    let mut columns: Vec<Column> = ["pulse", "block", "free", "phase", "duty"].into_iter().map(Column::new).collect();
    columns.extend([Column::people("state"), Column::new("jobs"), Column::new("processes")]);
    columns.push(Column::programs("cleared"));
    let mut table = Table::new(columns);
    for record in &list.pulses {
        let pulse = record.pulse.unwrap_or_default();
        let span = |nanoseconds| Cell::Span(Duration::from_nanos(nanoseconds));
        let blocked = pulse.block_ns as f64 / (pulse.block_ns as f64 + pulse.free_ns as f64);
        table.push(vec![
            Cell::Integer(pulse.number.into()),
            span(pulse.block_ns),
            span(pulse.free_ns),
            span(pulse.phase_ns),
            Cell::Number(blocked),
            Cell::text(if record.cleared { "cleared: its jobs go on free of it" } else { "set" }),
            Cell::List(record.jobs.iter().map(u32::to_string).collect()),
            Cell::Integer(record.processes),
            Cell::Flag(record.cleared),
        ]);
    }
    table
}
