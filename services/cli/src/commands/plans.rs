//! `muster plan`: plans are read here, and run by the scheduler.

use anyhow::Context;
use muster_model::{OnFailure, TaskState, Verdict};
use muster_proto::v1::{self, job_command, job_query, job_reply};

use super::{Session, jobs, wait};
use crate::arguments::{PlanCommand, PlanFileArguments, PlanShowArguments, PlanStartArguments, Until};
use crate::client::unexpected;
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};
use crate::plan_file;

pub(super) async fn run(session: &Session, command: PlanCommand) -> Result<(), Failure> {
    match command {
        PlanCommand::Check(arguments) => check(session, &arguments).await,
        PlanCommand::Start(arguments) => start(session, &arguments).await,
        PlanCommand::Show(arguments) => show(session, &arguments).await,
    }
}

async fn check(session: &Session, arguments: &PlanFileArguments) -> Result<(), Failure> {
    let plan = v1::StartPlan { dry_run: true, ..read(arguments)? };
    let accepted = given(session, &format!("check plan {}", plan.name), plan).await?;
    session.print(&accepted_table(&accepted)).await
}

async fn start(session: &Session, arguments: &PlanStartArguments) -> Result<(), Failure> {
    let plan = read(&arguments.file)?;
    let accepted = given(session, &format!("start plan {}", plan.name), plan).await?;
    session.print(&accepted_table(&accepted)).await?;
    if arguments.wait { wait::wait_for(session, accepted.job, Until::End, arguments.within).await } else { Ok(()) }
}

async fn show(session: &Session, arguments: &PlanShowArguments) -> Result<(), Failure> {
    let kind = job_query::Kind::Plan(v1::ShowPlan { job: arguments.job });
    match session.client.job_query(&format!("show plan {}", arguments.job), kind).await? {
        job_reply::Kind::Plan(plan) => session.print(&tree(&plan)).await,
        _ => Err(unexpected("scheduler")),
    }
}

/// Reads the file.
fn read(arguments: &PlanFileArguments) -> Result<v1::StartPlan, Failure> {
    let path = arguments.file.display();
    let text = std::fs::read_to_string(&arguments.file).with_context(|| format!("read the plan {path}"))?;
    let stem = arguments.file.file_stem().unwrap_or_default().to_string_lossy();
    let plan = plan_file::parse(&text, &stem).map_err(|why| Failure::Usage(format!("{path}: {why}")))?;
    Ok(v1::StartPlan { reservation: arguments.reservation.unwrap_or(plan.reservation), ..plan })
}

async fn given(session: &Session, what: &str, plan: v1::StartPlan) -> Result<v1::PlanAccepted, Failure> {
    match session.client.job_command(what, job_command::Kind::StartPlan(plan)).await? {
        job_reply::Kind::PlanAccepted(accepted) => Ok(accepted),
        _ => Err(unexpected("scheduler")),
    }
}

fn accepted_table(accepted: &v1::PlanAccepted) -> Table {
    let names = ["job", "plan", "steps", "tasks", "processes", "run"];
    let mut table = Table::new(names.into_iter().map(Column::new).collect());
    table.push(vec![
        if accepted.job == 0 { Cell::None } else { Cell::Integer(accepted.job.into()) },
        Cell::text(&accepted.name),
        Cell::Integer(accepted.steps.into()),
        Cell::Integer(accepted.tasks.into()),
        Cell::Integer(accepted.processes.into()),
        Cell::Integer(accepted.run.into()),
    ]);
    table
}

/// The word for a state.
pub(super) fn state(state: v1::TaskState) -> &'static str {
    TaskState::try_from(state).map_or("unknown", TaskState::as_str)
}

/// The tasks of a plan by state in words: `2 running, 1 queued`.
pub(super) fn tasks(plan: &v1::PlanSummary) -> String {
    let counts = TaskState::ALL.into_iter().map(|state| (with_state(plan, state), state));
    counts.filter(|(n, _)| *n > 0).map(|(n, state)| format!("{n} {state}")).collect::<Vec<_>>().join(", ")
}

/// Tasks of a plan in one state.
pub(super) fn with_state(plan: &v1::PlanSummary, state: TaskState) -> u32 {
    let place = usize::try_from(i32::from(v1::TaskState::from(state))).unwrap_or(usize::MAX);
    plan.tasks.get(place).copied().unwrap_or(0)
}

/// A plan as a tree: the plan, its steps, their tasks, and attempts that are over.
fn tree(plan: &v1::PlanRecord) -> Table {
    let mut columns =
        vec![Column::people("plan"), Column::new("state"), Column::new("verdict"), Column::new("attempt")];
    columns.extend(["modules", "processes"].map(Column::new));
    columns.push(Column::people("states"));
    columns.extend(["started_time", "ended_time", "reason"].map(Column::new));
    columns.extend(
        ["level", "step", "task", "after", "on_failure", "limit_seconds", "attempts_max", "kept"].map(Column::programs),
    );
    let mut table = Table::new(columns);
    let job = plan.job.clone().unwrap_or_default();
    table.push(plan_row(&job));
    for step in &plan.steps {
        table.push(step_row(step));
        for task in &step.tasks {
            task.past.iter().for_each(|past| table.push(past_row(step, task, past)));
            table.push(task_row(step, task));
        }
    }
    table
}

fn plan_row(job: &v1::JobRecord) -> Vec<Cell> {
    let summary = job.plan.clone().unwrap_or_default();
    let number = job.spec.as_ref().map_or(0, |spec| spec.job);
    let mut cells = vec![
        Cell::text(format!("{} (job {number})", summary.name)),
        Cell::text(state(summary.state())),
        Cell::None,
        Cell::None,
        Cell::None,
        Cell::Integer(job.processes.into()),
        Cell::text(jobs::states(job)),
        Cell::time_ns(job.started_ns),
        Cell::time_ns(job.ended_ns),
        if job.stopping { Cell::text("it was told to stop") } else { Cell::None },
        Cell::text("plan"),
    ];
    cells.extend(std::iter::repeat_n(Cell::None, 7));
    cells
}

fn step_row(step: &v1::StepRecord) -> Vec<Cell> {
    vec![
        Cell::text(format!("  {}", step.name)),
        Cell::text(state(step.state())),
        Cell::None,
        Cell::None,
        Cell::None,
        Cell::None,
        Cell::None,
        Cell::time_ns(step.begun_ns),
        Cell::time_ns(step.ended_ns),
        Cell::None,
        Cell::text("step"),
        Cell::text(&step.name),
        Cell::None,
        Cell::List(step.after.clone()),
        Cell::text(OnFailure::from(step.on_failure()).as_str()),
        Cell::None,
        Cell::None,
        Cell::None,
    ]
}

fn task_row(step: &v1::StepRecord, task: &v1::TaskRecord) -> Vec<Cell> {
    let modules = task.parts.iter().map(|part| match part.role.as_str() {
        "" => part.module.clone(),
        role => format!("{role}: {}", part.module),
    });
    let mut by_state = vec![0; task.parts.first().map_or(0, |part| part.by_state.len())];
    for part in &task.parts {
        by_state.iter_mut().zip(&part.by_state).for_each(|(sum, count)| *sum += count);
    }
    let verdict = Verdict::from(task.verdict());
    let kept = if task.kept.is_empty() { String::new() } else { format!("keeps {}", task.kept.join(", ")) };
    let reason = [task.reason.as_str(), &kept].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
    vec![
        Cell::text(format!("    {}", task.name)),
        Cell::text(state(task.state())),
        if verdict == Verdict::None { Cell::None } else { Cell::text(verdict.as_str()) },
        Cell::Integer(task.attempt.into()),
        Cell::List(modules.collect()),
        Cell::Integer(task.parts.iter().map(|part| u64::from(part.count)).sum()),
        Cell::text(jobs::states(&v1::JobRecord { by_state, ..v1::JobRecord::default() })),
        Cell::time_ns(task.placed_ns),
        Cell::time_ns(task.ended_ns),
        Cell::text(reason.join("; ")),
        Cell::text("task"),
        Cell::text(&step.name),
        Cell::text(&task.name),
        Cell::None,
        Cell::None,
        if task.limit_ms == 0 { Cell::None } else { Cell::Number(task.limit_ms as f64 / 1000.0) },
        Cell::Integer(task.attempts.into()),
        Cell::List(task.kept.clone()),
    ]
}

/// An attempt that is over and was followed by another.
fn past_row(step: &v1::StepRecord, task: &v1::TaskRecord, past: &v1::PastAttempt) -> Vec<Cell> {
    vec![
        Cell::text(format!("    {}", task.name)),
        Cell::text("tried again"),
        Cell::None,
        Cell::Integer(past.attempt.into()),
        Cell::None,
        Cell::None,
        Cell::None,
        Cell::time_ns(past.placed_ns),
        Cell::time_ns(past.ended_ns),
        Cell::text(&past.reason),
        Cell::text("attempt"),
        Cell::text(&step.name),
        Cell::text(&task.name),
        Cell::None,
        Cell::None,
        Cell::None,
        Cell::None,
        Cell::None,
    ]
}

#[cfg(test)]
mod tests {
    use muster_model::PoolTime;

    use super::*;
    use crate::output::{Format, Layout};
    use crate::times::Viewer;

    fn plan() -> v1::PlanRecord {
        let past = v1::PastAttempt { attempt: 1, reason: "its machine rebooted".into(), ..v1::PastAttempt::default() };
        let part = v1::PartRecord { module: "high-io".into(), first: 1, count: 2, ..v1::PartRecord::default() };
        let task = v1::TaskRecord {
            name: "disks".into(),
            state: v1::TaskState::Failed.into(),
            verdict: v1::Verdict::Fail.into(),
            attempt: 2,
            attempts: 3,
            reason: "00030001 on node-1 is dead".into(),
            parts: vec![part],
            past: vec![past],
            kept: vec!["node-1".into()],
            ..v1::TaskRecord::default()
        };
        let state = v1::TaskState::Failed.into();
        let step = v1::StepRecord { name: "smoke".into(), state, tasks: vec![task], ..v1::StepRecord::default() };
        let summary =
            v1::PlanSummary { name: "nightly".into(), state, tasks: vec![0, 0, 0, 1], ..v1::PlanSummary::default() };
        let spec = Some(v1::StartSpec { job: 3, ..v1::StartSpec::default() });
        let job = v1::JobRecord { spec, plan: Some(summary), ..v1::JobRecord::default() };
        v1::PlanRecord { job: Some(job), steps: vec![step] }
    }

    fn rendered(format: Format) -> String {
        let viewer = Viewer { now: PoolTime(1), zone: jiff::tz::TimeZone::UTC };
        Layout { format, viewer }.render(&tree(&plan())).expect("it is laid out")
    }

    #[test]
    fn a_plan_is_a_tree_with_its_attempts() {
        let shown = rendered(Format::Table);
        let lines: Vec<&str> = shown.lines().skip(1).collect();
        let begin = ["nightly (job 3)", "  smoke", "    disks", "    disks"];
        assert!(lines.len() == 4 && lines.iter().zip(begin).all(|(line, begin)| line.starts_with(begin)), "{shown}");
        assert!(lines[2].contains("tried again") && lines[2].contains("its machine rebooted"), "{shown}");
        assert!(lines[3].contains("00030001 on node-1 is dead; keeps node-1"), "{shown}");
    }

    #[test]
    fn programs_see_what_each_row_is() {
        let rows: serde_json::Value = serde_json::from_str(&rendered(Format::Json)).expect("it is JSON");
        let levels: Vec<&str> = (0..4).filter_map(|row| rows[row]["level"].as_str()).collect();
        assert_eq!(levels, ["plan", "step", "attempt", "task"]);
        assert_eq!(
            (&rows[3]["step"], &rows[3]["task"], &rows[3]["attempts_max"]),
            (&"smoke".into(), &"disks".into(), &3.into())
        );
    }

    #[test]
    fn the_tasks_of_a_plan_are_told_in_words() {
        let summary = v1::PlanSummary { tasks: vec![0, 2, 1, 0, 0, 4], ..v1::PlanSummary::default() };
        assert_eq!(tasks(&summary), "2 queued, 1 running, 4 completed");
    }
}
