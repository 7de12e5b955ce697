//! Parameters of a job that runs: which change, who is told, and what a later attempt has.

use super::super::input::{AgentRefusal, ChangeJob, Effect, RefusedProcess};
use super::*;

impl Lab {
    fn set(&mut self, job: u32, given: &[(&str, &str)]) -> Result<Vec<(String, String)>, Refusal> {
        let parameters = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let change = ChangeJob { job: JobNumber(job), pulses: None, parameters };
        match self.give(Input::ChangeJob(change))? {
            Some(Reply::JobChanged(changed)) => Ok(changed.parameters),
            other => panic!("a change answers {other:?}"),
        }
    }
}

/// The value of a parameter.
fn value<'a>(parameters: &'a [(String, String)], name: &str) -> &'a str {
    parameters.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

#[test]
fn a_live_parameter_changes_for_every_process_and_the_others_stay() {
    let mut lab = Lab::with(2);
    let begun = Start { parameters: vec![("block".into(), "8KiB".into())], ..start(4) };
    lab.start_as(&begun).expect("it starts");
    for node in ["node-1", "node-2"] {
        lab.heartbeat(node, lab.state.machines[node].generation);
    }
    let now = lab.set(1, &[("iops_max", "500")]).expect("it is live");
    assert_eq!((value(&now, "iops_max"), value(&now, "block")), ("500", "8KiB"));
    assert_eq!(lab.state.jobs[&JobNumber(1)].spec.parameters, now);
    let told = JobCore::wanted(&lab.state, &lab.observed, muster_ledger::Scope::Full, lab.time);
    let orders = told.iter().filter_map(|effect| match effect {
        Effect::SendUpdate(update) => Some(&update.desired.orders),
        Effect::ListKnown { .. } => None,
    });
    let specs: Vec<_> =
        orders.flatten().map(|orders| (orders.processes.len(), orders.spec.parameters.clone())).collect();
    assert_eq!(specs, [(2, now.clone()), (2, now)], "both agents get the new ones for both of their processes");
}

#[test]
fn said_twice_it_changes_nothing_and_a_later_attempt_has_it() {
    let mut lab = Lab::with(2);
    lab.start(2);
    lab.set(1, &[("iops_max", "500")]).expect("it is live");
    lab.set(1, &[("iops_max", "500")]).expect("it is as it was");
    assert!(lab.last.is_empty());
    let process = RefusedProcess { id: lab.id(1, 1), refusal: AgentRefusal::Stale, detail: String::new() };
    let from = lab.process(1, 1).machine.clone();
    lab.give(Input::Refused { machine: from, refused: vec![process] }).expect("refusals are taken");
    assert_eq!(lab.process(1, 1).attempt, attempt(2));
    assert_eq!(value(&lab.state.jobs[&JobNumber(1)].spec.parameters, "iops_max"), "500");
}

#[test]
fn what_can_not_change_is_refused_with_its_reason() {
    let mut lab = Lab::with(1);
    lab.start(1);
    let mut why = |given: &[(&str, &str)]| {
        let refusal = lab.set(1, given).expect_err("it is refused");
        format!("{:?}: {}; {}", refusal.code, refusal.why, refusal.next)
    };
    let once = why(&[("block", "8KiB")]);
    assert!(once.starts_with("Refused: a running high-io does not take another `block`"), "{once}");
    assert!(once.ends_with("while it runs it takes iops_max"), "{once}");
    assert!(why(&[("iops_mx", "1")]).contains("has no parameter `iops_mx`; did you mean `iops_max`?"));
    assert!(why(&[("iops_max", "-1")]).contains("the least is 0"));
    assert!(why(&[("iops_max", "1"), ("iops_max", "2")]).contains("twice"));
    assert!(why(&[]).contains("nothing was said to change"));
    lab.report(1, 1, ProcessState::Finished);
    assert!(lab.set(1, &[("iops_max", "1")]).expect_err("it is over").why.contains("ended"));
}
