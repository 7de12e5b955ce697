//! Disks that come and go, as directories that stand for them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Script, World, id, orders, processes_of};
use muster_proto::v1::{ProcessState, Verdict, report};

/// Whether each report of an inventory names the disk, in order.
fn inventories(script: &Script) -> Vec<bool> {
    let inventory = |report: &muster_proto::v1::Report| match &report.kind {
        Some(report::Kind::Inventory(said)) => {
            let inventory = said.inventory.as_ref().unwrap();
            assert!(
                inventory.resources.iter().any(|resource| resource.id == "memory"),
                "it is the whole: {inventory:?}"
            );
            Some(inventory.resources.iter().any(|resource| resource.id == "disk-disk1"))
        }
        _ => None,
    };
    script.reports.iter().filter_map(inventory).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_goes_is_said_and_ends_what_runs_on_it() {
    let mut world = World::new().await;
    world.start_agent();
    world.wait_up().await;
    let module = world.ping_module().await;
    let mut elsewhere = orders(&module, 2, 1..=1, &[]);
    elsewhere.processes[0].resources = vec!["memory".into()];
    world.update(vec![orders(&module, 1, 1..=2, &[]), elsewhere], vec![]).await;
    world.wait("all run", |script| processes_of(script, ProcessState::Running) == 3).await;
    let hellos = world.script().hellos.len();

    let disk = world.home.path().join("disk1");
    std::fs::remove_dir(&disk).unwrap();
    world.wait("the disk is gone", |script| inventories(script) == [false]).await;
    world.wait("what ran on it is dead", |script| processes_of(script, ProcessState::Dead) == 2).await;
    let states = world.states();
    for process in [1, 2] {
        let end = &states[&id(1, process)];
        assert_eq!((end.verdict(), end.reason.as_str()), (Verdict::Error, "disk-disk1 is gone"), "{end:?}");
    }
    assert_eq!(states[&id(2, 1)].state(), ProcessState::Running, "what runs elsewhere goes on");

    // Nothing is started on what is not there.
    let reply = world.update(vec![orders(&module, 3, 1..=1, &[])], vec![]).await;
    assert_eq!(reply.refused.len(), 1, "{reply:?}");

    std::fs::create_dir(&disk).unwrap();
    world.wait("the disk is back", |script| inventories(script) == [false, true]).await;
    let reply = world.update(vec![orders(&module, 4, 1..=1, &[])], vec![]).await;
    assert!(reply.refused.is_empty(), "{reply:?}");
    world.wait("it runs on the disk", |script| processes_of(script, ProcessState::Running) == 4).await;
    assert_eq!(world.script().hellos.len(), hellos, "a change of devices needs no hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_went_while_no_agent_looked_ends_what_runs_on_it() {
    let mut world = World::new().await;
    world.start_agent();
    world.wait_up().await;
    let module = world.ping_module().await;
    world.update(vec![orders(&module, 1, 1..=1, &[])], vec![]).await;
    world.wait("it runs", |script| processes_of(script, ProcessState::Running) == 1).await;
    world.kill_agent();
    // The machine comes back with another disk in its place.
    let disk = world.home.path().join("disk1");
    std::fs::rename(&disk, world.home.path().join("away")).unwrap();
    world.start_agent_on("disk2");
    world.wait("it is dead", |script| processes_of(script, ProcessState::Dead) == 1).await;
    assert_eq!(world.states()[&id(1, 1)].reason, "disk-disk1 is gone");
}
