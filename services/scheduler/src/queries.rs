//! Queries: they look at acknowledged state and change nothing.

use muster_ledger::View;
use muster_model::{
    Dpid, JobNumber, MachineId, PoolTime, ProcessNumber, Refusal, RefusalCode, ReservationId, milliseconds,
};
use muster_proto::v1::{self, job_query, job_reply::Kind};
use prost::Message;

use crate::core::JobCore;
use crate::core::job::{Job, Process};
use crate::core::limits::PAGE_MAX;
use crate::wire::{self, projection};
use crate::{explain, plans};

/// Encoded size of a page, bytes: it must fit a message.
const PAGE_SIZE_MAX: usize = 700_000;

type JobView<'a> = View<'a, JobCore>;

/// Answers a query.
pub(crate) fn answer(query: &job_query::Kind, view: &JobView<'_>, instance: &str) -> Result<Kind, Refusal> {
    Ok(match query {
        job_query::Kind::Jobs(list) => Kind::Jobs(jobs(view, list)),
        job_query::Kind::Processes(list) => Kind::Processes(processes(view, list)),
        job_query::Kind::Modules(list) => Kind::Modules(modules(view, list)?),
        job_query::Kind::Plan(show) => Kind::Plan(plans::show(view, JobNumber(show.job))?),
        job_query::Kind::Why(why) => {
            let lines = explain::why(view, why.dpid.unwrap_or_default().into())?;
            Kind::Why(v1::Explanation { lines })
        }
        job_query::Kind::Clock(_) => Kind::Clock(v1::ClockReply { pool_time_ns: view.now.time.0 }),
        job_query::Kind::Pulses(_) => Kind::Pulses(pulses(view)),
        job_query::Kind::Master(_) => {
            Kind::Master(v1::MasterReply { master: view.state.master.as_ref().map(Into::into) })
        }
        job_query::Kind::Attached(list) => Kind::Attached(attached(view, ReservationId(list.reservation))),
        job_query::Kind::Triggers(list) => Kind::Triggers(triggers(view, list)),
        job_query::Kind::TestEvents(list) => Kind::TestEvents(test_events(view, list)),
        job_query::Kind::Status(_) => Kind::Status(view.status(instance)),
    })
}

/// A page that is bounded by count and by size.
struct Page {
    left: usize,
    size: usize,
}

impl Page {
    fn new() -> Self {
        Self { left: PAGE_MAX, size: 0 }
    }

    /// One more record fits; the first always does.
    fn takes(&mut self, record: &impl Message) -> bool {
        let size = self.size + record.encoded_len();
        if self.left == 0 || (size > PAGE_SIZE_MAX && self.size > 0) {
            return false;
        }
        (self.left, self.size) = (self.left - 1, size);
        true
    }
}

fn jobs(view: &JobView<'_>, list: &v1::ListJobs) -> v1::JobList {
    let mut found = v1::JobList { run: view.state.run.0, ..Default::default() };
    let (mut page, stalled) = (Page::new(), view.observed.stalled_by_job(view.state));
    for (number, job) in view.state.jobs.range(JobNumber(list.after.saturating_add(1))..) {
        let named = list.job == number.0;
        let wanted = if list.job == 0 { list.ended || job.ended == PoolTime::NEVER } else { named };
        if !wanted {
            continue;
        }
        let stalled = stalled.get(number).copied().unwrap_or(0) as u32;
        let record = v1::JobRecord { stalled, ..projection::record(job) };
        if !page.takes(&record) {
            found.more = true;
            break;
        }
        found.jobs.push(record);
    }
    found
}

fn processes(view: &JobView<'_>, list: &v1::ListProcesses) -> v1::ProcessList {
    let mut found = v1::ProcessList { run: view.state.run.0, ..Default::default() };
    let mut page = Page::new();
    let after = list.after.map(Dpid::from).unwrap_or_default();
    let (first, last) = match (list.job, list.process) {
        (0, _) => (Dpid::default(), Dpid { job: JobNumber(u32::MAX), process: ProcessNumber(u32::MAX) }),
        (job, 0) => (dpid(job, 0), dpid(job, u32::MAX)),
        (job, process) => (dpid(job, process), dpid(job, process)),
    };
    let from = first.max(after);
    if from > last {
        return found;
    }
    for (dpid, process) in view.state.processes.range(from..=last) {
        let on_machine = list.machine.is_empty() || list.machine == process.machine.as_str();
        let wanted = list.ended || list.process != 0 || !process.state.is_final();
        if *dpid <= after || !on_machine || !wanted {
            continue;
        }
        let record = record(view, *dpid, process);
        if !page.takes(&record) {
            found.more = true;
            break;
        }
        found.processes.push(record);
    }
    found
}

/// Starts that wait, or waited, for one reservation or any.
fn attached(view: &JobView<'_>, wanted: ReservationId) -> v1::AttachedList {
    let chosen = view.state.reservations.iter().filter(|(id, _)| wanted == ReservationId(0) || **id == wanted);
    let starts = chosen.filter_map(|(id, followed)| Some((*id, followed.attached.as_ref()?)));
    let mut page = Page::new();
    let records = starts.map(|(id, attached)| wire::attached::attached_to_wire(id, attached));
    v1::AttachedList { starts: records.take_while(|record| page.takes(record)).collect() }
}

/// Events of tests, oldest first. What does not fit is asked for after the last of them.
fn test_events(view: &JobView<'_>, list: &v1::ListTestEvents) -> v1::TestEventList {
    let mut page = Page::new();
    let asked = wire::test_events::list(&view.state.test_events, list);
    let events = asked.into_iter().take_while(|event| page.takes(event)).collect();
    v1::TestEventList { events, newest: view.state.test_events.newest, run: view.state.run.0 }
}

/// Arms by number, or firings with the newest first.
fn triggers(view: &JobView<'_>, list: &v1::ListTriggers) -> v1::TriggerList {
    let (mut found, mut page, after) = (v1::TriggerList::default(), Page::new(), list.after as usize);
    if list.fired {
        for firing in view.state.firings.iter().rev().skip(after) {
            let record = wire::triggers::firing(firing);
            if !page.takes(&record) {
                found.more = true;
                break;
            }
            found.firings.push(record);
        }
        return found;
    }
    let mut arms = wire::triggers::arms(view.state);
    arms.sort_by_key(|record| record.armed.as_ref().map_or(0, |armed| armed.number));
    for mut record in arms.into_iter().skip(after) {
        note_taken(view, &mut record);
        if !page.takes(&record) {
            found.more = true;
            break;
        }
        found.arms.push(record);
    }
    found
}

/// Which machines of an arm have it.
fn note_taken(view: &JobView<'_>, record: &mut v1::ArmRecord) {
    let position = record.position.unwrap_or_default().into();
    for armed in record.armed.iter_mut().flat_map(|armed| &mut armed.machines) {
        let machine = armed.machine.parse().ok().and_then(|id: MachineId| view.state.machines.get(&id));
        armed.taken = machine.is_some_and(|machine| view.observed.has_taken(machine, position));
    }
}

fn dpid(job: u32, process: u32) -> Dpid {
    Dpid { job: JobNumber(job), process: ProcessNumber(process) }
}

fn record(view: &JobView<'_>, dpid: Dpid, process: &Process) -> v1::ProcessRecord {
    let job = &view.state.jobs[&dpid.job];
    let pinged = view.observed.pinged(&process.machine, dpid, process.attempt);
    v1::ProcessRecord {
        id: Some(view.state.identity(dpid, process).into()),
        module: job.spec_of(dpid.process).module.name.to_string(),
        machine: process.machine.to_string(),
        epoch: process.epoch.0,
        resources: process.resources.iter().map(ToString::to_string).collect(),
        state: v1::ProcessState::from(process.state).into(),
        verdict: v1::Verdict::from(process.verdict).into(),
        placed_ns: process.placed.0,
        running_ns: process.running.0,
        ended_ns: process.ended.0,
        exit_status: process.exit_status.unwrap_or(0),
        exited: process.exit_status.is_some(),
        reason: process.reason.clone(),
        pid: process.pid,
        iterations: pinged.map_or(0, |pinged| pinged.iterations),
        unchanged_ms: pinged.map_or(0, |pinged| milliseconds(pinged.unchanged)),
        stalled: view.observed.stall_of(view.state, dpid, process).is_some(),
        gang: process.member.map_or(0, |member| member.gang),
        role: role_of(job, dpid, process),
        away_until_ns: process.expected.as_ref().filter(|expected| expected.is_granted()).map_or(0, |e| e.until.0),
    }
}

/// The name of a process's role in its gang; empty for a module without gangs.
fn role_of(job: &Job, dpid: Dpid, process: &Process) -> String {
    let role = process.member.and_then(|member| job.spec_of(dpid.process).module.roles.get(member.role as usize));
    role.cloned().unwrap_or_default()
}

fn pulses(view: &JobView<'_>) -> v1::PulseList {
    let defined = view.state.pulses.iter().map(|(number, pulse)| (&view.state.pulse_use(*number, *pulse)).into());
    v1::PulseList { pulses: defined.collect() }
}

fn modules(view: &JobView<'_>, list: &v1::ListModules) -> Result<v1::ModuleList, Refusal> {
    if list.name.is_empty() {
        return Ok(v1::ModuleList { modules: view.state.modules.values().map(|module| (&**module).into()).collect() });
    }
    match view.state.modules.get(list.name.as_str()) {
        Some(module) => Ok(v1::ModuleList { modules: vec![(&**module).into()] }),
        None => {
            let (what, why) =
                (format!("show module {}", list.name), format!("no module `{}` is in the catalogue", list.name));
            Err(Refusal::new(RefusalCode::NotFound, what, why, "`muster module list` shows what there is"))
        }
    }
}
