//! Plans as users write them, and what JOBS must say of them.

use std::collections::BTreeMap;

use muster_proto::v1::{self, envelope::Body, job_command, job_event::Kind};

use crate::random::Random;
use crate::service::Stream;

/// A plan of one to three steps, one after the other, each of one or two tasks that end by themselves or by their limit.
pub(crate) fn write(reservation: u64, random: &mut Random) -> (Stream, Body) {
    let steps = (0..=random.below(2)).map(|number| step(number, random)).collect();
    let plan = v1::StartPlan { name: "simulated".into(), steps, reservation, dry_run: false };
    let kind = Some(job_command::Kind::StartPlan(plan));
    (Stream::Jobs, Body::JobCommand(v1::JobCommand { kind, ..Default::default() }))
}

fn step(number: u64, random: &mut Random) -> v1::PlanStep {
    let on_failure = if random.happens(500) { v1::OnFailure::Continue } else { v1::OnFailure::Stop };
    let tasks = (0..=random.below(2)).map(|task| v1::PlanTask {
        name: format!("t{task}"),
        limit_ms: 2_000 + random.below(30_000),
        attempts: 1 + random.below(3) as u32,
        roles: vec![v1::PlanRole { name: String::new(), start: Some(start(random)) }],
    });
    let tasks = tasks.collect();
    let after = number.checked_sub(1).map(|before| format!("s{before}")).into_iter().collect();
    v1::PlanStep { name: format!("s{number}"), after, on_failure: on_failure.into(), tasks }
}

/// A start of the one module; some ask for a client for each of their processes.
fn start(random: &mut Random) -> v1::Start {
    let clients = u32::from(random.happens(200));
    let parameters = vec![v1::KeyValue { key: "clients".into(), value: clients.to_string() }];
    v1::Start { module: "simulated".into(), processes: 1 + random.below(4) as u32, parameters, ..Default::default() }
}

/// What JOBS has said of one plan.
#[derive(Debug, Default)]
struct Told {
    /// Of each step: the steps before it, and that it has begun.
    steps: Vec<(Vec<usize>, bool)>,
    tasks: Vec<Task>,
}

#[derive(Debug, Default)]
struct Task {
    step: usize,
    /// The attempt that was placed last.
    placed: u32,
    /// It waits for its next attempt.
    waits: bool,
    ended: bool,
}

/// I11: steps begin when all before them are over, each attempt of a task is placed once, after the one before was given up, and every task
/// ends once.
///
/// # Errors
/// Says of which plan that is not so.
pub(crate) fn check(events: impl Iterator<Item = v1::JobEvent>) -> Result<(), String> {
    let mut plans = BTreeMap::new();
    for kind in events.filter_map(|event| event.kind) {
        let (job, told) = match kind {
            Kind::PlanStarted(plan) => {
                plans.insert(plan.job, Told::of(plan));
                continue;
            }
            Kind::PlanStepBegun(begun) => (begun.job, Told::begin(&mut plans, &begun)),
            Kind::PlanTaskPlaced(placed) => (placed.job, Told::place(&mut plans, &placed)),
            Kind::PlanTaskQueued(queued) => (queued.job, Told::queue(&mut plans, &queued)),
            Kind::PlanTasksEnded(ended) => (ended.job, Told::end(&mut plans, &ended)),
            _ => continue,
        };
        told.ok_or_else(|| format!("I11: plan {job} does what it may not: {:?}", plans.get(&job)))?;
    }
    let open = plans.iter().find(|(_, told)| told.tasks.iter().any(|task| !task.ended));
    open.map_or(Ok(()), |(job, told)| Err(format!("I11: plan {job} has not ended: {told:?}")))
}

type Plans = BTreeMap<u32, Told>;

impl Told {
    fn of(plan: v1::PlanStarted) -> Self {
        let mut told = Self::default();
        for (step, planned) in plan.steps.into_iter().enumerate() {
            told.steps.push((planned.after.into_iter().map(|before| before as usize).collect(), false));
            told.tasks.extend(planned.tasks.iter().map(|_| Task { step, ..Task::default() }));
        }
        told
    }

    fn begin(plans: &mut Plans, begun: &v1::PlanStepBegun) -> Option<()> {
        let told = plans.get_mut(&begun.job)?;
        let (after, is_begun) = told.steps.get_mut(begun.step as usize)?;
        let is_over = told.tasks.iter().all(|task| task.ended || !after.contains(&task.step));
        (!std::mem::replace(is_begun, true) && is_over).then_some(())
    }

    fn place(plans: &mut Plans, placed: &v1::PlanTaskPlaced) -> Option<()> {
        let told = plans.get_mut(&placed.job)?;
        let task = told.tasks.get_mut(placed.task as usize)?;
        let is_next = placed.attempt == task.placed + 1 && (task.placed == 0 || task.waits);
        (task.placed, task.waits) = (placed.attempt, false);
        (is_next && !task.ended && told.steps[task.step].1).then_some(())
    }

    fn queue(plans: &mut Plans, queued: &v1::PlanTaskQueued) -> Option<()> {
        let task = plans.get_mut(&queued.job)?.tasks.get_mut(queued.task as usize)?;
        let is_new = !std::mem::replace(&mut task.waits, true);
        (is_new && queued.attempt == task.placed && !task.ended).then_some(())
    }

    fn end(plans: &mut Plans, ended: &v1::PlanTasksEnded) -> Option<()> {
        let told = plans.get_mut(&ended.job)?;
        for end in &ended.ends {
            let task = told.tasks.get_mut(end.task as usize)?;
            if std::mem::replace(&mut task.ended, true) {
                return None;
            }
        }
        Some(())
    }
}
