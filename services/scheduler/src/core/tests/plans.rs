//! Plans: their rules as tables, and a scheduler that is restarted between any two events.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_model::TaskState::{self, Completed, Failed, Queued, Running, Skipped};
use muster_model::{OnFailure, ProcessState as P};

use super::super::input::{AgentRefusal, PlanStart, RefusedProcess, RoleStart, StepStart, TaskStart};
use super::super::job::{StopOrder, StopReason};
use super::super::judge::{Came, came};
use super::super::plan::Plan;
use super::*;

/// A task of `high-io`.
pub(super) fn task(name: &str, processes: u32) -> TaskStart {
    let roles = vec![RoleStart { name: String::new(), start: start(processes) }];
    TaskStart { name: name.into(), limit: Duration::ZERO, attempts: 0, roles }
}

/// A step after others.
pub(super) fn step(name: &str, after: &[&str], tasks: Vec<TaskStart>) -> StepStart {
    let after = after.iter().map(ToString::to_string).collect();
    StepStart { name: name.into(), after, on_failure: OnFailure::Stop, tasks }
}

/// A plan of steps.
pub(super) fn plan(steps: Vec<StepStart>) -> PlanStart {
    let actor = "user:anna".into();
    PlanStart { actor, name: "nightly".into(), steps, reservation: ReservationId(0), dry_run: false }
}

pub(super) fn two_steps() -> PlanStart {
    plan(vec![step("first", &[], vec![task("a", 2), task("b", 1)]), step("second", &["first"], vec![task("c", 1)])])
}

/// Starts a plan; it is job 1.
pub(super) fn started(lab: &mut Lab, plan: PlanStart) {
    match lab.give(Input::StartPlan(Box::new(plan))).expect("it starts") {
        Some(Reply::PlanAccepted(accepted)) => assert_eq!(accepted.job, JobNumber(1)),
        other => panic!("a plan answers {other:?}"),
    }
}

fn the_plan(lab: &Lab) -> &Plan {
    lab.state.jobs[&JobNumber(1)].plan.as_deref().expect("job 1 is a plan")
}

fn states(lab: &Lab) -> Vec<TaskState> {
    the_plan(lab).tasks.iter().map(|task| task.state).collect()
}

/// So many ticks that everything has happened that needs no agent.
pub(super) fn settle(lab: &mut Lab) {
    for _ in 0..12 {
        lab.give(Input::Tick).expect("a tick is not refused");
    }
}

/// Every process of a task ends so.
fn end(lab: &mut Lab, task: usize, state: P, verdict: Verdict, exit_status: Option<i32>) {
    let numbers: Vec<u32> = the_plan(lab).tasks[task].numbers().map(|number| number.0).collect();
    for number in numbers {
        lab.report(1, number, P::Running);
        let report = ProcessReport { verdict, exit_status, ..lab.report_of(1, number, state) };
        let machine = lab.process(1, number).machine.clone();
        lab.report_batch(&machine, vec![Report::Process(report)]);
    }
    settle(lab);
}

fn pass(lab: &mut Lab, task: usize) {
    end(lab, task, P::Finished, Verdict::Pass, Some(0));
}

fn fail(lab: &mut Lab, task: usize) {
    end(lab, task, P::Dead, Verdict::Fail, Some(256));
}

#[test]
fn a_plan_runs_its_steps_in_sequence_and_its_tasks_side_by_side() {
    let mut lab = Lab::with(3);
    started(&mut lab, two_steps());
    assert_eq!((states(&lab), the_plan(&lab).state()), (vec![Queued; 3], Queued));
    settle(&mut lab);
    assert_eq!((states(&lab), the_plan(&lab).state()), (vec![Running, Running, Queued], Running));
    pass(&mut lab, 0);
    assert_eq!(states(&lab), [Completed, Running, Queued]);
    pass(&mut lab, 1);
    assert_eq!(states(&lab), [Completed, Completed, Running]);
    assert_eq!(lab.state.jobs[&JobNumber(1)].ended, PoolTime::NEVER);
    pass(&mut lab, 2);
    assert_eq!((states(&lab), the_plan(&lab).state()), (vec![Completed; 3], Completed));
    let job = &lab.state.jobs[&JobNumber(1)];
    assert_eq!((job.processes, job.ended), (4, lab.time));
    assert_eq!(the_plan(&lab).tasks[0].verdict, Verdict::Pass);
    assert_eq!(lab.replayed(), lab.state);
}

#[test]
fn tasks_that_begin_together_are_placed_beside_each_other() {
    let mut lab = Lab::with(3);
    let tasks = ["a", "b", "c"].map(|name| task(name, 1)).to_vec();
    started(&mut lab, plan(vec![step("s", &[], tasks)]));
    settle(&mut lab);
    let machines: BTreeSet<&MachineId> = lab.state.processes.values().map(|process| &process.machine).collect();
    assert_eq!(machines.len(), 3);
}

#[test]
fn steps_follow_their_graph() {
    let mut lab = Lab::with(2);
    let one = |name: &str| vec![task(name, 1)];
    let steps = vec![
        step("last", &["left", "right"], one("l")),
        step("left", &["root"], one("a")),
        step("right", &["root"], one("b")),
        step("root", &[], one("r")),
    ];
    started(&mut lab, plan(steps));
    settle(&mut lab);
    assert_eq!(states(&lab), [Queued, Queued, Queued, Running]);
    pass(&mut lab, 3);
    assert_eq!(states(&lab), [Queued, Running, Running, Completed]);
    pass(&mut lab, 1);
    assert_eq!(states(&lab), [Queued, Completed, Running, Completed]);
    pass(&mut lab, 2);
    assert_eq!(states(&lab), [Running, Completed, Completed, Completed]);
}

#[test]
fn what_a_process_came_to_is_one_table() {
    use StopReason::{Boot, Draining, Gang, Limit, Prepared, Protected, Task, User};
    let mut lab = Lab::with(1);
    lab.start(1);
    let process = lab.process(1, 1).clone();
    let infrastructure = [Draining, Protected, Gang, Boot, Prepared, Task];
    let mut table = vec![
        (P::Starting, Verdict::None, None, None, Came::Lives),
        (P::Running, Verdict::None, None, None, Came::Lives),
        (P::Mia, Verdict::None, None, None, Came::Lives),
        (P::Fip, Verdict::None, None, Some(User), Came::Lives),
        (P::Away, Verdict::None, None, None, Came::Lives),
        (P::Finished, Verdict::Pass, Some(0), None, Came::Well),
        (P::Finished, Verdict::None, Some(0), None, Came::Well),
        (P::Finished, Verdict::Skip, Some(0), None, Came::Well),
        (P::Finished, Verdict::Fail, Some(0), None, Came::Failed),
        (P::Finished, Verdict::Error, Some(0), None, Came::Failed),
        (P::Finished, Verdict::Pass, Some(0), Some(User), Came::Stopped),
        (P::Finished, Verdict::Fail, Some(0), Some(User), Came::Failed),
        (P::Dead, Verdict::None, None, Some(User), Came::Stopped),
        (P::Dead, Verdict::Error, Some(9), Some(User), Came::Failed),
        (P::Dead, Verdict::Fail, Some(256), None, Came::Failed),
        (P::Dead, Verdict::Error, Some(256), None, Came::Failed),
        (P::Dead, Verdict::Error, Some(9), None, Came::Failed),
        (P::Dead, Verdict::Error, None, None, Came::Trouble),
        (P::Finished, Verdict::Pass, Some(0), Some(Limit), Came::Failed),
        (P::Dead, Verdict::Error, Some(9), Some(Limit), Came::Failed),
        (P::Dead, Verdict::None, None, Some(Limit), Came::Trouble),
        (P::Lost, Verdict::Error, None, None, Came::Trouble),
        (P::Lost, Verdict::Error, None, Some(User), Came::Trouble),
        (P::Lost, Verdict::Error, None, Some(Limit), Came::Trouble),
    ];
    for reason in infrastructure {
        table.push((P::Finished, Verdict::Pass, Some(0), Some(reason), Came::Trouble));
        table.push((P::Dead, Verdict::Error, Some(9), Some(reason), Came::Trouble));
        table.push((P::Dead, Verdict::None, None, Some(reason), Came::Trouble));
        table.push((P::Dead, Verdict::Fail, Some(256), Some(reason), Came::Failed));
    }
    for (state, verdict, exit_status, stop, expected) in table {
        let stop = stop.map(|reason| StopOrder { grace: NO_GRACE, at: lab.time, reason });
        let found = came(&Process { state, verdict, exit_status, stop: stop.clone(), ..process.clone() });
        assert_eq!(found, expected, "{state} {verdict} {exit_status:?} {stop:?}");
    }
}

/// Words of its reason, and what happens.
type Trouble = (&'static str, fn(&mut Lab));

/// Trouble of the infrastructure that ends process 1.
fn troubles() -> Vec<Trouble> {
    vec![
        ("rebooted unannounced", |lab| {
            let id = lab.process(1, 1).machine.clone();
            lab.machines(vec![(id.as_str(), Fact::BootObserved("another".into()))]);
        }),
        ("was removed", |lab| {
            let id = lab.process(1, 1).machine.clone();
            lab.machines(vec![(id.as_str(), Fact::Removed)]);
        }),
        ("has been down for", |lab| {
            let id = lab.process(1, 1).machine.clone();
            lab.machines(vec![(id.as_str(), Fact::HealthChanged { down: true })]);
            lab.wait(Duration::from_secs(301));
        }),
        ("changed hands", |lab| {
            let id = lab.process(1, 1).machine.clone();
            let raised = Fact::EpochRaised { epoch: epoch(2), reservation: ReservationId(7) };
            lab.machines(vec![(id.as_str(), Fact::DrainingStarted), (id.as_str(), raised)]);
            lab.report_batch(&id, vec![Report::Fenced(epoch(2))]);
        }),
        ("unknown to its agent", |lab| {
            let id = lab.process(1, 1).machine.clone();
            lab.report(1, 1, P::Running);
            lab.hello(id.as_str(), Vec::new());
        }),
        ("refused it", |lab| {
            let (id, machine) = (lab.id(1, 1), lab.process(1, 1).machine.clone());
            let detail = "no such architecture".into();
            let refused = vec![RefusedProcess { id, refusal: AgentRefusal::Invalid, detail }];
            lab.give(Input::Refused { machine, refused }).expect("it is taken");
        }),
    ]
}

#[test]
fn every_trouble_of_the_infrastructure_queues_the_task_again_empty() {
    for (words, trouble) in troubles() {
        let mut lab = Lab::with(3);
        started(&mut lab, plan(vec![step("s", &[], vec![task("t", 1)])]));
        settle(&mut lab);
        lab.wait(Duration::from_secs(1));
        trouble(&mut lab);
        settle(&mut lab);
        let task = &the_plan(&lab).tasks[0];
        assert_eq!((task.state, task.attempt, task.past.len()), (Running, 2, 1), "{words}");
        assert!(task.past[0].reason.contains(words), "{words}: {}", task.past[0].reason);
        assert_eq!((task.verdict, task.ended), (Verdict::None, PoolTime::NEVER), "{words}");
        let process = lab.process(1, 1);
        assert_eq!((process.state, process.attempt), (P::Starting, Attempt(2)), "{words}");
        assert_eq!((process.running, process.ended), (PoolTime::NEVER, PoolTime::NEVER), "{words}");
        let job = &lab.state.jobs[&JobNumber(1)];
        assert_eq!((job.ran, job.by_verdict, job.processes), (0, [0; 5], 1), "{words}");
        pass(&mut lab, 0);
        assert_eq!(states(&lab), [Completed], "{words}");
    }
}

#[test]
fn a_job_may_go_back_from_running_to_queued() {
    let mut lab = Lab::with(1);
    started(&mut lab, plan(vec![step("s", &[], vec![task("t", 1)])]));
    settle(&mut lab);
    assert_eq!(the_plan(&lab).state(), Running);
    lab.machines(vec![("node-1", Fact::Removed)]);
    settle(&mut lab);
    assert_eq!((the_plan(&lab).state(), lab.state.processes.len()), (Queued, 0));
    lab.add_machine("node-2", 4, 2);
    settle(&mut lab);
    assert_eq!((the_plan(&lab).state(), lab.process(1, 1).machine.as_str()), (Running, "node-2"));
}

#[test]
fn after_its_last_attempt_a_task_is_given_up_with_verdict_error() {
    let mut lab = Lab::with(2);
    started(&mut lab, two_steps());
    for attempt in 1..=3 {
        settle(&mut lab);
        let task = &the_plan(&lab).tasks[1];
        assert_eq!((task.state, task.attempt), (Running, attempt));
        let number = task.ranges[0].first.0;
        let machine = lab.process(1, number).machine.clone();
        lab.report(1, number, P::Running);
        // The processes of the task beside it stay known.
        let others = lab.state.machines[&machine].live.clone().into_iter().filter(|dpid| dpid.process.0 != number);
        let known = others.map(|dpid| lab.known(1, dpid.process.0, P::Running)).collect();
        lab.hello(machine.as_str(), known);
    }
    settle(&mut lab);
    let task = &the_plan(&lab).tasks[1];
    assert_eq!((task.state, task.verdict, task.past.len()), (Failed, Verdict::Error, 2));
    assert!(task.reason.starts_with("given up after 3 attempts: "), "{}", task.reason);
    pass(&mut lab, 0);
    assert_eq!(states(&lab), [Completed, Failed, Skipped]);
}

#[test]
fn a_failure_is_never_tried_again_whatever_else_happens() {
    for (verdict, exit_status) in [(Verdict::Fail, Some(256)), (Verdict::Error, Some(9))] {
        let mut lab = Lab::with(2);
        started(&mut lab, plan(vec![step("s", &[], vec![task("t", 2)])]));
        settle(&mut lab);
        lab.report(1, 1, P::Running);
        let report = ProcessReport { verdict, exit_status, ..lab.report_of(1, 1, P::Dead) };
        let machine = lab.process(1, 1).machine.clone();
        lab.report_batch(&machine, vec![Report::Process(report)]);
        settle(&mut lab);
        assert_eq!((states(&lab), lab.process(1, 2).stop.is_some()), (vec![Running], false), "others go on");
        let other = lab.process(1, 2).machine.clone();
        lab.machines(vec![(other.as_str(), Fact::Removed)]);
        settle(&mut lab);
        let task = &the_plan(&lab).tasks[0];
        assert_eq!((task.state, task.attempt, task.verdict), (Failed, 1, verdict));
    }
}

#[test]
fn where_one_is_lost_the_others_of_its_task_are_stopped_and_all_are_tried_again() {
    let mut lab = Lab::with(3);
    started(&mut lab, plan(vec![step("s", &[], vec![task("t", 3), task("u", 1)])]));
    settle(&mut lab);
    (1..=4).for_each(|number| lab.report(1, number, P::Running));
    let machine = lab.process(1, 1).machine.clone();
    lab.machines(vec![(machine.as_str(), Fact::BootObserved("another".into()))]);
    settle(&mut lab);
    let reasons = |lab: &Lab, number| lab.process(1, number).stop.as_ref().map(|stop| stop.reason);
    assert_eq!((reasons(&lab, 2), reasons(&lab, 3)), (Some(StopReason::Task), Some(StopReason::Task)));
    for number in [2, 3] {
        lab.report(1, number, P::Finished);
    }
    settle(&mut lab);
    assert_eq!(states(&lab)[0], Running);
    assert!((1..=3).all(|number| lab.process(1, number).attempt == Attempt(2)));
    let past = &the_plan(&lab).tasks[0].past[0];
    assert!(past.reason.contains("rebooted unannounced"), "the cause is told: {}", past.reason);
}

#[test]
fn a_task_waits_until_agents_that_are_heard_let_go_of_its_last_attempt() {
    let mut lab = Lab::with(2);
    started(&mut lab, plan(vec![step("s", &[], vec![task("t", 2)])]));
    settle(&mut lab);
    (1..=2).for_each(|number| lab.report(1, number, P::Running));
    let (gone, here) = (lab.process(1, 1).machine.clone(), lab.process(1, 2).machine.clone());
    lab.heartbeat(here.as_str(), lab.state.machines[&here].generation);
    lab.machines(vec![(gone.as_str(), Fact::Removed)]);
    settle(&mut lab);
    lab.report(1, 2, P::Finished);
    settle(&mut lab);
    assert_eq!((states(&lab), the_plan(&lab).tasks[0].attempt), (vec![Running], 1), "it has not been told to forget");
    lab.heartbeat(here.as_str(), lab.state.machines[&here].generation);
    settle(&mut lab);
    assert_eq!((states(&lab), the_plan(&lab).tasks[0].attempt), (vec![Running], 2));
}

#[test]
fn an_agent_that_does_not_let_go_delays_a_task_and_does_not_stop_it() {
    let mut lab = Lab::with(1);
    started(&mut lab, plan(vec![step("s", &[], vec![task("t", 1)])]));
    settle(&mut lab);
    let told = lab.state.machines["node-1"].generation;
    lab.machines(vec![("node-1", Fact::BootObserved("another".into()))]);
    for (after, attempt) in [(Duration::ZERO, 1), (Duration::from_secs(29), 1), (Duration::from_secs(1), 2)] {
        lab.wait(after);
        lab.heartbeat("node-1", told);
        settle(&mut lab);
        assert_eq!(the_plan(&lab).tasks[0].attempt, attempt, "after {after:?} more");
    }
}

#[test]
fn refusals_of_agents_are_counted_anew_in_each_attempt() {
    let mut lab = Lab::with(4);
    started(&mut lab, plan(vec![step("s", &[], vec![task("t", 1)])]));
    settle(&mut lab);
    let refuse = |lab: &mut Lab| {
        let (id, machine) = (lab.id(1, 1), lab.process(1, 1).machine.clone());
        let refused = vec![RefusedProcess { id, refusal: AgentRefusal::Stale, detail: String::new() }];
        lab.give(Input::Refused { machine, refused }).expect("it is taken");
    };
    for attempt in 1..=2 {
        refuse(&mut lab);
        refuse(&mut lab);
        assert_eq!((the_plan(&lab).tasks[0].attempt, lab.process(1, 1).state), (attempt, P::Starting));
        assert_eq!(lab.process(1, 1).attempt, Attempt(3 * attempt));
        refuse(&mut lab);
        assert_eq!(lab.process(1, 1).state, P::Dead, "given up by its placement");
        settle(&mut lab);
    }
    assert_eq!((the_plan(&lab).tasks[0].attempt, lab.process(1, 1).attempt), (3, Attempt(7)));
}

#[test]
fn a_limit_fails_a_task_and_does_not_try_it_again() {
    let mut lab = Lab::with(1);
    let limited = TaskStart { limit: Duration::from_secs(60), ..task("t", 2) };
    started(&mut lab, plan(vec![step("s", &[], vec![limited])]));
    settle(&mut lab);
    (1..=2).for_each(|number| lab.report(1, number, P::Running));
    lab.report(1, 1, P::Finished);
    lab.wait(Duration::from_secs(59));
    settle(&mut lab);
    assert!(lab.process(1, 2).stop.is_none());
    lab.wait(Duration::from_secs(1));
    settle(&mut lab);
    let stop = lab.process(1, 2).stop.clone().expect("its time is over");
    assert_eq!((stop.reason, stop.grace), (StopReason::Limit, Duration::from_secs(10)));
    lab.report(1, 2, P::Finished);
    settle(&mut lab);
    let task = &the_plan(&lab).tasks[0];
    assert_eq!((task.state, task.verdict, task.attempt), (Failed, Verdict::Error, 1));
    assert!(task.reason.contains("the time of its task is over"), "{}", task.reason);
}

#[test]
fn what_follows_where_a_step_fails_is_said_by_the_step() {
    for (on_failure, expected, kept) in [
        (OnFailure::Stop, [Failed, Completed, Skipped], 0),
        (OnFailure::Continue, [Failed, Completed, Running], 0),
        (OnFailure::Checkout, [Failed, Completed, Skipped], 2),
    ] {
        let mut lab = Lab::with(3);
        let mut plan = two_steps();
        plan.steps[0].on_failure = on_failure;
        started(&mut lab, plan);
        settle(&mut lab);
        fail(&mut lab, 0);
        assert_eq!(states(&lab), [Failed, Running, Queued], "{on_failure}: the step is not over");
        pass(&mut lab, 1);
        assert_eq!(states(&lab), expected, "{on_failure}");
        assert_eq!(the_plan(&lab).tasks[0].kept.len(), kept, "{on_failure}");
        if on_failure == OnFailure::Continue {
            pass(&mut lab, 2);
        }
        assert_eq!(the_plan(&lab).state(), Failed, "{on_failure}");
        assert_ne!(lab.state.jobs[&JobNumber(1)].ended, PoolTime::NEVER, "{on_failure}");
    }
}

#[test]
fn a_stop_skips_what_is_left() {
    let mut lab = Lab::with(3);
    started(&mut lab, two_steps());
    settle(&mut lab);
    pass(&mut lab, 1);
    lab.stop(stop_job(1, NO_GRACE)).expect("it is stopped");
    settle(&mut lab);
    assert_eq!(states(&lab), [Running, Completed, Skipped]);
    (1..=2).for_each(|number| lab.report(1, number, P::Finished));
    settle(&mut lab);
    assert_eq!((states(&lab), the_plan(&lab).state()), (vec![Skipped, Completed, Skipped], Failed));
    assert_eq!(lab.state.jobs[&JobNumber(1)].ended, lab.time);
}

#[test]
fn a_plan_of_which_nothing_runs_is_stopped_too() {
    let mut lab = Lab::with(0);
    started(&mut lab, two_steps());
    settle(&mut lab);
    assert_eq!(states(&lab), [Queued; 3]);
    assert_eq!(lab.stop(stop_job(1, NO_GRACE)), Ok((0, vec![JobNumber(1)])));
    settle(&mut lab);
    assert_eq!(states(&lab), [Skipped; 3]);
    lab.give(Input::NewRun).expect("nothing runs");
}

#[test]
fn roles_are_one_gang_on_machines_of_their_own() {
    let role = |name: &str, machines| RoleStart { name: name.into(), start: start(machines) };
    let pair = TaskStart { roles: vec![role("target", 1), role("load", 2)], ..task("pair", 1) };
    let steps = || plan(vec![step("s", &[], vec![task("before", 2), pair.clone()])]);
    let mut lab = Lab::with(2);
    started(&mut lab, steps());
    settle(&mut lab);
    assert_eq!(states(&lab), [Running, Queued], "two machines are too few for three");
    lab.add_machine("node-3", 4, 2);
    settle(&mut lab);
    assert_eq!(states(&lab), [Running, Running]);
    let machines: BTreeSet<&MachineId> = (3..=5).map(|number| &lab.process(1, number).machine).collect();
    assert_eq!(machines.len(), 3);
    let member = lab.process(1, 4).member.expect("it is in a gang");
    let gang: Vec<u32> = lab.state.gang(JobNumber(1), member).map(|(dpid, _)| dpid.process.0).collect();
    assert_eq!(gang, [3, 4, 5]);
    let roles = &lab.state.jobs[&JobNumber(1)].spec_of(ProcessNumber(4)).module.roles;
    assert_eq!(roles[..], ["target", "load-1", "load-2"]);
}

#[test]
fn what_can_never_be_is_refused_with_its_place() {
    let with = |change: fn(&mut PlanStart)| {
        let mut plan = two_steps();
        change(&mut plan);
        plan
    };
    let cases: Vec<(PlanStart, &str)> = vec![
        (with(|plan| plan.steps.clear()), "start plan nightly: it has no steps"),
        (with(|plan| plan.steps[1].tasks.clear()), "start plan nightly: step second has no tasks"),
        (with(|plan| plan.steps[0].after = vec!["second".into()]), "steps wait for each other: first, second"),
        (with(|plan| plan.steps[1].after = vec!["third".into()]), "step second comes after `third`"),
        (with(|plan| plan.steps[1].name = "first".into()), "two steps are named `first`"),
        (with(|plan| plan.steps[0].tasks[1].name = "a".into()), "step first: two tasks are named `a`"),
        (
            with(|plan| plan.steps[1].tasks[0].roles[0].start.module = "none".into()),
            "start plan nightly: step second, task c: ",
        ),
        (
            with(|plan| plan.steps[0].tasks[1].roles[0].start.parameters = vec![("x".into(), "1".into())]),
            "start plan nightly: step first, task b: ",
        ),
        (with(|plan| plan.steps[0].tasks[0].attempts = 4), "task a: it is to be tried 4 times"),
        (with(|plan| plan.steps[0].tasks[0].roles.clear()), "task a: it runs nothing"),
        (with(|plan| plan.name = "a b".into()), "the plan can not be named `a b`"),
        (with(|plan| plan.steps[0].tasks[0] = task("a", 65_535)), "65537 processes"),
    ];
    for (plan, expected) in cases {
        let mut lab = Lab::with(1);
        let refusal = lab.give(Input::StartPlan(Box::new(plan))).expect_err(expected);
        assert!(refusal.to_string().contains(expected), "{refusal} is to say {expected}");
        assert!(lab.state.jobs.is_empty());
    }
}

/// Agents that do what they are told: every process runs, and ends as the number of its task and attempt says.
fn drive(lab: &mut Lab) {
    for _ in 0..40 {
        lab.give(Input::Tick).expect("a tick is not refused");
        let live: Vec<Dpid> = lab
            .state
            .processes
            .iter()
            .filter(|(_, process)| !process.state.is_final())
            .map(|(dpid, _)| *dpid)
            .collect();
        for dpid in live {
            act(lab, dpid.process.0);
        }
    }
}

/// Task `a` loses its first attempt, `b` passes, `c` fails.
fn act(lab: &mut Lab, number: u32) {
    let process = lab.process(1, number);
    let (state, attempt, machine) = (process.state, process.attempt, process.machine.clone());
    match (state, number) {
        (P::Starting, _) => lab.report(1, number, P::Running),
        (P::Running, 1) if attempt == Attempt(1) => {
            let others = lab.state.machines[&machine].live.clone().into_iter().filter(|dpid| dpid.process.0 != number);
            let known = others.map(|dpid| lab.known(1, dpid.process.0, lab.process(1, dpid.process.0).state)).collect();
            lab.hello(machine.as_str(), known);
        }
        (_, 4) => {
            let report = ProcessReport { verdict: Verdict::Fail, ..lab.report_of(1, number, P::Dead) };
            lab.report_batch(&machine, vec![Report::Process(report)]);
        }
        _ => lab.report(1, number, P::Finished),
    }
}

/// What became of every task: state, attempts and verdict.
fn outcome(lab: &Lab) -> Vec<(TaskState, u32, Verdict)> {
    the_plan(lab).tasks.iter().map(|task| (task.state, task.attempt, task.verdict)).collect()
}

#[test]
fn a_scheduler_that_is_restarted_between_any_two_events_goes_on() {
    let mut whole = Lab::with(3);
    started(&mut whole, two_steps());
    let begun = whole.events();
    drive(&mut whole);
    let expected = [(Completed, 2, Verdict::Pass), (Completed, 1, Verdict::Pass), (Failed, 1, Verdict::Fail)];
    assert_eq!(outcome(&whole), expected);
    assert!(whole.events() > begun + 12, "there is something between: {}", whole.events());
    for cut in begun..=whole.events() {
        let mut lab = whole.restarted_at(cut);
        drive(&mut lab);
        assert_eq!(outcome(&lab), expected, "restarted after event {cut}");
        let ends = lab.ends_of_tasks();
        assert!(ends.values().all(|count| *count == 1), "`ended` is set once: {ends:?}");
    }
}

impl Lab {
    /// How many events it has logged.
    fn events(&self) -> usize {
        self.log.len()
    }

    /// A lab of which only the first events are known, with nothing that was heard.
    fn restarted_at(&self, events: usize) -> Lab {
        let mut lab = Lab::new();
        for (sequence, time, event) in &self.log[..events] {
            (lab.sequence, lab.time) = (*sequence, *time);
            lab.fold(event);
            lab.log.push((*sequence, *time, event.clone()));
            if let Event::ReportsTaken(taken) = event {
                lab.batches.insert(taken.machine.clone(), taken.batch);
            }
        }
        lab.machines_sequence = self.machines_sequence;
        lab
    }

    /// How often each task of the plan ended.
    fn ends_of_tasks(&self) -> BTreeMap<usize, usize> {
        let mut ends = BTreeMap::new();
        for (_, _, event) in &self.log {
            if let Event::PlanTasksEnded { ends: told, .. } = event {
                told.iter().for_each(|end| *ends.entry(end.task).or_default() += 1);
            }
        }
        ends
    }
}

#[test]
fn a_placed_task_says_which_clients_its_processes_get() {
    let mut lab = Lab::with(2);
    let module = Module { clients: "iops_max".into(), client_selector: "node-2".into(), ..high_io() };
    lab.give(Input::AddModule(Box::new(module))).expect("it is a good module");
    let mut master = task("a", 1);
    master.roles[0].start.parameters = vec![("iops_max".into(), "3".into())];
    started(&mut lab, plan(vec![step("s", &[], vec![master, task("b", 1)])]));
    settle(&mut lab);
    let placed = lab.log.iter().filter_map(|(_, _, event)| match event {
        Event::PlanTaskPlaced(placed) => Some((placed.actor.as_str(), &placed.parts[0])),
        _ => None,
    });
    let wanted: Vec<_> = placed.map(|(actor, part)| (actor, part.clients, part.client_selector.as_str())).collect();
    assert_eq!(wanted, [("user:anna", 3, "node-2"), ("user:anna", 0, "node-2")]);
}
