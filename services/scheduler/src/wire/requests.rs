//! Commands.

use std::sync::Arc;
use std::time::Duration;

use muster_model::{CommandId, JobNumber, Refusal, RefusalCode, ReservationId, ResourceKind, RunId};
use muster_proto::v1;
use muster_proto::v1::job_command::Kind;
use prost::Message;

use super::{master, pairs, plans, pulses, test_events, triggers};
use crate::core::Input;
use crate::core::event::JobStarted;
use crate::core::input::{Again, ChangeJob, ClearPulses, Count, CountBy, Start, Stop};
use crate::core::module::Module;

/// Turns a command into an input.
///
/// # Errors
/// A refusal for what this version does not know or can not read.
pub fn command(id: CommandId, actor: &str, command: v1::JobCommand) -> Result<Input, Refusal> {
    let center = master::center(&command.center)?;
    let input = match command.kind {
        Some(Kind::Master(change)) => return master::change(change, center, actor),
        kind => read(id, actor, kind)?,
    };
    Ok(match center {
        Some(center) => Input::FromCenter { center, input: Box::new(input) },
        None => input,
    })
}

fn read(id: CommandId, actor: &str, kind: Option<Kind>) -> Result<Input, Refusal> {
    match kind {
        Some(Kind::Start(start)) if start.when_ready => self::start(id, actor, start).map(Input::Attach),
        Some(Kind::Start(start)) => self::start(id, actor, start).map(Input::Start),
        Some(Kind::StartPlan(plan)) => plans::start(id, actor, plan).map(|plan| Input::StartPlan(Box::new(plan))),
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
        Some(Kind::SetPulse(set)) => {
            let (number, pulse) = pulses::definition(&set.pulse.unwrap_or_default())?;
            Ok(Input::SetPulse(number, pulse))
        }
        Some(Kind::ClearPulses(clear)) => {
            Ok(Input::ClearPulses(ClearPulses { numbers: clear.numbers, all: clear.all }))
        }
        Some(Kind::ChangeJob(change)) => Ok(Input::ChangeJob(ChangeJob {
            job: JobNumber(change.job),
            pulses: change.pulses.map(|pulses| pulses.numbers),
            parameters: pairs(change.parameters),
        })),
        Some(Kind::ArmTrigger(arm)) => Ok(Input::Arm(Box::new(triggers::arm(actor, arm)))),
        Some(Kind::DisarmTriggers(disarm)) => Ok(Input::Disarm(triggers::disarm(disarm))),
        Some(Kind::FireTrigger(fire)) => Ok(Input::Fire(triggers::fire(id, actor, fire))),
        Some(Kind::Emit(emit)) => Ok(Input::Emit(test_events::emit(actor, emit))),
        Some(Kind::Master(_)) | None => Err(unknown("command")),
    }
}

/// What is to be started.
pub(super) fn start(id: CommandId, actor: &str, start: v1::Start) -> Result<Start, Refusal> {
    Ok(Start {
        command: id,
        actor: actor.to_owned(),
        count: Count { number: start.processes, by: count_by(start.count_by)? },
        module: start.module,
        selector: start.selector,
        resource_selector: start.resource_selector,
        parameters: pairs(start.parameters),
        dry_run: start.dry_run,
        reservation: ReservationId(start.reservation),
        seed: start.seed,
        pulses: start.pulses,
        on_error: start.on_error,
        again: start.again.map(again).transpose()?,
        check_out: start.check_out,
    })
}

fn again(again: v1::Again) -> Result<Again, Refusal> {
    let misread = |why: String| {
        let next = "let `muster rerun` read the archive again";
        Refusal::new(RefusalCode::Invalid, format!("start job {} again", again.job), why, next)
    };
    let archived = match again.archived.is_empty() {
        true => None,
        false => {
            let wire = v1::JobStarted::decode(again.archived.clone()).map_err(|error| misread(error.to_string()))?;
            Some(Arc::new(JobStarted::try_from(wire).map_err(|error| misread(error.to_string()))?))
        }
    };
    Ok(Again { run: (again.run != 0).then_some(RunId(again.run)), job: JobNumber(again.job), archived })
}

/// What a number counts.
pub(super) fn count_by(by: i32) -> Result<CountBy, Refusal> {
    let by = v1::CountBy::try_from(by).map_err(|_| unknown("count of processes"))?;
    Ok(match by {
        v1::CountBy::Unspecified => CountBy::Job,
        v1::CountBy::Machine => CountBy::Machine,
        v1::CountBy::Disk => CountBy::Resource(ResourceKind::Disk),
        v1::CountBy::Cpu => CountBy::Resource(ResourceKind::Cpu),
    })
}

/// The refusal of a request that this version does not know.
pub fn unknown(kind: &str) -> Refusal {
    let why = format!("this version of the scheduler does not know this {kind}");
    Refusal::new(RefusalCode::Invalid, format!("take a {kind}"), why, "upgrade the scheduler, or use an older muster")
}
