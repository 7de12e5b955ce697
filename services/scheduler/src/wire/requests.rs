//! Commands.

use std::time::Duration;

use muster_model::{CommandId, JobNumber, Refusal, RefusalCode, ReservationId};
use muster_proto::v1;
use muster_proto::v1::job_command::Kind;

use super::pairs;
use crate::core::Input;
use crate::core::input::{Start, Stop};
use crate::core::module::Module;

/// Turns a command into an input.
///
/// # Errors
/// A refusal for what this version does not know or can not read.
pub fn command(id: CommandId, actor: &str, command: v1::JobCommand) -> Result<Input, Refusal> {
    match command.kind {
        Some(Kind::Start(start)) => Ok(Input::Start(Start {
            command: id,
            actor: actor.to_owned(),
            module: start.module,
            processes: start.processes,
            selector: start.selector,
            parameters: pairs(start.parameters),
            dry_run: start.dry_run,
            reservation: ReservationId(start.reservation),
            seed: start.seed,
        })),
        Some(Kind::Stop(stop)) => Ok(Input::Stop(Stop {
            jobs: stop.jobs.into_iter().map(JobNumber).collect(),
            dpids: stop.dpids.into_iter().map(Into::into).collect(),
            all: stop.all,
            grace: Duration::from_millis(stop.grace_ms),
        })),
        Some(Kind::AddModule(add)) => {
            let module = add.module.unwrap_or_default();
            let what = format!("add module {}", module.name);
            let module = Module::try_from(module).map_err(|error| {
                let next = "correct its manifest (module.toml) and add it again";
                Refusal::new(RefusalCode::Invalid, what, error.to_string(), next)
            })?;
            Ok(Input::AddModule(Box::new(module)))
        }
        Some(Kind::RemoveModule(remove)) => Ok(Input::RemoveModule(remove.name)),
        Some(Kind::NewRun(_)) => Ok(Input::NewRun),
        None => Err(unknown("command")),
    }
}

/// The refusal of a request that this version does not know.
pub fn unknown(kind: &str) -> Refusal {
    let why = format!("this version of the scheduler does not know this {kind}");
    Refusal::new(RefusalCode::Invalid, format!("take a {kind}"), why, "upgrade the scheduler, or use an older muster")
}
