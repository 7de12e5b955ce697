//! `muster set`: changes a job that runs.

use muster_proto::v1::{self, job_command, job_reply};

use super::{Session, start};
use crate::arguments::SetArguments;
use crate::client::unexpected;
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};

pub(super) async fn run(session: &Session, arguments: SetArguments) -> Result<(), Failure> {
    let what = format!("change job {}", arguments.job);
    let pulses = arguments.pulses.map(|pulses| pulses.0);
    let changed = change(session, &what, arguments.job, pulses, start::sorted(&what, arguments.parameters)?).await?;
    let columns = ["job", "pulses", "parameters"].map(Column::new);
    let mut table = Table::new(columns.into());
    let pulses = changed.pulses.unwrap_or_default().numbers;
    table.push(vec![
        Cell::Integer(changed.job.into()),
        Cell::List(pulses.iter().map(u32::to_string).collect()),
        Cell::List(changed.parameters.iter().map(|pair| format!("{}={}", pair.key, pair.value)).collect()),
    ]);
    session.print(&table).await
}

/// Changes a job that runs; what it has then.
pub(super) async fn change(
    session: &Session,
    what: &str,
    job: u32,
    pulses: Option<Vec<u32>>,
    parameters: Vec<v1::KeyValue>,
) -> Result<v1::JobChanged, Failure> {
    let pulses = pulses.map(|numbers| v1::PulseNumbers { numbers });
    let command = job_command::Kind::ChangeJob(v1::ChangeJob { job, pulses, parameters });
    match session.client.job_command(what, command).await? {
        job_reply::Kind::JobChanged(changed) => Ok(changed),
        _ => Err(unexpected("scheduler")),
    }
}
