//! Events of tests: numbered, remembered, bounded, and of whoever says them.

use muster_proto::v1;

use super::super::input::{Emit, TestEventSaid};
use super::super::limits::{TEST_EVENTS_MAX, TEST_EVENTS_OF_ONE_MAX, TEST_EVENTS_TOGETHER_MAX, TEST_EVENTS_WINDOW};
use super::*;
use crate::wire::test_events::list;

fn lab() -> Lab {
    let mut lab = Lab::with(2);
    lab.start(2);
    (1..=2).for_each(|process| lab.report(1, process, ProcessState::Running));
    lab
}

fn said(lab: &Lab, process: u32, name: &str) -> Report {
    let (name, data) = (name.to_owned(), format!("of {process}"));
    let epoch = lab.process(1, process).epoch;
    Report::TestEvent(Box::new(TestEventSaid { id: lab.id(1, process), epoch, name, data }))
}

fn say(lab: &mut Lab, process: u32, name: &str) {
    let (id, report) = (lab.process(1, process).machine.clone(), said(lab, process, name));
    lab.report_batch(&id, vec![report]);
}

fn emit(lab: &mut Lab, name: &str, data: &str) -> Result<u64, Refusal> {
    let emit = Emit { actor: "user:anna".into(), name: name.into(), data: data.into() };
    match lab.give(Input::Emit(emit))? {
        Some(Reply::Emitted(event, _)) => Ok(event.number),
        other => panic!("an event answers {other:?}"),
    }
}

/// Numbers of the events that are asked for.
fn asked(lab: &Lab, asked: v1::ListTestEvents) -> Vec<u64> {
    list(&lab.state.test_events, &asked).iter().map(|event| event.number).collect()
}

fn named(name: &str) -> v1::ListTestEvents {
    v1::ListTestEvents { name: name.into(), ..Default::default() }
}

#[test]
fn what_was_said_a_moment_ago_is_found_by_name_job_number_and_time() {
    let mut lab = lab();
    say(&mut lab, 1, "begun");
    assert_eq!(emit(&mut lab, "begun", "by hand"), Ok(2));
    lab.wait(Duration::from_secs(5));
    say(&mut lab, 2, "over");
    assert_eq!((asked(&lab, named("begun")), asked(&lab, named("over"))), (vec![1, 2], vec![3]));
    assert_eq!(asked(&lab, named("")), [1, 2, 3]);
    assert_eq!(asked(&lab, v1::ListTestEvents { job: 1, ..named("begun") }), [1], "a person is of no job");
    assert_eq!(asked(&lab, v1::ListTestEvents { after: 1, ..named("") }), [2, 3]);
    assert_eq!(asked(&lab, v1::ListTestEvents { since_ns: lab.time.0, ..named("") }), [3]);
    let found = list(&lab.state.test_events, &named("over"));
    assert_eq!((found[0].data.as_str(), found[0].machine.as_str(), found[0].actor.as_str()), ("of 2", "node-2", ""));
    assert_eq!(lab.replayed().test_events, lab.state.test_events);
}

#[test]
fn what_is_no_event_or_not_of_its_sender_is_not_taken() {
    let mut lab = lab();
    for (name, data) in [("", ""), ("Begun", ""), ("a b", ""), ("a", &*"x".repeat(4_097))] {
        assert_eq!(emit(&mut lab, name, data).unwrap_err().code, RefusalCode::Invalid);
    }
    say(&mut lab, 1, "Begun");
    let of_another = said(&lab, 1, "begun");
    lab.report_batch(&machine("node-2"), vec![of_another]);
    assert_eq!(asked(&lab, named("")), Vec::<u64>::new());
}

#[test]
fn who_says_too_much_is_dropped_and_counted_and_keeps_nobody_else_out() {
    let mut lab = lab();
    let burst: Vec<Report> = (0..TEST_EVENTS_OF_ONE_MAX + 7).map(|_| said(&lab, 1, "loud")).collect();
    lab.report_batch(&machine("node-1"), burst);
    assert_eq!(asked(&lab, named("loud")).len(), TEST_EVENTS_OF_ONE_MAX);
    assert!(lab.last.contains(&Event::TestEventsDropped { job: JobNumber(1), count: 7 }), "{:?}", lab.last);
    assert!(emit(&mut lab, "calm", "").is_ok(), "people have a share of their own");
    lab.wait(TEST_EVENTS_WINDOW);
    say(&mut lab, 2, "later");
    assert_eq!(asked(&lab, named("later")).len(), 1);
    for _ in 0..TEST_EVENTS_OF_ONE_MAX {
        emit(&mut lab, "by.hand", "").unwrap();
    }
    assert_eq!(emit(&mut lab, "by.hand", "").unwrap_err().code, RefusalCode::Limit);
}

#[test]
fn the_newest_are_remembered_and_a_new_run_begins_anew() {
    let mut lab = lab();
    let rounds = TEST_EVENTS_MAX / TEST_EVENTS_OF_ONE_MAX + 1;
    for _ in 0..rounds {
        lab.wait(TEST_EVENTS_WINDOW);
        (0..TEST_EVENTS_OF_ONE_MAX).for_each(|_| assert!(emit(&mut lab, "more", "").is_ok()));
    }
    let numbers = asked(&lab, named(""));
    let newest = (rounds * TEST_EVENTS_OF_ONE_MAX) as u64;
    assert_eq!((numbers.len(), numbers.last()), (TEST_EVENTS_MAX, Some(&newest)));
    const { assert!(TEST_EVENTS_MAX > TEST_EVENTS_TOGETHER_MAX, "what is remembered covers the time that is counted") };
    (1..=2).for_each(|process| lab.report(1, process, ProcessState::Finished));
    lab.give(Input::NewRun).expect("nothing runs");
    assert_eq!((asked(&lab, named("")).len(), lab.state.test_events.newest), (0, 0));
}
