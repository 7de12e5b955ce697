//! What a job does first when its processes find wrong data: kept with it, and a crash only where the policy permits it.

use muster_model::OnError;

use super::super::input::{Again, Effect};
use super::*;

fn on_error(text: &str) -> Start {
    Start { on_error: text.into(), ..start(2) }
}

#[test]
fn it_goes_with_the_orders_and_with_a_job_that_is_started_again() {
    let mut lab = Lab::with(1);
    super::triggers::hear(&mut lab);
    lab.start_as(&on_error("trigger 7,3")).expect("it starts");
    let told = JobCore::wanted(&lab.state, &lab.observed, muster_ledger::Scope::Full, lab.time);
    let specs: Vec<String> = told
        .iter()
        .filter_map(|effect| match effect {
            Effect::SendUpdate(update) => Some(update.desired.orders[0].spec.on_error.to_string()),
            Effect::ListKnown { .. } => None,
        })
        .collect();
    assert_eq!(specs, ["trigger 3,7"]);
    let again = Again { run: None, job: JobNumber(1), archived: None };
    lab.start_as(&Start { again: Some(again), ..start(1) }).expect("it is started again");
    assert_eq!(lab.state.jobs[&JobNumber(2)].spec.on_error, lab.state.jobs[&JobNumber(1)].spec.on_error);
    lab.start(1);
    assert_eq!(lab.state.jobs[&JobNumber(3)].spec.on_error, OnError::Report);
}

#[test]
fn what_is_none_and_a_crash_that_is_not_permitted_are_refused() {
    let mut lab = Lab::with(2);
    super::triggers::hear(&mut lab);
    let unknown = lab.start_as(&on_error("stop")).expect_err("it is refused");
    assert_eq!(unknown.code, RefusalCode::Invalid);
    assert!(unknown.why.contains("`stop` is none of report, continue, crash or trigger"), "{}", unknown.why);
    assert!(unknown.next.contains("--on-error report, continue"), "{}", unknown.next);
    let forbidden = lab.start_as(&on_error("crash")).expect_err("no policy permits it");
    assert_eq!(forbidden.code, RefusalCode::Refused);
    assert!(forbidden.why.contains("it may not crash node-1, node-2:"), "{}", forbidden.why);
    assert!(lab.state.jobs.is_empty());
    lab.policy.crash = true;
    super::triggers::hear(&mut lab);
    lab.start_as(&on_error("crash")).expect("every policy permits it");
    assert_eq!(lab.state.jobs[&JobNumber(1)].spec.on_error, OnError::Crash);
    lab.policy.crash = false;
    super::triggers::hear(&mut lab);
    let again = Start { again: Some(Again { run: None, job: JobNumber(1), archived: None }), ..start(1) };
    assert_eq!(lab.start_as(&again).expect_err("it is permitted no more").code, RefusalCode::Refused);
}
