//! What `muster why` says of a process that waits.

use muster_ledger::View;

use super::*;
use crate::explain;

fn why(lab: &Lab, job: u32, process: u32) -> Vec<String> {
    let (followed, system) = (BTreeMap::new(), muster_model::SystemId::default());
    let (state, observed, now) = (&lab.state, &lab.observed, lab.now());
    explain::why(&View { state, observed, now, followed: &followed, system }, dpid(job, process)).expect("it is known")
}

#[test]
fn a_process_that_waits_for_its_agent_says_since_when_and_why() {
    let mut lab = Lab::with(1);
    lab.start(1);
    lab.wait(Duration::from_secs(4));
    let waits = "waiting for agent node-1 to take its order since 4s: not heard since this scheduler leads";
    assert_eq!(why(&lab, 1, 1)[1], waits);
    assert_eq!(why(&lab, 1, 0)[1], format!("node-1: 1 starting: {waits}"), "of the job too");
    lab.heartbeat("node-1", Position::default());
    assert!(why(&lab, 1, 1)[1].starts_with("waiting for agent node-1 to take its order since 4s: it is at "));
    lab.wait(Duration::from_secs(5));
    assert_eq!(why(&lab, 1, 1)[1], "waiting for agent node-1 to take its order since 9s: not heard since 5s");
}

#[test]
fn a_process_with_its_order_waits_for_itself() {
    let mut lab = Lab::with(1);
    lab.start(1);
    lab.heartbeat("node-1", lab.state.machines["node-1"].generation);
    lab.wait(Duration::from_secs(2));
    assert_eq!(
        why(&lab, 1, 1)[1],
        "waiting for it to answer its first ping: agent node-1 has its order, placed 2s ago"
    );
}

#[test]
fn an_end_is_said_in_words_once() {
    let mut lab = Lab::with(1);
    lab.start(2);
    let mut end = |process: u32, status: i32, reason: &str| {
        let mut report = lab.report_of(1, process, ProcessState::Dead);
        (report.exit_status, report.reason) = (Some(status), reason.into());
        lab.report_batch(&machine("node-1"), vec![Report::Process(report)]);
        why(&lab, 1, process).concat()
    };
    let said = end(1, 2 << 8, "exited with 2");
    assert!(said.contains("exited with 2, verdict") && !said.contains("512"), "{said}");
    let said = end(2, 9, "stopped: killed past its grace");
    assert!(said.contains("stopped: killed past its grace, killed by signal 9, verdict"), "{said}");
}

#[test]
fn a_plan_says_what_its_steps_and_tasks_wait_for() {
    let mut lab = Lab::with(0);
    plans::started(&mut lab, plans::two_steps());
    plans::settle(&mut lab);
    let said = why(&lab, 1, 0);
    assert!(said[0].ends_with("0 processes, none placed"), "{said:?}");
    let expected = [
        "plan nightly is queued",
        "step first is queued",
        "step second waits for first",
        "task first/a waits to be placed: no machine is known",
        "task first/b waits to be placed: no machine is known",
    ];
    assert_eq!(said[1..], expected);
    lab.add_machine("node-1", 4, 2);
    plans::settle(&mut lab);
    assert!(why(&lab, 1, 0).iter().all(|line| !line.contains("waits to be placed")));
}
