//! What a full pass that is asked for finds.

use muster_ledger::Difference;

use super::*;

fn found(lab: &Lab) -> Vec<Difference> {
    let findings = JobCore::findings(&lab.state, &lab.observed, lab.time);
    assert_eq!(findings.broken, None);
    findings.differences
}

#[test]
fn an_agent_without_its_orders_is_named_until_it_has_them() {
    let mut lab = Lab::with(1);
    lab.start(2);
    lab.heartbeat("node-1", Position::default());
    let differences = found(&lab);
    assert!(
        matches!(&differences[..], [one] if one.subject == "node-1" && one.what.contains("is wanted")),
        "{differences:?}"
    );
    let generation = lab.state.machines["node-1"].generation;
    let observation = Observation::Updated {
        machine: machine("node-1"),
        incarnation: lab.state.machines["node-1"].seen.incarnation,
        generation,
        told: Vec::new(),
    };
    JobCore::observe(&mut lab.observed, &lab.state, observation, lab.time);
    assert_eq!(found(&lab), []);
}

#[test]
fn processes_on_a_machine_that_is_not_heard_are_named() {
    let mut lab = Lab::with(1);
    assert_eq!(found(&lab), [], "nothing runs there");
    lab.start(2);
    let differences = found(&lab);
    assert!(matches!(&differences[..], [one] if one.what.contains("2 of its processes")), "{differences:?}");
}
