//! Announced absences: who may take a machine away, and what becomes of a process until it is back, or is not.

use muster_ledger::View;
use muster_model::Absence;

use super::super::input::{AgentRefusal, Announced, RefusedProcess};
use super::super::limits::{LOST_AFTER, REPORTS_PATIENCE};
use super::super::machine::Trouble;
use super::super::wanted;
use super::*;
use crate::explain;

const WITHIN: Duration = Duration::from_secs(60);

/// A lab whose module may reboot its machine.
pub(super) fn lab(machines: usize) -> Lab {
    let mut lab = Lab::with(machines);
    lab.give(Input::AddModule(Box::new(Module { reboots: true, ..high_io() }))).expect("it is a good module");
    lab
}

fn announced(lab: &Lab, process: u32, number: u64) -> Announced {
    let here = lab.process(1, process);
    Announced {
        id: lab.id(1, process),
        epoch: here.epoch,
        number,
        absence: Absence::Reboot,
        within: WITHIN,
        boot_id: lab.state.machines[&here.machine].seen.boot_id.clone(),
        note: "round 1".into(),
    }
}

fn announce(lab: &mut Lab, process: u32, announced: Announced) {
    let id = lab.process(1, process).machine.clone();
    lab.report_batch(&id, vec![Report::Announced(Box::new(announced))]);
}

/// A process of job 1 runs, announces a reboot, and may.
pub(super) fn goes(lab: &mut Lab, process: u32) {
    lab.report(1, process, ProcessState::Running);
    let said = announced(lab, process, 1);
    announce(lab, process, said);
    assert_eq!(lab.process(1, process).state, ProcessState::Away);
}

/// A machine is back in another boot, in phase ready.
pub(super) fn boots(lab: &mut Lab, id: &str, number: u64) {
    let boot_id = format!("boot-{number}");
    lab.machines(vec![
        (id, Fact::BootObserved(boot_id.clone())),
        (id, Fact::IncarnationGranted { incarnation: Incarnation(number), boot_id }),
        (id, Fact::PhaseChanged(Some(Phase::Ready))),
    ]);
}

fn tick_after(lab: &mut Lab, duration: Duration) {
    lab.wait(duration);
    lab.give(Input::Tick).expect("a tick is not refused");
}

/// What the agent of node-1 is told of a process.
fn order(lab: &Lab, process: u32) -> Option<Result<PoolTime, String>> {
    let (_, desired) = wanted::desired(&lab.state, &machine("node-1"), &[]);
    let orders = desired.orders.iter().flat_map(|orders| &orders.processes);
    let expected = orders.filter(|order| order.process.0 == process).find_map(|order| order.expected.clone())?;
    Some(if expected.is_granted() { Ok(expected.until) } else { Err(expected.refused) })
}

#[test]
fn what_was_announced_is_logged_before_the_machine_may_go() {
    let mut lab = lab(1);
    lab.start(1);
    let generation = lab.state.machines["node-1"].generation;
    goes(&mut lab, 1);
    assert_eq!(order(&lab, 1), Some(Ok(lab.time + WITHIN)), "its agent is told");
    assert!(lab.state.machines["node-1"].generation > generation);
    assert_eq!(lab.process(1, 1).reason, "announced reboot of its machine, awaited for 60 s: round 1");
    let said = announced(&lab, 1, 1);
    announce(&mut lab, 1, said);
    assert_eq!(lab.last.len(), 1, "said again, only the batch is noted");
}

#[test]
fn a_machine_goes_only_where_nobody_else_is_hurt() {
    type Change = fn(&mut Lab, &mut Announced);
    let cases: [(&str, Change); 9] = [
        ("does not say `reboots = true`", |lab, said| {
            lab.give(Input::AddModule(Box::new(high_io()))).expect("it is a good module");
            lab.give(Input::Stop(Stop { all: true, ..Stop::default() })).expect("it is stopped");
            let _ = said;
        }),
        ("1 s to 24 h", |_, said| said.within = Duration::from_millis(999)),
        ("1 s to 24 h", |_, said| said.within = Duration::from_secs(24 * 3_600 + 1)),
        ("job 2 runs on the machine as well", |lab, _| drop(lab.start(1))),
        ("and was told to stop", |lab, _| drop(lab.stop(stop_job(1, NO_GRACE)))),
        ("the process is mia", |lab, _| lab.report(1, 1, ProcessState::Mia)),
        ("in another boot", |_, said| said.boot_id = "boot-0".into()),
        ("protected", |lab, _| {
            let (protected, released) = (BTreeSet::new(), BTreeSet::new());
            lab.machines(vec![("node-1", Fact::ProtectionChanged { protected, released, machine: true })]);
        }),
        ("changing hands", |lab, _| lab.machines(vec![("node-1", Fact::DrainingStarted)])),
    ];
    for (index, (why, change)) in cases.into_iter().enumerate() {
        // The first one keeps the module that it was started with.
        let mut lab = if index == 0 { Lab::with(1) } else { lab(1) };
        lab.start(1);
        lab.report(1, 1, ProcessState::Running);
        let mut said = announced(&lab, 1, 1);
        change(&mut lab, &mut said);
        announce(&mut lab, 1, said);
        let told = order(&lab, 1);
        let Some(Err(refused)) = &told else { panic!("{why}: {told:?}") };
        assert!(refused.contains(why) || index == 4 || index >= 7, "{refused}");
        assert_ne!(lab.process(1, 1).state, ProcessState::Away, "{why}");
    }
}

#[test]
fn nothing_is_placed_on_a_machine_that_is_away() {
    let mut lab = lab(1);
    lab.start(1);
    goes(&mut lab, 1);
    assert_eq!(lab.state.machines["node-1"].trouble(), Some(Trouble::Away));
    let refusal = lab.start_as(&start(1)).expect_err("there is no other machine");
    assert!(refusal.why.contains("1 away by a test's announcement"), "{}", refusal.why);
    boots(&mut lab, "node-1", 2);
    lab.start(1);
}

#[test]
fn a_process_that_is_back_has_its_place_its_dpid_and_the_next_attempt() {
    let mut lab = lab(2);
    lab.start(1);
    let before = lab.process(1, 1).clone();
    for boot in 2..=52 {
        goes(&mut lab, 1);
        boots(&mut lab, before.machine.as_str(), boot);
        let process = lab.process(1, 1);
        assert_eq!(
            (process.state, process.attempt.0, process.returns),
            (ProcessState::Starting, boot as u32, boot as u32 - 1)
        );
        assert_eq!((&process.machine, &process.resources), (&before.machine, &before.resources));
        assert_eq!(process.reason, "back from its announced reboot");
        lab.wait(Duration::from_secs(1));
    }
    lab.report(1, 1, ProcessState::Running);
    lab.report(1, 1, ProcessState::Finished);
    assert_ne!(lab.state.jobs[&JobNumber(1)].ended, PoolTime::NEVER);
}

#[test]
fn it_begins_again_only_once_its_machine_is_proven() {
    let mut lab = lab(1);
    lab.start(1);
    goes(&mut lab, 1);
    let boot = Fact::IncarnationGranted { incarnation: Incarnation(2), boot_id: "boot-2".into() };
    lab.machines(vec![("node-1", boot), ("node-1", Fact::PhaseChanged(Some(Phase::Installing)))]);
    assert_eq!(lab.process(1, 1).state, ProcessState::Away, "it is being taken into its kernel again");
    assert!(lab.process(1, 1).stop.is_none());
    boots(&mut lab, "node-1", 3);
    assert_eq!(lab.process(1, 1).state, ProcessState::Starting);
}

#[test]
fn mates_on_one_machine_are_away_together_and_who_did_not_announce_is_lost() {
    let mut lab = lab(1);
    lab.start(3);
    lab.report(1, 3, ProcessState::Running);
    goes(&mut lab, 1);
    goes(&mut lab, 2);
    assert_eq!(lab.state.machines["node-1"].away, 2);
    boots(&mut lab, "node-1", 2);
    let states: Vec<_> = (1..=3).map(|process| lab.process(1, process).state).collect();
    assert_eq!(states, [ProcessState::Starting, ProcessState::Starting, ProcessState::Lost]);
}

#[test]
fn a_machine_that_does_not_come_back_loses_what_it_took_along_at_its_deadline_and_not_before() {
    let mut lab = lab(1);
    lab.start(1);
    lab.report(1, 1, ProcessState::Running);
    let said = Announced { within: 2 * LOST_AFTER, ..announced(&lab, 1, 1) };
    announce(&mut lab, 1, said);
    lab.machines(vec![("node-1", Fact::HealthChanged { down: true })]);
    tick_after(&mut lab, 2 * LOST_AFTER - Duration::from_millis(1));
    assert_eq!(lab.process(1, 1).state, ProcessState::Away, "however long it is down");
    tick_after(&mut lab, Duration::from_millis(1));
    assert_eq!(lab.process(1, 1).state, ProcessState::Lost);
    assert_eq!(lab.process(1, 1).reason, "did not come back from its announced reboot within 600 s");
}

#[test]
fn a_machine_that_is_back_and_can_not_be_used_is_awaited_until_the_deadline() {
    let mut lab = lab(1);
    lab.start(1);
    goes(&mut lab, 1);
    let boot = Fact::IncarnationGranted { incarnation: Incarnation(2), boot_id: "boot-2".into() };
    lab.machines(vec![("node-1", boot), ("node-1", Fact::PhaseChanged(Some(Phase::Offline)))]);
    tick_after(&mut lab, WITHIN);
    assert_eq!(
        lab.process(1, 1).reason,
        "its machine came back from its announced reboot, and is not ready after 60 s"
    );
}

#[test]
fn a_crash_that_does_not_happen_leaves_the_process_running() {
    for by_word in [true, false] {
        let mut lab = lab(1);
        lab.start(1);
        goes(&mut lab, 1);
        lab.report(1, 1, ProcessState::Running);
        assert_eq!(lab.process(1, 1).state, ProcessState::Away, "an old word does not count");
        tick_after(&mut lab, WITHIN);
        assert_eq!(lab.process(1, 1).state, ProcessState::Away, "its agent says so itself");
        if by_word {
            lab.report(1, 1, ProcessState::Running);
        } else {
            tick_after(&mut lab, REPORTS_PATIENCE);
        }
        assert_eq!(lab.process(1, 1).state, ProcessState::Running);
        assert_eq!(order(&lab, 1), None);
        let said = announced(&lab, 1, 2);
        announce(&mut lab, 1, said);
        assert_eq!(lab.process(1, 1).state, ProcessState::Away, "it may announce again");
    }
}

#[test]
fn a_process_may_end_before_its_machine_goes() {
    for end in [ProcessState::Finished, ProcessState::Dead] {
        let mut lab = lab(1);
        lab.start(1);
        goes(&mut lab, 1);
        lab.report(1, 1, end);
        assert_eq!((lab.process(1, 1).state, lab.state.machines["node-1"].away), (end, 0));
    }
}

#[test]
fn a_stop_reaches_it_at_once_where_it_still_runs_and_else_when_its_machine_is_back() {
    let mut lab = lab(1);
    lab.start(1);
    goes(&mut lab, 1);
    lab.stop(stop_job(1, NO_GRACE)).expect("it may be stopped");
    assert_eq!(lab.process(1, 1).state, ProcessState::Away);
    boots(&mut lab, "node-1", 2);
    let process = lab.process(1, 1);
    assert_eq!((process.state, process.verdict), (ProcessState::Finished, Verdict::None));
    assert_eq!(process.reason, "user: stopped while its machine was away");
    assert_ne!(lab.state.jobs[&JobNumber(1)].ended, PoolTime::NEVER);
}

#[test]
fn a_machine_that_changes_hands_meanwhile_begins_nothing() {
    let mut lab = lab(1);
    lab.start(1);
    goes(&mut lab, 1);
    lab.machines(vec![("node-1", Fact::DrainingStarted)]);
    boots(&mut lab, "node-1", 2);
    assert_eq!(lab.process(1, 1).reason, "draining: stopped while its machine was away");
}

#[test]
fn a_restart_of_the_agent_ends_nothing_and_it_is_told_again() {
    let mut lab = lab(1);
    lab.start(1);
    goes(&mut lab, 1);
    let granted = Fact::IncarnationGranted { incarnation: Incarnation(2), boot_id: "boot-of-node-1".into() };
    lab.machines(vec![("node-1", granted)]);
    let known = vec![lab.known(1, 1, ProcessState::Running)];
    lab.hello("node-1", known);
    assert_eq!(lab.process(1, 1).state, ProcessState::Away);
    assert!(order(&lab, 1).is_some_and(|told| told.is_ok()));
}

#[test]
fn the_attempt_before_the_boot_is_left_to_its_agent_and_is_no_stray() {
    let mut lab = lab(1);
    lab.start(1);
    goes(&mut lab, 1);
    let gone = lab.known(1, 1, ProcessState::Away);
    boots(&mut lab, "node-1", 2);
    let id = machine("node-1");
    let (_, desired) = wanted::desired(&lab.state, &id, std::slice::from_ref(&gone));
    assert_eq!((desired.strays, desired.forget), (vec![], vec![]));
    lab.hello("node-1", vec![gone.clone()]);
    assert_eq!(lab.process(1, 1).state, ProcessState::Starting);
    lab.report(1, 1, ProcessState::Dead);
    let (_, desired) = wanted::desired(&lab.state, &id, std::slice::from_ref(&gone));
    assert_eq!(desired.forget, [gone.id], "once it is over, nothing of it is needed");
}

#[test]
fn a_refusal_after_the_boot_keeps_it_on_the_machine_where_its_state_is() {
    let mut lab = lab(2);
    lab.start(1);
    let home = lab.process(1, 1).machine.clone();
    goes(&mut lab, 1);
    boots(&mut lab, home.as_str(), 2);
    for refusals in 1..=3 {
        let refused = RefusedProcess { id: lab.id(1, 1), refusal: AgentRefusal::Stale, detail: String::new() };
        lab.give(Input::Refused { machine: home.clone(), refused: vec![refused] }).expect("it is taken");
        let expected = if refusals < 3 { ProcessState::Starting } else { ProcessState::Dead };
        assert_eq!((lab.process(1, 1).state, &lab.process(1, 1).machine), (expected, &home), "{refusals}");
    }
}

#[test]
fn why_says_what_is_awaited_and_for_how_long() {
    let mut lab = lab(1);
    lab.start(1);
    goes(&mut lab, 1);
    lab.wait(Duration::from_secs(18));
    let (followed, system) = (BTreeMap::new(), muster_model::SystemId::default());
    let (state, observed, now) = (&lab.state, &lab.observed, lab.now());
    let view = View { state, observed, now, followed: &followed, system };
    let lines = explain::why(&view, dpid(1, 1)).expect("it is known");
    assert_eq!(
        lines[1],
        "waiting for its machine to come back from the reboot that it announced (round 1), for 42s more"
    );
}
