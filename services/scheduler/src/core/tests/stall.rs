//! Stalled: running, and iterations that do not change. Volatile: nothing of it is in the log.

use super::super::input::Pinged;
use super::*;

fn ping(lab: &mut Lab, process: u32, unchanged: u64) {
    let id = lab.id(1, process);
    let pinged = vec![Pinged { id, answered: true, iterations: 7, unchanged: Duration::from_secs(unchanged) }];
    let observation = Observation::Pings { machine: machine("node-1"), pinged };
    JobCore::observe(&mut lab.observed, &lab.state, observation, lab.time);
}

/// What is said of process 1: how long, and how many of its job.
fn stalled(lab: &Lab) -> (Option<u64>, usize) {
    let stall = lab.observed.stall_of(&lab.state, dpid(1, 1), lab.process(1, 1));
    assert_eq!(lab.observed.stalled(&lab.state).len(), lab.observed.stalled_of(&lab.state, JobNumber(1)));
    (stall.map(|unchanged| unchanged.as_secs()), lab.observed.stalled_of(&lab.state, JobNumber(1)))
}

fn lab_of_one() -> Lab {
    let mut lab = Lab::with(1);
    lab.start(1);
    let generation = lab.state.machines["node-1"].generation;
    lab.heartbeat("node-1", generation);
    lab
}

#[test]
fn only_a_running_process_stalls_after_what_its_module_says_and_moves_again() {
    let mut lab = lab_of_one();
    ping(&mut lab, 1, 75);
    assert_eq!(stalled(&lab), (None, 0), "it has not begun");
    lab.report(1, 1, ProcessState::Running);
    ping(&mut lab, 1, 29);
    assert_eq!(stalled(&lab), (None, 0));
    ping(&mut lab, 1, 75);
    assert_eq!(stalled(&lab), (Some(75), 1));
    ping(&mut lab, 1, 0);
    assert_eq!(stalled(&lab), (None, 0), "it moves");
    ping(&mut lab, 1, 31);
    lab.report(1, 1, ProcessState::Fip);
    assert_eq!(stalled(&lab), (None, 0), "it is told to stop");
}

#[test]
fn a_module_that_says_nothing_of_it_never_stalls() {
    let mut lab = lab_of_one();
    lab.give(Input::AddModule(Box::new(Module { stall: Duration::ZERO, version: "2".into(), ..high_io() })))
        .expect("it is good");
    lab.start(1);
    lab.report(2, 1, ProcessState::Running);
    let pinged =
        vec![Pinged { id: lab.id(2, 1), answered: true, iterations: 0, unchanged: Duration::from_secs(9_999) }];
    JobCore::observe(
        &mut lab.observed,
        &lab.state,
        Observation::Pings { machine: machine("node-1"), pinged },
        lab.time,
    );
    assert_eq!(lab.observed.stalled_of(&lab.state, JobNumber(2)), 0);
}
