//! What an agent knows against what the log says: hello, inventories, refusals, updates.

use muster_ledger::Scope;

use super::super::desired;
use super::super::input::{AgentRefusal, Effect, RefusedProcess, Update};
use super::*;

fn update(lab: &Lab) -> Option<Update> {
    let effects = JobCore::wanted(&lab.state, &lab.observed, Scope::Full, lab.time);
    effects.into_iter().find_map(|effect| match effect {
        Effect::SendUpdate(update) => Some(*update),
        Effect::ListKnown { .. } => None,
    })
}

fn lists(lab: &Lab) -> bool {
    let effects = JobCore::wanted(&lab.state, &lab.observed, Scope::Full, lab.time);
    effects.iter().any(|effect| matches!(effect, Effect::ListKnown { .. }))
}

fn updated(lab: &mut Lab, update: &Update) {
    let observation = Observation::Updated {
        machine: update.machine.clone(),
        incarnation: update.incarnation,
        generation: update.generation,
        told: update.told.clone(),
    };
    JobCore::observe(&mut lab.observed, &lab.state, observation, lab.time);
}

#[test]
fn an_agent_that_is_heard_is_brought_to_the_generation_and_no_further() {
    let mut lab = Lab::with(1);
    lab.start(2);
    assert!(update(&lab).is_none(), "nobody was heard yet");
    lab.heartbeat("node-1", Position::default());
    let first = update(&lab).expect("it is behind");
    assert_eq!((first.builds_on, first.generation), (Position::default(), lab.state.machines["node-1"].generation));
    assert_eq!(first.desired.orders[0].processes.len(), 2);
    updated(&mut lab, &first);
    assert!(update(&lab).is_none(), "it has it");
    lab.stop(Stop { dpids: vec![dpid(1, 2)], ..Stop::default() }).expect("it runs");
    let second = update(&lab).expect("the stop is an order");
    assert_eq!(second.builds_on, first.generation);
    let orders = &second.desired.orders[0].processes;
    assert_eq!((orders.len(), orders[0].process.0, orders[0].stop), (1, 2, Some(Duration::from_secs(10))));
    updated(&mut lab, &second);
    lab.report(1, 1, ProcessState::Finished);
    let third = update(&lab).expect("the end is news");
    assert_eq!((third.desired.orders.len(), third.desired.forget.as_slice()), (0, [lab.id(1, 1)].as_slice()));
    lab.wait(Duration::from_secs(4));
    assert!(update(&lab).is_none(), "it is silent");
}

#[test]
fn an_old_heartbeat_does_not_take_an_acknowledgement_back_but_several_do() {
    let mut lab = Lab::with(1);
    lab.start(1);
    lab.heartbeat("node-1", Position::default());
    let sent = update(&lab).expect("it is behind");
    updated(&mut lab, &sent);
    lab.heartbeat("node-1", Position::default());
    assert!(update(&lab).is_none());
    for _ in 0..4 {
        lab.heartbeat("node-1", Position::default());
    }
    assert!(update(&lab).is_some(), "its disk went back");
}

#[test]
fn a_large_update_goes_in_parts_that_fit() {
    let mut lab = Lab::with(1);
    lab.start(65_535);
    lab.heartbeat("node-1", Position::default());
    let update = update(&lab).expect("it is behind");
    assert!(!update.desired.fits());
    let parts = update.desired.clone().split();
    let processes =
        |desired: &super::super::input::Desired| desired.orders.iter().map(|o| o.processes.len()).sum::<usize>();
    assert!(parts.len() > 1 && parts.iter().all(super::super::input::Desired::fits));
    assert_eq!(parts.iter().map(processes).sum::<usize>(), 65_535);
    let encoded = |part| {
        prost::Message::encoded_len(&crate::wire::agents::update_jobs(Position::new(1, 1), Position::new(1, 1), part))
    };
    assert!(parts.into_iter().all(|part| encoded(part) <= 512 * 1024));
}

#[test]
fn a_hello_offers_what_was_never_begun_and_loses_what_was() {
    let mut lab = Lab::with(1);
    lab.start(3);
    lab.report(1, 1, ProcessState::Running);
    lab.report(1, 2, ProcessState::Running);
    let known = vec![lab.known(1, 1, ProcessState::Running)];
    lab.hello("node-1", known.clone());
    assert_eq!(lab.process(1, 1).state, ProcessState::Running, "a restart ends nothing (I6)");
    assert_eq!(
        (lab.process(1, 2).state, lab.process(1, 2).reason.as_str()),
        (ProcessState::Lost, "unknown to its agent")
    );
    assert_eq!(lab.process(1, 3).state, ProcessState::Starting);
    let (generation, list) = desired(&lab.state, &machine("node-1"), &known);
    let numbers: Vec<u32> = list.orders[0].processes.iter().map(|order| order.process.0).collect();
    assert_eq!((generation, numbers), (lab.state.machines["node-1"].generation, vec![1, 3]));
}

#[test]
fn what_the_log_does_not_want_is_stopped_or_forgotten() {
    let mut lab = Lab::with(2);
    lab.start(2);
    let here = lab.process(1, 1).machine.clone();
    lab.report(1, 1, ProcessState::Running);
    let mut stranger = lab.id(1, 1);
    stranger.run.0 = 9;
    let mut ended_stranger = stranger;
    ended_stranger.dpid.process.0 = 5;
    let elsewhere = lab.id(1, 2);
    let known = vec![
        lab.known(1, 1, ProcessState::Running),
        KnownProcess { id: stranger, ..lab.known(1, 1, ProcessState::Running) },
        KnownProcess { id: ended_stranger, ..lab.known(1, 1, ProcessState::Dead) },
        KnownProcess { id: elsewhere, ..lab.known(1, 1, ProcessState::Running) },
    ];
    let (_, list) = desired(&lab.state, &here, &known);
    assert_eq!((list.strays, list.forget), (vec![stranger, elsewhere], vec![ended_stranger]));
}

#[test]
fn an_old_incarnation_repairs_nothing() {
    let mut lab = Lab::with(1);
    lab.start(1);
    lab.report(1, 1, ProcessState::Running);
    let granted = Fact::IncarnationGranted { incarnation: Incarnation(2), boot_id: "boot-of-node-1".into() };
    lab.machines(vec![("node-1", granted)]);
    let old = Hello { machine: machine("node-1"), incarnation: Incarnation(1), known: Vec::new(), last_batch: 1 };
    lab.give(Input::Hello(old)).expect("it is taken");
    assert_eq!(lab.process(1, 1).state, ProcessState::Running);
}

#[test]
fn a_digest_that_differs_for_long_asks_the_agent_and_repairs() {
    let mut lab = Lab::with(1);
    lab.start(2);
    lab.report(1, 1, ProcessState::Running);
    lab.report(1, 2, ProcessState::Running);
    let generation = lab.state.machines["node-1"].generation;
    for _ in 0..3 {
        lab.heartbeat_with("node-1", generation, 1, 1);
    }
    assert!(!lists(&lab), "reports may be on their way");
    lab.heartbeat_with("node-1", generation, 1, 1);
    assert!(lists(&lab));
    let mut stray = lab.id(1, 1);
    stray.run.0 = 9;
    let running = lab.known(1, 1, ProcessState::Running);
    lab.inventory("node-1", vec![running.clone(), KnownProcess { id: stray, ..running }]);
    assert_eq!(lab.process(1, 1).state, ProcessState::Running);
    assert_eq!(lab.process(1, 2).state, ProcessState::Lost);
    let update = update(&lab).expect("the stray is told to stop");
    assert_eq!((update.desired.strays.as_slice(), update.told.as_slice()), ([stray].as_slice(), [stray].as_slice()));
    updated(&mut lab, &update);
    let agent = lab.observed.agent(&machine("node-1")).expect("it is known");
    assert!(agent.strays.is_empty(), "it is told once");
}

#[test]
fn an_inventory_from_before_an_order_does_not_judge_it() {
    let mut lab = Lab::with(1);
    let before = lab.state.machines["node-1"].generation;
    lab.start(1);
    let inventory = |generation| Input::Inventory {
        machine: machine("node-1"),
        incarnation: Incarnation(1),
        generation,
        known: Vec::new(),
        last_batch: 0,
    };
    lab.give(inventory(before)).expect("it is taken");
    assert_eq!(lab.process(1, 1).state, ProcessState::Starting);
    lab.stop(stop_job(1, NO_GRACE)).expect("it runs");
    let generation = lab.state.machines["node-1"].generation;
    lab.give(inventory(generation)).expect("it is taken");
    let process = lab.process(1, 1);
    assert_eq!((process.state, process.reason.as_str()), (ProcessState::Dead, "stopped before it was started"));
}

fn refuse(lab: &mut Lab, refusal: AgentRefusal) {
    let refused = RefusedProcess { id: lab.id(1, 1), refusal, detail: String::new() };
    let machine = lab.process(1, 1).machine.clone();
    lab.give(Input::Refused { machine, refused: vec![refused] }).expect("it is taken");
}

#[test]
fn a_refused_process_is_placed_elsewhere_three_times_at_most() {
    let mut lab = Lab::with(5);
    lab.start(1);
    let mut places = vec![lab.process(1, 1).machine.clone()];
    for number in 2..=3 {
        refuse(&mut lab, AgentRefusal::Stale);
        assert_eq!(lab.process(1, 1).attempt, attempt(number));
        assert_ne!(Some(&lab.process(1, 1).machine), places.last(), "not where it was refused");
        places.push(lab.process(1, 1).machine.clone());
    }
    refuse(&mut lab, AgentRefusal::Draining);
    let process = lab.process(1, 1);
    assert_eq!((process.state, process.verdict), (ProcessState::Dead, Verdict::Error));
    assert!(process.reason.starts_with("given up after 3 attempts: "), "{}", process.reason);
}

#[test]
fn a_refusal_without_another_machine_ends_it_unless_the_machine_changed() {
    let mut lab = Lab::with(1);
    lab.start(1);
    lab.machines(vec![("node-1", Fact::TagsSet(["fast".to_owned()].into()))]);
    refuse(&mut lab, AgentRefusal::Stale);
    assert_eq!((lab.process(1, 1).state, lab.process(1, 1).attempt), (ProcessState::Starting, attempt(2)));
    refuse(&mut lab, AgentRefusal::Stale);
    let process = lab.process(1, 1);
    assert_eq!(process.state, ProcessState::Dead);
    assert_eq!(
        process.reason,
        "node-1 refused it: it was placed before the machine changed, and no other machine fits"
    );
}

#[test]
fn a_refusal_of_what_runs_is_an_old_answer() {
    let mut lab = Lab::with(2);
    lab.start(1);
    lab.report(1, 1, ProcessState::Running);
    refuse(&mut lab, AgentRefusal::Stale);
    assert_eq!((lab.process(1, 1).state, lab.last.len()), (ProcessState::Running, 0));
}

#[test]
fn a_process_that_ran_and_is_placed_again_still_counts_as_having_run() {
    let mut lab = away::lab(2);
    lab.start(2);
    away::goes(&mut lab, 1);
    away::boots(&mut lab, "node-1", 2);
    refuse(&mut lab, AgentRefusal::Stale);
    assert_eq!((lab.process(1, 1).state, lab.process(1, 1).attempt), (ProcessState::Starting, attempt(3)));
    lab.report(1, 2, ProcessState::Running);
    assert_ne!(lab.state.jobs[&JobNumber(1)].all_running, PoolTime::NEVER, "each has run once");
}

#[test]
fn numbers_of_jobs_that_an_agent_alone_knows_are_not_given_again() {
    let mut lab = Lab::with(1);
    lab.start(1);
    let mut later = lab.known(1, 1, ProcessState::Running);
    later.id.dpid.job = JobNumber(8);
    let mut of_another_run = later.clone();
    (of_another_run.id.run.0, of_another_run.id.dpid.job) = (9, JobNumber(99));
    lab.hello("node-1", vec![lab.known(1, 1, ProcessState::Running), later.clone(), of_another_run]);
    assert_eq!(lab.state.last_job, JobNumber(8), "the log was rebuilt from something older");
    lab.hello("node-1", vec![later]);
    assert!(!lab.last.iter().any(|event| matches!(event, Event::JobNumbersPassed(_))), "said once: {:?}", lab.last);
    lab.start(1);
    assert!(lab.state.jobs.contains_key(&JobNumber(9)));
    let mut far = lab.known(1, 1, ProcessState::Running);
    far.id.dpid.job = JobNumber(u32::MAX);
    lab.hello("node-1", vec![far]);
    assert_eq!(lab.state.last_job, JobNumber(9), "no log was ever so far behind: numbers would end");
}
