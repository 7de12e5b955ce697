//! Pulses: who is told of them, and what is refused.

use muster_model::{Pulse, PulseNumber};

use super::super::desired;
use super::super::input::{ChangeJob, ClearPulses, Effect, PulseUse, Update};
use super::*;

fn pulse(block_ms: u64, free_ms: u64) -> Pulse {
    Pulse::new(Duration::from_millis(block_ms), Duration::from_millis(free_ms), Duration::ZERO).expect("a good pulse")
}

fn set(lab: &mut Lab, number: u8, pulse: Pulse) -> PulseUse {
    uses(lab.give(Input::SetPulse(PulseNumber(number), pulse))).expect("a good pulse").remove(0)
}

fn clear(lab: &mut Lab, numbers: &[u32], all: bool) -> Result<Vec<PulseUse>, Refusal> {
    uses(lab.give(Input::ClearPulses(ClearPulses { numbers: numbers.to_vec(), all })))
}

fn uses(reply: Result<Option<Reply>, Refusal>) -> Result<Vec<PulseUse>, Refusal> {
    match reply? {
        Some(Reply::Pulses(uses)) => Ok(uses),
        other => panic!("it answers {other:?}"),
    }
}

fn change(lab: &mut Lab, job: u32, pulses: &[u32]) -> Result<(), Refusal> {
    let change = ChangeJob { job: JobNumber(job), pulses: Some(pulses.to_vec()), parameters: Vec::new() };
    lab.give(Input::ChangeJob(change)).map(drop)
}

fn gated(processes: u32, pulses: &[u32]) -> Start {
    Start { pulses: pulses.to_vec(), ..start(processes) }
}

fn update(lab: &Lab, id: &str) -> Option<Update> {
    let keys = [super::super::Key::Machine(machine(id))].into();
    let effects = JobCore::wanted(&lab.state, &lab.observed, muster_ledger::Scope::Keys(&keys), lab.time);
    effects.into_iter().find_map(|effect| match effect {
        Effect::SendUpdate(update) => Some(*update),
        Effect::ListKnown { .. } => None,
    })
}

fn generation(lab: &Lab, id: &str) -> Position {
    lab.state.machines[id].generation
}

#[test]
fn a_pulse_reaches_the_machines_of_the_jobs_that_have_it_and_no_other() {
    let mut lab = Lab::with(2);
    set(&mut lab, 3, pulse(20, 30));
    lab.start_as(&Start { selector: "node-1".into(), ..gated(2, &[3]) }).expect("it starts");
    lab.start_as(&Start { selector: "node-2".into(), ..start(2) }).expect("it starts");
    let (first, second) = (generation(&lab, "node-1"), generation(&lab, "node-2"));
    lab.heartbeat("node-1", first);
    lab.heartbeat("node-2", second);
    assert!(update(&lab, "node-1").is_none(), "both have all that they need");
    let used = set(&mut lab, 3, pulse(50, 50));
    assert_eq!((used.jobs, used.processes), (vec![JobNumber(1)], 2));
    let told = update(&lab, "node-1").expect("its jobs have it");
    assert_eq!(told.desired.pulses, [(PulseNumber(3), pulse(50, 50))]);
    assert!(told.desired.orders.is_empty(), "the processes have the same orders");
    assert!(update(&lab, "node-2").is_none());
    assert_eq!(generation(&lab, "node-2"), second);
    let before = lab.state.clone();
    set(&mut lab, 3, pulse(50, 50));
    assert_eq!(lab.state, before, "the same again changes nothing");
}

#[test]
fn a_cleared_pulse_is_free_and_its_jobs_are_named() {
    let mut lab = Lab::with(1);
    set(&mut lab, 3, pulse(20, 30));
    set(&mut lab, 7, pulse(1, 1));
    lab.start_as(&gated(2, &[7, 3, 7])).expect("it starts");
    assert_eq!(lab.state.jobs[&JobNumber(1)].spec.pulses, [PulseNumber(3), PulseNumber(7)], "sorted, and each once");
    let cleared = clear(&mut lab, &[3], false).expect("it is defined");
    assert_eq!((cleared[0].cleared, &cleared[0].jobs[..]), (true, &[JobNumber(1)][..]));
    let (_, whole) = desired(&lab.state, &machine("node-1"), &[]);
    assert_eq!(whole.pulses, [(PulseNumber(7), pulse(1, 1))]);
    set(&mut lab, 3, pulse(5, 5));
    let (_, whole) = desired(&lab.state, &machine("node-1"), &[]);
    assert_eq!(whole.pulses.len(), 2, "the job has it still, so it is gated again");
    assert_eq!(clear(&mut lab, &[], true).map(|cleared| cleared.len()), Ok(2));
    assert_eq!(clear(&mut lab, &[], true).map(|cleared| cleared.len()), Ok(0), "there is nothing left");
    assert_eq!(lab.replayed(), lab.state);
}

#[test]
fn a_job_that_runs_gets_other_pulses_with_its_orders() {
    let mut lab = Lab::with(2);
    (1..=2).for_each(|number| drop(set(&mut lab, number, pulse(20, 30))));
    lab.start_as(&gated(4, &[1])).expect("it starts");
    lab.report(1, 1, ProcessState::Finished);
    let on = lab.process(1, 2).machine.clone();
    lab.heartbeat(on.as_str(), generation(&lab, on.as_str()));
    change(&mut lab, 1, &[2]).expect("it runs");
    let told = update(&lab, on.as_str()).expect("its processes change");
    let orders = &told.desired.orders[0];
    assert_eq!(orders.spec.pulses, [PulseNumber(2)]);
    assert!(orders.processes.iter().all(|order| order.process != ProcessNumber(1)), "who has ended is not told");
    assert_eq!(told.desired.pulses, [(PulseNumber(2), pulse(20, 30))]);
    let before = lab.state.clone();
    change(&mut lab, 1, &[2]).expect("it has it");
    assert_eq!(lab.state, before, "the same again changes nothing");
    change(&mut lab, 1, &[]).expect("none is a list too");
    assert!(lab.state.jobs[&JobNumber(1)].spec.pulses.is_empty());
    assert_eq!(lab.replayed(), lab.state);
}

#[test]
fn an_update_in_parts_has_the_pulses_in_each() {
    let mut lab = Lab::with(1);
    set(&mut lab, 3, pulse(20, 30));
    lab.start_as(&gated(20_000, &[3])).expect("it starts");
    let (_, whole) = desired(&lab.state, &machine("node-1"), &[]);
    let parts = whole.split();
    assert!(parts.len() > 1 && parts.iter().all(|part| part.pulses.len() == 1 && part.fits()));
    assert_eq!(parts.iter().flat_map(|part| &part.orders).map(|orders| orders.processes.len()).sum::<usize>(), 20_000);
}

#[test]
fn what_can_not_be_gated_is_said() {
    let mut lab = Lab::with(1);
    let text = |result: Result<(), Refusal>| result.expect_err("it is refused").to_string();
    assert_eq!(
        text(lab.start_as(&gated(1, &[3])).map(drop)),
        "start high-io: pulse 3 is not defined; \
         `muster pulse set 3 --block 2s --free 3s` defines it, `muster pulse list` shows all"
    );
    assert_eq!(
        text(lab.start_as(&gated(1, &[256])).map(drop)),
        "start high-io: there is no pulse 256: pulses are numbered 0 to 255; give a number of 0 to 255"
    );
    (0..9).for_each(|number| drop(set(&mut lab, number, pulse(2, 3))));
    let nine: Vec<u32> = (0..9).collect();
    assert_eq!(
        text(lab.start_as(&gated(1, &nine)).map(drop)),
        "start high-io: 9 pulses are given, and a job may have 8; give fewer; a job is free when all of its pulses are"
    );
    assert!(text(change(&mut lab, 1, &[1])).starts_with("change job 1: run 1 has no jobs yet"));
    lab.start_as(&gated(1, &nine[..8])).expect("eight are taken");
    assert!(text(change(&mut lab, 1, &nine)).contains("a job may have 8"));
    assert!(text(change(&mut lab, 1, &[77])).contains("pulse 77 is not defined"));
    assert!(text(clear(&mut lab, &[77], false).map(drop)).starts_with("clear pulse 77: pulse 77 is not defined"));
    assert!(text(clear(&mut lab, &[], false).map(drop)).contains("nothing was named"));
    lab.report(1, 1, ProcessState::Finished);
    assert!(text(change(&mut lab, 1, &[1])).starts_with("change job 1: all of its processes have ended"));
}
