//! Errands: who may have them, where, and how each of them ends.

use super::super::errand::Errand;
use super::super::input::{ErrandSaid, ErrandStart};
use super::super::job::StopReason;
use super::super::limits::{ERRANDS_MAX, LOST_AFTER};
use super::super::wanted;
use super::*;

/// Three machines, each with a process of job 1.
fn lab() -> Lab {
    let mut lab = Lab::with(4);
    let count = Count { number: 1, by: CountBy::Machine };
    lab.start_as(&Start { count, selector: "node-1 or node-2 or node-3".into(), ..start(1) }).expect("it starts");
    (1..=3).for_each(|process| lab.report(1, process, ProcessState::Running));
    lab
}

fn wish(on: &str) -> ErrandStart {
    ErrandStart { machine: on.into(), module: "high-io".into(), parameters: Vec::new(), detached: false }
}

fn said(lab: &Lab, process: u32, name: &str, start: Option<ErrandStart>) -> Report {
    let (id, epoch) = (lab.id(1, process), lab.process(1, process).epoch);
    Report::Errand(Box::new(ErrandSaid { id, epoch, name: name.into(), start }))
}

fn say(lab: &mut Lab, process: u32, name: &str, start: Option<ErrandStart>) {
    let (id, report) = (lab.process(1, process).machine.clone(), said(lab, process, name, start));
    lab.report_batch(&id, vec![report]);
}

/// What the agent of process 1 is told of an errand.
fn told(lab: &Lab, name: &str) -> Option<Errand> {
    let (_, desired) = wanted::desired(&lab.state, &lab.process(1, 1).machine, &[]);
    let orders = desired.orders.iter().filter(|orders| orders.spec.job == JobNumber(1));
    let order = orders.flat_map(|orders| &orders.processes).find(|order| order.process.0 == 1)?;
    order.errands.iter().find(|(known, _)| known == name).map(|(_, errand)| errand.clone())
}

fn refusal(lab: &Lab, name: &str) -> String {
    told(lab, name).expect("it is decided").started.expect_err("it is refused")
}

fn why_stopped(lab: &Lab, job: u32) -> Option<StopReason> {
    lab.process(job, 1).stop.as_ref().map(|stop| stop.reason)
}

#[test]
fn an_errand_is_a_job_of_its_own_on_the_machine_that_was_asked_for() {
    let mut lab = lab();
    say(&mut lab, 1, "load", Some(wish("node-2")));
    let errand = told(&lab, "load").expect("it is decided");
    assert_eq!((errand.started, errand.end), (Ok(dpid(2, 1)), None));
    assert_eq!(lab.process(2, 1).machine, machine("node-2"));
    let spec = lab.state.jobs[&JobNumber(2)].spec.clone();
    assert_eq!((spec.actor.as_str(), spec.errand_of.as_ref().map(|of| of.id)), ("user:anna", Some(lab.id(1, 1))));
    say(&mut lab, 1, "load", Some(wish("node-3")));
    assert_eq!(lab.state.last_job, JobNumber(2), "under one name it is the same errand");
    lab.report(2, 1, ProcessState::Running);
    lab.report(2, 1, ProcessState::Finished);
    let end = told(&lab, "load").and_then(|errand| errand.end).expect("its end is told");
    assert_eq!((end.state, end.verdict, end.exit_status), (ProcessState::Finished, Verdict::Pass, Some(0)));
    lab.report(1, 1, ProcessState::Finished);
    assert_eq!(why_stopped(&lab, 2), None, "it had ended already");
    assert_eq!(lab.replayed(), lab.state);
}

#[test]
fn several_of_one_batch_have_numbers_of_their_own() {
    let mut lab = lab();
    let reports = ["a", "b", "c"].map(|name| said(&lab, 1, name, Some(wish("node-2"))));
    let again = said(&lab, 1, "a", Some(wish("node-3")));
    lab.report_batch(&machine("node-1"), reports.into_iter().chain([again]).collect());
    let started = ["a", "b", "c"].map(|name| told(&lab, name).expect("it is decided").started);
    assert_eq!(started, [Ok(dpid(2, 1)), Ok(dpid(3, 1)), Ok(dpid(4, 1))]);
    assert_eq!(lab.state.last_job, JobNumber(4));
}

#[test]
fn an_errand_ends_with_its_process_however_that_ends_unless_it_is_detached() {
    for end in [ProcessState::Finished, ProcessState::Dead, ProcessState::Lost] {
        let mut lab = lab();
        say(&mut lab, 1, "bound", Some(wish("node-2")));
        say(&mut lab, 1, "free", Some(ErrandStart { detached: true, ..wish("node-3") }));
        lab.report(1, 1, end);
        assert_eq!((why_stopped(&lab, 2), why_stopped(&lab, 3)), (Some(StopReason::Errand), None), "{end}");
        assert!(lab.state.jobs[&JobNumber(2)].stopping);
        lab.report(2, 1, ProcessState::Finished);
        lab.report(3, 1, ProcessState::Finished);
        assert_eq!(lab.replayed(), lab.state);
    }
}

#[test]
fn the_end_of_its_machine_ends_the_errand_and_one_that_is_asked_for_too_late_ends_at_once() {
    let mut lab = lab();
    say(&mut lab, 1, "bound", Some(wish("node-2")));
    let too_late = said(&lab, 1, "late", Some(wish("node-3")));
    lab.machines(vec![("node-1", Fact::HealthChanged { down: true })]);
    lab.wait(LOST_AFTER);
    lab.give(Input::Tick).expect("a tick is not refused");
    assert_eq!(lab.process(1, 1).state, ProcessState::Lost);
    assert_eq!(why_stopped(&lab, 2), Some(StopReason::Errand));
    lab.report_batch(&machine("node-1"), vec![too_late]);
    assert_eq!(lab.state.last_job, JobNumber(2), "who has ended asks for nothing");

    let mut lab = self::lab();
    let (asks, ends) = (said(&lab, 1, "late", Some(wish("node-3"))), lab.report_of(1, 1, ProcessState::Dead));
    lab.report_batch(&machine("node-1"), vec![asks, Report::Process(ends)]);
    assert_eq!(why_stopped(&lab, 2), Some(StopReason::Errand), "its process had ended when it began");
}

#[test]
fn a_process_stops_its_errand_itself_and_a_repeated_word_changes_nothing() {
    let mut lab = lab();
    say(&mut lab, 1, "load", Some(wish("node-2")));
    say(&mut lab, 1, "load", None);
    assert_eq!(why_stopped(&lab, 2), Some(StopReason::Errand));
    let events = lab.last.len();
    say(&mut lab, 1, "load", None);
    assert_eq!((events, lab.last.len()), (2, 1), "the batch alone");
    say(&mut lab, 1, "other", None);
    lab.report(2, 1, ProcessState::Finished);
    assert_eq!(told(&lab, "load").and_then(|errand| errand.end).map(|end| end.state), Some(ProcessState::Finished));
}

#[test]
fn what_may_not_be_is_refused_with_its_reason() {
    let mut lab = lab();
    let checks = [
        ("elsewhere", wish("node-4"), "job 1 was not placed on a machine `node-4`"),
        ("nowhere", wish("no such"), "job 1 was not placed on a machine `no such`"),
        ("module", ErrandStart { module: "low-io".into(), ..wish("node-2") }, "no module `low-io`"),
        (&"x".repeat(65), wish("node-2"), "a name of 1 to 64 bytes"),
    ];
    for (name, wish, why) in checks {
        say(&mut lab, 1, name, Some(wish));
        let known = &name[..name.len().min(64)];
        assert!(refusal(&lab, known).contains(why), "{}", refusal(&lab, known));
    }
    for number in lab.process(1, 1).errands.len()..ERRANDS_MAX {
        say(&mut lab, 1, &number.to_string(), Some(wish("node-2")));
    }
    say(&mut lab, 1, "more", Some(wish("node-2")));
    assert!(refusal(&lab, "more").contains("16 errands already"));
    let last = lab.state.last_job.0;
    let (id, epoch) = (lab.id(last, 1), lab.process(last, 1).epoch);
    let nested = ErrandSaid { id, epoch, name: "more".into(), start: Some(wish("node-2")) };
    lab.report_batch(&machine("node-2"), vec![Report::Errand(Box::new(nested))]);
    let nested = lab.process(last, 1).errands["more"].clone();
    assert!(nested.started.is_err_and(|why| why.contains("an errand itself")));
}

#[test]
fn a_process_that_comes_back_from_a_reboot_finds_its_errands() {
    let mut lab = away::lab(3);
    lab.start_as(&Start { count: Count { number: 1, by: CountBy::Machine }, ..start(1) }).expect("it starts");
    away::goes(&mut lab, 1);
    away::boots(&mut lab, "node-1", 2);
    lab.give(Input::Tick).expect("a tick is not refused");
    lab.report(1, 1, ProcessState::Running);
    say(&mut lab, 1, "load", Some(wish("node-2")));
    let errand = told(&lab, "load").expect("it is decided");
    let said = lab.process(1, 1).clone();
    assert_eq!((said.attempt, errand.started), (Attempt(2), Ok(dpid(2, 1))));
    away::goes(&mut lab, 1);
    assert_eq!(why_stopped(&lab, 2), None, "its process is away, and not at its end");
    lab.report(2, 1, ProcessState::Finished);
    away::boots(&mut lab, "node-1", 3);
    lab.give(Input::Tick).expect("a tick is not refused");
    assert_eq!(lab.process(1, 1).attempt, Attempt(3));
    let end = told(&lab, "load").and_then(|errand| errand.end).expect("its end is told");
    assert_eq!(end.state, ProcessState::Finished);
}
