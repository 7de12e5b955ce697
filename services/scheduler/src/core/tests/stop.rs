//! Stops: what is told to whom, and what a second one changes.

use super::super::job::StopReason;
use super::*;

#[test]
fn a_stop_tells_every_live_process_once() {
    let mut lab = Lab::with(2);
    lab.start(4);
    lab.report(1, 1, ProcessState::Finished);
    assert_eq!(lab.stop(stop_job(1, NO_GRACE)), Ok((3, vec![JobNumber(1)])));
    let stop = lab.process(1, 2).stop.clone().expect("it was told");
    assert_eq!((stop.grace, stop.reason), (Duration::from_secs(10), StopReason::User), "the module's own grace");
    assert!(lab.state.jobs[&JobNumber(1)].stopping && lab.process(1, 1).stop.is_none());
    let before = lab.state.clone();
    assert_eq!(lab.stop(stop_job(1, NO_GRACE)), Ok((0, vec![JobNumber(1)])), "it says that nothing was told");
    assert_eq!(lab.state, before);
}

#[test]
fn a_shorter_grace_shortens_and_a_longer_one_does_not() {
    let mut lab = Lab::with(1);
    lab.start(2);
    lab.stop(stop_job(1, Duration::from_secs(5))).expect("it runs");
    assert_eq!(lab.stop(stop_job(1, Duration::from_secs(60))), Ok((0, vec![JobNumber(1)])));
    assert_eq!(lab.stop(stop_job(1, Duration::from_secs(1))), Ok((2, vec![JobNumber(1)])));
    assert_eq!(lab.process(1, 1).stop.clone().map(|stop| stop.grace), Some(Duration::from_secs(1)));
}

#[test]
fn single_processes_and_everything_can_be_stopped() {
    let mut lab = Lab::with(2);
    lab.start(4);
    lab.start(2);
    let one = Stop { dpids: vec![dpid(1, 2), dpid(2, 1)], ..Stop::default() };
    assert_eq!(lab.stop(one), Ok((2, vec![JobNumber(1), JobNumber(2)])));
    assert!(lab.process(1, 2).stop.is_some() && lab.process(1, 1).stop.is_none());
    assert!(!lab.state.jobs[&JobNumber(1)].stopping, "not the whole job");
    let all = Stop { all: true, ..Stop::default() };
    assert_eq!(lab.stop(all), Ok((4, vec![JobNumber(1), JobNumber(2)])));
}

#[test]
fn what_is_not_there_is_said() {
    let mut lab = Lab::with(1);
    let text = |result: Result<_, Refusal>| result.map(drop).expect_err("it is refused").to_string();
    assert_eq!(
        text(lab.stop(stop_job(1, NO_GRACE)).map(drop)),
        "stop job 1: run 1 has no jobs yet; `muster jobs` shows what runs"
    );
    lab.start(1);
    assert_eq!(
        text(lab.stop(stop_job(4, NO_GRACE)).map(drop)),
        "stop job 4: job 4 is not known; run 1 has jobs 1 to 1; `muster jobs` shows what runs"
    );
    let unknown = Stop { dpids: vec![dpid(1, 9)], ..Stop::default() };
    assert_eq!(
        text(lab.stop(unknown).map(drop)),
        "stop 00010009: no process 00010009 is known in run 1; `muster ps` shows what runs"
    );
    assert!(lab.stop(Stop::default()).is_err(), "nothing was named");
    lab.report(1, 1, ProcessState::Finished);
    assert_eq!(lab.stop(stop_job(1, NO_GRACE)), Ok((0, vec![JobNumber(1)])), "an ended job needs no stop");
}
