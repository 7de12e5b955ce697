//! Starting a job again: what is the same, and what is in the way.

use std::sync::Arc;

use super::super::event::{JobStarted, Placement};
use super::super::input::Again;
use super::super::job::StartSpec;
use super::*;

fn again(job: u32) -> Start {
    Start { module: String::new(), again: Some(Again { run: None, job: JobNumber(job), archived: None }), ..start(0) }
}

/// Where each process of a job is: machine and resources.
fn places(lab: &Lab, job: u32) -> Vec<(u32, MachineId, Vec<ResourceId>)> {
    let of_job = lab.state.processes_of(JobNumber(job));
    of_job.map(|(dpid, process)| (dpid.process.0, process.machine.clone(), process.resources.clone())).collect()
}

fn end_all(lab: &mut Lab, job: u32, processes: u32) {
    (1..=processes).for_each(|process| lab.report(job, process, ProcessState::Finished));
}

#[test]
fn the_same_processes_run_in_the_same_places_with_the_same_seed_and_parameters() {
    let mut lab = Lab::with(3);
    let first = Start { parameters: vec![("block".into(), "8KiB".into())], selector: "node-*".into(), ..start(7) };
    let begun = lab.start_as(&first).expect("it starts");
    // What runs beside it would have moved a new start elsewhere.
    lab.start_as(&Start { selector: "node-1".into(), ..start(5) }).expect("it starts");
    let repeated = lab.start_as(&again(1)).expect("it starts again");
    assert_eq!((repeated.job, repeated.seed), (JobNumber(3), begun.seed));
    assert_eq!(places(&lab, 3), places(&lab, 1));
    let (then, now) = (&lab.state.jobs[&JobNumber(1)], &lab.state.jobs[&JobNumber(3)]);
    assert_eq!((&now.spec.parameters, &now.selector), (&then.spec.parameters, &then.selector));
    end_all(&mut lab, 1, 7);
    lab.start_as(&again(1)).expect("one that has ended, too");
    lab.start_as(&again(4)).expect("and one that was started again itself");
    assert_eq!(places(&lab, 5), places(&lab, 1));
}

#[test]
fn gangs_and_processes_that_were_placed_again_keep_their_places() {
    let mut lab = Lab::with(4);
    let module = Module { roles: vec!["server".into(), "client".into()], ..high_io() };
    lab.give(Input::AddModule(Box::new(module))).expect("it is a good module");
    lab.start(8);
    let moved = lab.id(1, 3);
    let refused = super::super::input::RefusedProcess {
        id: moved,
        refusal: super::super::input::AgentRefusal::Stale,
        detail: String::new(),
    };
    let from = lab.process(1, 3).machine.clone();
    lab.give(Input::Refused { machine: from, refused: vec![refused] }).expect("refusals are taken");
    lab.start_as(&again(1)).expect("it starts again");
    assert_eq!(places(&lab, 2), places(&lab, 1));
    let gangs = |job| lab.state.jobs[&JobNumber(job)].gangs.clone();
    assert_eq!(gangs(2), gangs(1));
}

#[test]
fn a_dry_run_says_where_and_starts_nothing() {
    let mut lab = Lab::with(2);
    lab.start(4);
    let said = lab.start_as(&Start { dry_run: true, ..again(1) }).expect("it would start");
    assert_eq!((said.job, said.placements.iter().map(|p| p.count).sum::<u32>()), (JobNumber(0), 4));
    assert!(!said.loads.is_empty() && lab.last.is_empty());
}

#[test]
fn what_is_in_the_way_is_named() {
    let mut lab = Lab::with(3);
    lab.start(6);
    let why = |lab: &mut Lab| lab.start_as(&again(1)).expect_err("something is in the way").why;
    lab.machines(vec![("node-2", Fact::HealthChanged { down: true })]);
    let protected =
        Fact::ProtectionChanged { protected: ["disk-0".to_owned()].into(), released: BTreeSet::new(), machine: false };
    lab.machines(vec![("node-3", protected)]);
    let said = why(&mut lab);
    assert!(said.contains("node-2 is down") && said.contains("node-3 is without disk-0"), "{said}");
    assert!(!said.contains("node-1"), "{said}");
    let mut other = high_io();
    other.artifacts[0].sha256 = "b".repeat(64);
    other.version = "2.0".into();
    lab.give(Input::AddModule(Box::new(other))).expect("it is a good module");
    assert!(why(&mut lab).contains("(version 2.0) than then (version 1.0)"), "{}", why(&mut lab));
    lab.give(Input::RemoveModule("high-io".into())).expect("it may go");
    assert!(lab.start_as(&again(1)).is_err());
    let unknown = lab.start_as(&again(9)).expect_err("there is none");
    assert_eq!(unknown.code, RefusalCode::NotFound);
    let other_run = Start {
        again: Some(Again { run: Some(muster_model::RunId(4)), job: JobNumber(1), archived: None }),
        ..again(1)
    };
    let refusal = lab.start_as(&other_run).expect_err("another run");
    assert!(refusal.why.contains("run 4") && refusal.why.contains("run 1"), "{refusal}");
}

#[test]
fn a_job_of_a_run_that_is_over_starts_again_as_the_archive_has_it() {
    let mut lab = Lab::with(3);
    lab.start(6);
    let Some(Event::JobStarted(then)) = lab.last.first().cloned() else { panic!("it started") };
    let places = |started: &JobStarted| {
        let place =
            |p: &Placement| (p.machine.clone(), p.first, p.count, p.resources.iter().cloned().collect::<Vec<_>>());
        started.placements.iter().map(place).collect::<Vec<_>>()
    };
    let archived = Some(Arc::new(JobStarted {
        spec: Arc::new(StartSpec { run: muster_model::RunId(4), job: JobNumber(9), ..(*then.spec).clone() }),
        ..then.clone()
    }));
    let asked = Again { run: Some(muster_model::RunId(4)), job: JobNumber(9), archived };
    lab.start_as(&Start { again: Some(asked), ..again(1) }).expect("it starts");
    let Some(Event::JobStarted(now)) = lab.last.first().cloned() else { panic!("it started again") };
    assert_eq!(places(&now), places(&then));
    assert_eq!((now.spec.run, now.spec.job, now.spec.seed), (then.spec.run, JobNumber(2), then.spec.seed));
}
