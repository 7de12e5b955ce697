//! `muster set`: changes a job that runs.

use muster_proto::v1::{self, job_command, job_reply};

use super::Session;
use crate::arguments::SetArguments;
use crate::client::unexpected;
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};

pub(super) async fn run(session: &Session, arguments: SetArguments) -> Result<(), Failure> {
    let pulses = Some(v1::PulseNumbers { numbers: arguments.pulses.0 });
    let command = job_command::Kind::ChangeJob(v1::ChangeJob { job: arguments.job, pulses, parameters: Vec::new() });
    let what = format!("change job {}", arguments.job);
    let job_reply::Kind::JobChanged(changed) = session.client.job_command(&what, command).await? else {
        return Err(unexpected("scheduler"));
    };
    let mut table = Table::new(vec![Column::new("job"), Column::new("pulses")]);
    let pulses = changed.pulses.unwrap_or_default().numbers;
    table.push(vec![Cell::Integer(changed.job.into()), Cell::List(pulses.iter().map(u32::to_string).collect())]);
    session.print(&table).await
}
