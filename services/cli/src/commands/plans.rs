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
