//! `muster jobs`: jobs of the current run, and what their counts mean.

use muster_model::{PoolTime, ProcessState, Verdict};
use muster_proto::v1;

use super::{Session, plans};
use crate::arguments::JobsArguments;
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};

pub(super) async fn list(session: &Session, arguments: &JobsArguments) -> Result<(), Failure> {
    let (mut jobs, run) = session.client.jobs("list jobs", 0, arguments.all || arguments.checkouts).await?;
    if !arguments.checkouts {
        jobs.retain(|job| !is_checkout(job));
    }
    session.print(&table(&jobs, run)).await
}

/// It is left to a person to start: no part of what passed or failed.
fn is_checkout(job: &v1::JobRecord) -> bool {
    job.spec.as_ref().is_some_and(|spec| spec.check_out)
}

/// Processes of a job in one state.
pub(crate) fn in_state(job: &v1::JobRecord, state: ProcessState) -> u32 {
    let place = usize::try_from(i32::from(v1::ProcessState::from(state))).unwrap_or(usize::MAX);
    job.by_state.get(place).copied().unwrap_or(0)
}

/// Processes of a job with one verdict.
pub(super) fn with_verdict(job: &v1::JobRecord, verdict: Verdict) -> u32 {
    let place = usize::try_from(i32::from(v1::Verdict::from(verdict))).unwrap_or(usize::MAX);
    job.by_verdict.get(place).copied().unwrap_or(0)
}

/// Processes that will not change any more.
pub(super) fn ended(job: &v1::JobRecord) -> u32 {
    ProcessState::ALL.into_iter().filter(|state| state.is_final()).map(|state| in_state(job, state)).sum()
}

/// What failed in a job, in words; none when nothing did.
pub(super) fn failed(job: &v1::JobRecord) -> Option<String> {
    let counts = [
        (with_verdict(job, Verdict::Fail), "failed"),
        (with_verdict(job, Verdict::Error), "with verdict error"),
        (in_state(job, ProcessState::Dead), "dead"),
        (in_state(job, ProcessState::Lost), "lost"),
    ];
    let told: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    if told.is_empty() { None } else { Some(told.join(", ")) }
}

/// The states of a job in words: `48 running, 2 finished`.
pub(super) fn states(job: &v1::JobRecord) -> String {
    states_of(std::slice::from_ref(job))
}

/// The states of all processes of some jobs in words.
pub(super) fn states_of(jobs: &[v1::JobRecord]) -> String {
    let sum = |state| jobs.iter().map(|job| u64::from(in_state(job, state))).sum::<u64>();
    let counts = ProcessState::ALL.into_iter().map(|state| (sum(state), state));
    let told: Vec<String> = counts.filter(|(n, _)| *n > 0).map(|(n, state)| format!("{n} {state}")).collect();
    told.join(", ")
}

/// Jobs as a table.
pub(super) fn table(jobs: &[v1::JobRecord], run: u32) -> Table {
    let mut columns: Vec<Column> = ["job", "module"].into_iter().map(Column::new).collect();
    columns.extend(["plan", "plan_state"].map(Column::if_told));
    columns.push(Column::new("processes"));
    columns.extend([Column::people("states"), Column::if_told("stalled"), Column::if_told("pulses")]);
    columns.push(Column::people("verdicts"));
    columns.extend(["started_time", "ended_time", "actor"].into_iter().map(Column::new));
    columns.extend(
        ["run", "module_version", "selector", "resource_selector", "reservation", "seed", "stopping"]
            .map(Column::programs),
    );
    columns.extend(["all_running_time", "seconds_to_all_running", "parameters"].map(Column::programs));
    columns.extend(ProcessState::ALL.map(|state| Column::programs(state.as_str())));
    columns.extend(VERDICT_COLUMNS.map(|(name, _)| Column::programs(name)));
    columns.extend(["stalled", "pulses", "plan", "plan_state"].map(Column::programs));
    let mut table = Table::new(columns);
    for job in jobs {
        table.push(row(job, run));
    }
    table
}

const VERDICT_COLUMNS: [(&str, Verdict); 4] = [
    ("verdict_pass", Verdict::Pass),
    ("verdict_fail", Verdict::Fail),
    ("verdict_skip", Verdict::Skip),
    ("verdict_error", Verdict::Error),
];

fn row(job: &v1::JobRecord, run: u32) -> Vec<Cell> {
    let spec = job.spec.clone().unwrap_or_default();
    let module = spec.module.unwrap_or_default();
    let parameters = spec.parameters.iter().map(|pair| format!("{}={}", pair.key, pair.value)).collect();
    let pulses: Vec<String> = spec.pulses.iter().map(u32::to_string).collect();
    let plan = job
        .plan
        .as_ref()
        .map_or([Cell::None, Cell::None], |plan| [Cell::text(&plan.name), Cell::text(plans::state(plan.state()))]);
    let mut cells = vec![
        Cell::Integer(spec.job.into()),
        Cell::text(module.name),
        plan[0].clone(),
        plan[1].clone(),
        Cell::Integer(job.processes.into()),
        Cell::text(states(job)),
        if job.stalled == 0 { Cell::None } else { Cell::Integer(job.stalled.into()) },
        if pulses.is_empty() { Cell::None } else { Cell::List(pulses.clone()) },
        Cell::text(verdicts(job)),
        Cell::time_ns(job.started_ns),
        Cell::time_ns(job.ended_ns),
        Cell::text(spec.actor),
        Cell::Integer(if spec.run == 0 { run } else { spec.run }.into()),
        Cell::text(module.version),
        Cell::text(&job.selector),
        Cell::text(&job.resource_selector),
        if spec.reservation == 0 { Cell::None } else { Cell::Integer(spec.reservation) },
        Cell::Integer(spec.seed),
        Cell::Flag(job.stopping),
        Cell::time_ns(job.all_running_ns),
        seconds_to_all_running(job),
        Cell::List(parameters),
    ];
    cells.extend(ProcessState::ALL.map(|state| Cell::Integer(in_state(job, state).into())));
    cells.extend(VERDICT_COLUMNS.map(|(_, verdict)| Cell::Integer(with_verdict(job, verdict).into())));
    cells.extend([Cell::Integer(job.stalled.into()), Cell::List(pulses)]);
    cells.extend(plan);
    cells
}

fn verdicts(job: &v1::JobRecord) -> String {
    if is_checkout(job) {
        return "checkout".into();
    }
    let given = Verdict::ALL.into_iter().filter(|verdict| *verdict != Verdict::None);
    let counts = given.map(|verdict| (with_verdict(job, verdict), verdict)).filter(|(n, _)| *n > 0);
    counts.map(|(n, verdict)| format!("{n} {verdict}")).collect::<Vec<_>>().join(", ")
}

fn seconds_to_all_running(job: &v1::JobRecord) -> Cell {
    if job.all_running_ns == 0 {
        return Cell::None;
    }
    Cell::Number(PoolTime(job.all_running_ns).since(PoolTime(job.started_ns)).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(by_state: &[u32], by_verdict: &[u32]) -> v1::JobRecord {
        v1::JobRecord { by_state: by_state.to_vec(), by_verdict: by_verdict.to_vec(), ..Default::default() }
    }

    #[test]
    fn every_column_has_its_own_name_for_programs() {
        let viewer = crate::times::Viewer::here(muster_model::PoolTime::NEVER);
        let layout = crate::output::Layout { format: crate::output::Format::Csv, viewer };
        let header = layout.render(&table(&[], 1)).unwrap();
        let mut names: Vec<&str> = header.trim_end().split(',').collect();
        names.sort_unstable();
        assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
    }

    #[test]
    fn states_and_failures_are_told_in_words() {
        let running = job(&[0, 1, 48, 0, 0, 2], &[]);
        assert_eq!(states(&running), "1 starting, 48 running, 2 finished");
        assert_eq!(failed(&running), None);
        let bad = job(&[0, 0, 0, 0, 0, 1, 1, 2], &[0, 0, 1, 0, 1]);
        assert_eq!(failed(&bad).as_deref(), Some("1 failed, 1 with verdict error, 1 dead, 2 lost"));
        assert_eq!(ended(&bad), 4);
    }
}
