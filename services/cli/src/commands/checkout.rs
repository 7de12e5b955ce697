//! What `muster reserve --module` and `--like` set up: the test that a person is to start by hand, on the machines of the reservation.

use muster_model::{Refusal, RefusalCode};
use muster_proto::v1::{self, CountBy, ListProcesses, MachinePlacement, StartSpec};
use prost::Message;

use super::start::{check_attached, sorted};
use super::{Session, not_found, rerun};
use crate::arguments::ReserveArguments;
use crate::exit::Failure;
use crate::target::{ProcessName, Rerun};

/// What is set up.
#[derive(Debug, Default)]
pub(super) struct Setup {
    /// The start that is left to a person.
    pub(super) start: v1::Start,
    /// The machine on which the like of it ran.
    pub(super) machine: Option<String>,
    /// The kernel that it ran in by order.
    pub(super) kernel: Option<String>,
}

/// What a request sets up; none where it is for machines alone. Checked as a start, before anything is reserved.
///
/// # Errors
/// What it names is not known, or is no start.
pub(super) async fn setup(session: &Session, arguments: &ReserveArguments) -> Result<Option<Setup>, Failure> {
    let given = arguments.parameters.clone();
    let setup = match (&arguments.module, &arguments.like) {
        (Some(module), _) => {
            let start = v1::Start { module: module.clone(), parameters: sorted("reserve", given)?, ..one_each() };
            Setup { start, ..Setup::default() }
        }
        (None, Some(process)) => {
            let mut setup = like(session, *process).await?;
            for (key, value) in given {
                setup.start.parameters.retain(|pair| pair.key != key);
                setup.start.parameters.push(v1::KeyValue { key, value });
            }
            setup
        }
        (None, None) => return Ok(None),
    };
    check_attached(session, "reserve", &setup.start).await?;
    Ok(Some(setup))
}

fn one_each() -> v1::Start {
    v1::Start {
        processes: 1,
        count_by: CountBy::Machine.into(),
        when_ready: true,
        check_out: true,
        ..v1::Start::default()
    }
}

/// The same as a process was given, of this run or of one that is over.
async fn like(session: &Session, process: ProcessName) -> Result<Setup, Failure> {
    let what = format!("set up the like of {}", process.dpid);
    let (spec, machine, resources) = ran(session, &what, process).await?;
    let kernel = match spec.reservation {
        0 => None,
        number => {
            let found = session.client.reservations(&what, number, true).await.unwrap_or_default();
            found.into_iter().find_map(|record| record.rollout).map(|rollout| rollout.kernel)
        }
    };
    let module = spec.module.unwrap_or_default();
    if !module.roles.is_empty() {
        let why = format!("module {} runs in gangs, and a person starts one process", module.name);
        return Err(Refusal::new(RefusalCode::Refused, what, why, "reserve the machines, and start it as a job").into());
    }
    let start = v1::Start {
        module: format!("{}@{}", module.name, module.version),
        parameters: spec.parameters,
        seed: spec.seed,
        on_error: spec.on_error,
        resource_selector: resources.iter().map(|id| format!("{machine}/{id}")).collect::<Vec<_>>().join(","),
        ..one_each()
    };
    Ok(Setup { start, machine: Some(machine), kernel })
}

/// What a process was started with, the machine that it ran on last, and its resources there.
async fn ran(session: &Session, what: &str, process: ProcessName) -> Result<(StartSpec, String, Vec<String>), Failure> {
    let (job, number) = (process.dpid.job, process.dpid.process.0);
    let missing = || not_found(what.to_owned(), format!("process {}", process.dpid), "`muster ps --all` lists them");
    let (jobs, current) = session.client.jobs(what, job.0, true).await?;
    if process.run.is_none_or(|run| run.0 == current) {
        let spec = jobs.into_iter().find_map(|record| record.spec).ok_or_else(missing)?;
        let asked = ListProcesses { job: job.0, ended: true, ..ListProcesses::default() };
        let (processes, _) = session.client.processes(what, asked).await?;
        let is_it =
            |record: &v1::ProcessRecord| record.id.and_then(|id| id.dpid).is_some_and(|dpid| dpid.process == number);
        let found = processes.into_iter().find(is_it).ok_or_else(missing)?;
        return Ok((spec, found.machine, found.resources));
    }
    let again = rerun::jobs(session, Rerun::Job { run: process.run, job }).await?;
    let archived = again.into_iter().next().ok_or_else(missing)?.archived;
    let started = v1::JobStarted::decode(archived).map_err(anyhow::Error::from)?;
    let here = |placement: &&MachinePlacement| (placement.first..placement.first + placement.count).contains(&number);
    let placement = started.placements.iter().find(here).ok_or_else(missing)?.clone();
    let each = placement.resources_each as usize;
    let from = (number - placement.first) as usize * each;
    let resources = placement.resources.get(from..from + each).unwrap_or_default().to_vec();
    Ok((started.spec.ok_or_else(missing)?, placement.machine, resources))
}
