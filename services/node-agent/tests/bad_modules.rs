//! Bad modules are contained: each ends, or is refused, as it deserves, and the good ones beside them notice nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{World, id, orders, processes_of, stops};
use muster_proto::v1::{self, ProcessState, Verdict, report};

/// What was ever reported of a process, in order.
fn history(world: &World, job: u32, process: u32) -> Vec<ProcessState> {
    let script = world.script();
    let of = |report: &v1::Report| match &report.kind {
        Some(report::Kind::Process(it)) if it.id == Some(id(job, process).into()) => Some(it.state()),
        _ => None,
    };
    script.reports.iter().filter_map(of).collect()
}

/// Jobs: 1 is good, each of the others bad in one way.
const JOBS: [&[(&str, &str)]; 7] = [
    &[],
    &[("liar", "1")],
    &[("silent", "1")],
    &[("nonsense", "1")],
    &[("flood", "1")],
    &[("ignore_stop", "1"), ("fork", "1")],
    &[("mute", "1")],
];

#[tokio::test(flavor = "multi_thread")]
async fn bad_modules_are_contained_and_the_good_ones_beside_them_go_on() {
    let mut world = World::new().await;
    world.start_agent();
    world.wait_up().await;
    let module = world.ping_module().await;
    let jobs: Vec<v1::JobOrders> = (1..)
        .zip(JOBS)
        .map(|(job, parameters)| orders(&module, job, 1..=if job == 1 { 3 } else { 1 }, parameters))
        .collect();
    world.update(vec![jobs[0].clone()], vec![]).await;
    world.wait("the good ones run", |script| processes_of(script, ProcessState::Running) == 3).await;
    world.update(jobs[1..].to_vec(), vec![]).await;

    let reported = |job, state| {
        move |script: &common::Script| {
            script.reports.iter().any(|report| match &report.kind {
                Some(report::Kind::Process(it)) => it.id == Some(id(job, 1).into()) && it.state() == state,
                _ => false,
            })
        }
    };
    // It does not answer any more.
    world.wait("the silent one is mia", reported(3, ProcessState::Mia)).await;
    // It fills its log: ended, and the disk is not full.
    world
        .wait("the flood ends", |script| {
            reported(5, ProcessState::Finished)(script) || reported(5, ProcessState::Dead)(script)
        })
        .await;
    assert!(world.states()[&id(5, 1)].reason.contains("log over its limit"), "{:?}", world.states()[&id(5, 1)]);
    // It said NaN and more such things, and runs; nothing of that was measured.
    world.wait("the one that talks nonsense runs", reported(4, ProcessState::Running)).await;
    world.wait("what is right of it is measured", |script| measured(script, 4, "done_bytes")).await;
    assert!(!measured(&world.script(), 4, "wrong_bytes"));
    // Who never answered never ran; the liar neither, and whom it named was never disturbed.
    for job in [2, 7] {
        assert!(!history(&world, job, 1).contains(&ProcessState::Running), "{:?}", history(&world, job, 1));
    }

    let orphan = std::fs::read_to_string(world.work(id(6, 1)).join("orphan")).unwrap().trim().parse::<u32>().unwrap();
    assert!(muster_testkit::is_alive(orphan));
    let all: Vec<v1::JobOrders> = jobs.iter().map(|job| stops(job.clone(), 1_000)).collect();
    world.update(all, vec![]).await;
    world
        .wait("all ended", |script| {
            processes_of(script, ProcessState::Dead) + processes_of(script, ProcessState::Finished) == 9
        })
        .await;
    let states = world.states();
    for process in 1..=3 {
        let good = &states[&id(1, process)];
        assert_eq!((good.state(), good.verdict()), (ProcessState::Finished, Verdict::Pass), "{good:?}");
        assert!(!history(&world, 1, process).contains(&ProcessState::Mia));
    }
    assert_eq!(states[&id(4, 1)].verdict(), Verdict::Pass);
    for job in [2, 3, 6, 7] {
        let bad = &states[&id(job, 1)];
        assert_eq!((bad.state(), bad.verdict()), (ProcessState::Dead, Verdict::Error), "{bad:?}");
        assert!(bad.reason.contains("past its grace"), "{bad:?}");
    }
    muster_testkit::wait_until("who forked away is gone", common::LIMIT, || !muster_testkit::is_alive(orphan)).unwrap();
}

/// Whether a metric of a job was ever in a sample.
fn measured(script: &common::Script, job: u32, name: &str) -> bool {
    let of = |layout: &v1::Layout| {
        layout.id == Some(id(job, 1).into()) && layout.metrics.iter().any(|metric| metric.name == name)
    };
    script.samples.iter().any(|batch| batch.layouts.iter().any(of))
}
