//! `muster run-id`: the life of the system between initialisations.

use muster_proto::v1::{self, job_command, job_reply};

use super::Session;
use crate::arguments::RunIdCommand;
use crate::client::unexpected;
use crate::confirm::confirm;
use crate::exit::Failure;
use crate::output::{Cell, Table};

pub(super) async fn run(session: &Session, command: &RunIdCommand) -> Result<(), Failure> {
    let (_, current) = session.client.jobs("show the run", 0, false).await?;
    let run = match command {
        RunIdCommand::Show => current,
        RunIdCommand::New { yes } => {
            let touched = [format!("run {current}, which ends: its jobs can no longer be named without their run")];
            confirm("begin a new run", &touched, *yes).await?;
            let kind = job_command::Kind::NewRun(v1::NewRun {});
            let job_reply::Kind::RunStarted(started) = session.client.job_command("begin a new run", kind).await?
            else {
                return Err(unexpected("scheduler"));
            };
            started.run
        }
    };
    session.print(&Table::record(vec![("run", Cell::Integer(run.into()))])).await
}
