//! Reports of agents: the only way in which a process changes by itself.

use muster_ledger::Now;
use muster_model::{Epoch, MachineId, PoolTime, ProcessState, Verdict};

use super::super::event::{Event, ReportsTaken};
use super::super::input::{ProcessReport, Report, Reports};
use super::super::job::{Process, StopReason};
use super::super::observed::Observed;
use super::super::state::State;
use super::away;
use super::changes::{Becomes, Changes};
use super::errands::Errands;
use super::sync::Arrivals;
use super::test_events::Said;

/// Takes a batch once: (incarnation, batch) only rises. Reports of unknown machines, and of attempts that are over, have no effect.
pub(super) fn reports(state: &State, observed: &Observed, reports: &Reports, at: Now) -> Vec<Event> {
    let now = at.time;
    let Some(machine) = state.machines.get(&reports.machine) else { return Vec::new() };
    if (reports.incarnation, reports.batch) <= machine.reported {
        return Vec::new();
    }
    let mut changes = Changes::default();
    let (mut others, mut arrivals, mut events) = (Vec::new(), Arrivals::default(), Said::default());
    let mut errands = Errands::default();
    for report in &reports.reports {
        match report {
            Report::Process(report) => process(state, &reports.machine, report, now, &mut changes),
            Report::Fenced(epoch) => fenced(state, &reports.machine, *epoch, &mut changes),
            Report::TriggerFired(firing) if firing.source.machine() == Some(&reports.machine) => {
                others.push(Event::TriggerFired(firing.clone()));
            }
            Report::TriggerActed(acted) if acted.machine == reports.machine => {
                others.push(Event::TriggerActed(acted.clone()));
            }
            Report::Announced(announced) => {
                others.extend(away::announced(state, machine, announced, now, &mut changes));
            }
            Report::Sync(said) => arrivals.take(state, machine, said, now),
            Report::TestEvent(said) => events.take(state, machine, said, now),
            Report::Errand(said) => errands.take(state, observed, machine, said, at),
            // An agent speaks for its own machine alone.
            Report::TriggerFired(_) | Report::TriggerActed(_) => {}
        }
    }
    let taken =
        ReportsTaken { machine: reports.machine.clone(), incarnation: reports.incarnation, batch: reports.batch };
    changes
        .into_event()
        .into_iter()
        .chain(others)
        .chain(arrivals.into_events())
        .chain(events.into_events())
        .chain(errands.into_events())
        .chain([Event::ReportsTaken(taken)])
        .collect()
}

/// An agent's word counts for the attempt, machine and epoch that it was given (invariant I4).
pub(super) fn process(
    state: &State,
    machine: &MachineId,
    report: &ProcessReport,
    now: PoolTime,
    changes: &mut Changes,
) {
    let Some(process) = state.current(&report.id) else { return };
    // Who is away is said by the log alone.
    if process.machine != *machine || process.epoch != report.epoch || report.state == ProcessState::Away {
        return;
    }
    if away::says_too_early(process, report.state, now) {
        return;
    }
    let verdict = if report.state.is_final() { report.verdict } else { Verdict::None };
    let becomes = Becomes {
        state: report.state,
        verdict,
        exit_status: report.exit_status,
        reason: reason_of(process, report),
        pid: report.pid,
    };
    changes.add(state, report.id.dpid, process, becomes);
}

/// What was stopped because of what it uses (protected, or prepared) says so at its end, whoever's word reached its agent first.
fn reason_of(process: &Process, report: &ProcessReport) -> String {
    let by_resource = |reason: &StopReason| matches!(reason, StopReason::Protected | StopReason::Prepared);
    let reason = process.stop.as_ref().map(|stop| stop.reason).filter(by_resource);
    let Some(word) = reason.map(StopReason::as_str) else { return report.reason.clone() };
    if !report.state.is_final() || report.reason.starts_with(word) {
        return report.reason.clone();
    }
    if report.reason.is_empty() { word.into() } else { format!("{word}: {}", report.reason) }
}

/// Nothing of an older epoch is alive, and all that the agent knew of it was said before this: what is left is lost.
fn fenced(state: &State, machine: &MachineId, epoch: Epoch, changes: &mut Changes) {
    for dpid in &state.machines[machine].live {
        let process = &state.processes[dpid];
        if process.epoch < epoch {
            let reason = format!("its machine changed hands (epoch {epoch} is fenced)");
            changes.add(state, *dpid, process, Becomes::ended(ProcessState::Lost, reason));
        }
    }
}
