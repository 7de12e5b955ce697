//! Reports that are lost for good: what the agent knows by itself takes their place (invariant I2), and no sooner.

use super::super::input::Pinged;
use super::super::limits::{ANSWERS_MAX, REPORTS_PATIENCE};
use super::*;

fn lab_of_two() -> Lab {
    let mut lab = Lab::with(1);
    lab.start(2);
    lab.report(1, 1, ProcessState::Running);
    lab.report(1, 2, ProcessState::Running);
    lab
}

fn ended(lab: &Lab) -> KnownProcess {
    KnownProcess { reason: "done".into(), ..lab.known(1, 1, ProcessState::Finished) }
}

#[test]
fn a_hello_ends_what_ended_without_a_report() {
    let mut lab = lab_of_two();
    let known = vec![ended(&lab), lab.known(1, 2, ProcessState::Fip)];
    lab.hello("node-1", known);
    let process = lab.process(1, 1);
    assert_eq!((process.state, process.verdict, process.exit_status), (ProcessState::Finished, Verdict::Pass, Some(0)));
    assert_eq!(process.reason, "done");
    assert_eq!(lab.process(1, 2).state, ProcessState::Fip, "and takes along what goes on");
}

#[test]
fn an_end_waits_for_the_reports_that_will_say_it() {
    let mut lab = lab_of_two();
    lab.lose_batch("node-1");
    let known = vec![ended(&lab), lab.known(1, 2, ProcessState::Running)];
    lab.hello("node-1", known.clone());
    assert_eq!(lab.process(1, 1).state, ProcessState::Running, "its last batch was not taken");
    lab.report_batch(&machine("node-1"), Vec::new());
    lab.inventory("node-1", known);
    assert_eq!(lab.process(1, 1).state, ProcessState::Finished, "a later batch was");
}

#[test]
fn a_last_batch_that_is_lost_is_waited_for_until_nothing_more_can_come() {
    let mut lab = lab_of_two();
    lab.lose_batch("node-1");
    let known = vec![ended(&lab), lab.known(1, 2, ProcessState::Running)];
    let generation = lab.state.machines["node-1"].generation;
    lab.heartbeat("node-1", generation);
    lab.inventory("node-1", known.clone());
    assert_eq!(lab.process(1, 1).state, ProcessState::Running, "it may still be on its way");
    lab.wait(REPORTS_PATIENCE);
    lab.heartbeat("node-1", generation);
    lab.inventory("node-1", known);
    assert_eq!(lab.process(1, 1).state, ProcessState::Finished, "its agent knows it to be stored, and it did not come");
}

#[test]
fn an_agent_that_still_sends_is_not_given_up() {
    let mut lab = lab_of_two();
    let generation = lab.state.machines["node-1"].generation;
    lab.heartbeat("node-1", generation);
    lab.lose_batch("node-1");
    lab.wait(REPORTS_PATIENCE * 2);
    let known = vec![ended(&lab), lab.known(1, 2, ProcessState::Running)];
    lab.inventory("node-1", known);
    assert_eq!(lab.process(1, 1).state, ProcessState::Running, "the batch was never said to be stored");
}

#[test]
fn a_list_of_another_epoch_attempt_machine_or_incarnation_ends_nothing() {
    let mut lab = lab_of_two();
    let good = ended(&lab);
    let others = [
        KnownProcess { epoch: Epoch(good.epoch.0 + 1), ..good.clone() },
        KnownProcess { id: ProcessId { attempt: attempt(2), ..good.id }, ..good.clone() },
        KnownProcess { id: ProcessId { run: muster_model::RunId(9), ..good.id }, ..good.clone() },
    ];
    let running = [lab.known(1, 1, ProcessState::Running), lab.known(1, 2, ProcessState::Running)];
    for other in others {
        lab.hello("node-1", running.iter().cloned().chain([other]).collect());
        assert_eq!(lab.process(1, 1).state, ProcessState::Running);
    }
    let granted = Fact::IncarnationGranted { incarnation: Incarnation(2), boot_id: "boot-of-node-1".into() };
    lab.machines(vec![("node-1", granted)]);
    let old = Hello { machine: machine("node-1"), incarnation: Incarnation(1), known: vec![good], last_batch: 2 };
    lab.give(Input::Hello(old)).expect("it is taken");
    assert_eq!(lab.process(1, 1).state, ProcessState::Running);
}

#[test]
fn a_list_from_before_a_report_does_not_take_it_back() {
    let mut lab = lab_of_two();
    let old = vec![lab.known(1, 1, ProcessState::Mia), lab.known(1, 2, ProcessState::Running)];
    let generation = lab.state.machines["node-1"].generation;
    lab.report(1, 1, ProcessState::Mia);
    lab.report(1, 1, ProcessState::Running);
    let last_batch = lab.last_batch("node-1") - 1;
    let (machine, incarnation) = (machine("node-1"), Incarnation(1));
    lab.give(Input::Inventory { machine, incarnation, generation, known: old, last_batch }).expect("it is taken");
    assert_eq!(lab.process(1, 1).state, ProcessState::Running);
}

#[test]
fn a_process_that_answers_and_is_not_called_running_has_its_agent_asked() {
    let mut lab = Lab::with(1);
    lab.start(1);
    let generation = lab.state.machines["node-1"].generation;
    lab.heartbeat("node-1", generation);
    lab.lose_batch("node-1");
    let result = Pinged { id: lab.id(1, 1), answered: true, iterations: 5, unchanged: Duration::ZERO };
    for _ in 0..=ANSWERS_MAX {
        assert!(!lab.observed.agent(&machine("node-1")).expect("it was heard").differs());
        let observation = Observation::Pings { machine: machine("node-1"), pinged: vec![result] };
        JobCore::observe(&mut lab.observed, &lab.state, observation, lab.time);
    }
    assert!(lab.observed.agent(&machine("node-1")).expect("it was heard").differs());
    lab.heartbeat("node-1", generation);
    lab.wait(REPORTS_PATIENCE);
    let known = vec![lab.known(1, 1, ProcessState::Running)];
    lab.inventory("node-1", known);
    assert_eq!(lab.process(1, 1).state, ProcessState::Running);
}

#[test]
fn a_machine_that_went_back_loses_what_it_does_not_know_and_its_next_batches_count() {
    let mut lab = lab_of_two();
    lab.start(1);
    for _ in 0..5 {
        lab.report_batch(&machine("node-1"), Vec::new());
    }
    let granted = Fact::IncarnationGranted { incarnation: Incarnation(2), boot_id: "boot-of-node-1".into() };
    lab.machines(vec![("node-1", granted)]);
    let known = vec![lab.known(1, 1, ProcessState::Running)];
    let hello = Hello { machine: machine("node-1"), incarnation: Incarnation(2), known, last_batch: 1 };
    lab.give(Input::Hello(hello)).expect("it is taken");
    let lost = lab.process(1, 2);
    assert_eq!((lost.state, lost.verdict), (ProcessState::Lost, Verdict::Error));
    assert_eq!(lost.reason, "its machine went back to an older state, in which it is unknown");
    assert_eq!(
        lab.process(2, 1).state,
        ProcessState::Lost,
        "it may have begun: the same attempt is not begun again (I6)"
    );
    let report = Report::Process(lab.report_of(1, 1, ProcessState::Finished));
    lab.take_batch(&machine("node-1"), 2, vec![report]);
    assert_eq!(lab.process(1, 1).state, ProcessState::Finished, "batch 2 of incarnation 2 is above batch 7 of 1");
    assert_eq!(lab.state.machines["node-1"].reported, (Incarnation(2), 2));
}
