//! The main path, against a real bus with scripted services: hello, start, running, stop, ends, logs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{World, at, id, orders, processes_of, stops};
use muster_bus::{Bucket, Log};
use muster_proto::v1::{self, AgentRefusal, ProcessState, Verdict, agent_command, report};
use tokio::io::AsyncReadExt;

#[tokio::test(flavor = "multi_thread")]
async fn hello_is_said_to_both_in_order_and_the_first_epoch_is_fenced() {
    let mut world = World::new().await;
    world.start_agent();
    world.wait_up().await;
    {
        let script = world.script();
        assert_eq!(
            script.hellos.iter().map(|hello| hello.0.as_str()).collect::<Vec<_>>(),
            ["machine-lifecycle", "scheduler"]
        );
        let inventory = script.hellos[0].1.inventory.as_ref().unwrap();
        assert!(inventory.resources.iter().any(|resource| resource.id == "disk-disk1"), "{inventory:?}");
        assert!(inventory.resources.iter().all(|r| r.kind() != v1::ResourceKind::Disk || r.device_type == "directory"));
    }
    world
        .wait("the first epoch is fenced", |script| {
            script
                .reports
                .iter()
                .any(|report| matches!(&report.kind, Some(report::Kind::Fence(fence)) if fence.epoch == 1))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hello_begins_anew_when_one_of_an_older_connection_was_granted_an_incarnation_behind_it() {
    let mut world = World::new().await;
    world.script().late_hellos = 2;
    world.start_agent();
    world.wait_up().await;
    assert_eq!(world.script().incarnation, 5, "two that nobody speaks with, and three that were answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_starts_runs_stops_and_is_reported() {
    let mut world = World::new().await;
    world.start_agent();
    world.wait_up().await;
    let module = world.ping_module().await;
    let job = orders(&module, 1, 1..=5, &[]);
    let reply = world.update(vec![job.clone()], vec![]).await;
    assert_eq!((reply.refusal(), reply.refused.len()), (AgentRefusal::Unspecified, 0), "{reply:?}");
    world.wait("all run", |script| processes_of(script, ProcessState::Running) == 5).await;
    let pid = world.states()[&id(1, 1)].pid;
    let shown = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(shown.starts_with("ping:00010001"), "{shown}");
    world.wait("live processes are said", |script| script.heartbeats.last().unwrap().1.processes_live == 5).await;
    world
        .wait("samples come", |script| {
            script.samples.iter().any(|batch| {
                batch.layouts.iter().any(|layout| {
                    layout.id.is_some() && layout.metrics[0].name == "done_bytes" && layout.module == "ping"
                })
            })
        })
        .await;

    // The same order again starts nothing again.
    world.update(vec![job.clone()], vec![]).await;
    world.update(vec![stops(job, 5_000)], vec![]).await;
    world.wait("all finished", |script| processes_of(script, ProcessState::Finished) == 5).await;
    let states = world.states();
    assert!(
        states.values().all(|report| report.verdict() == Verdict::Pass && report.exited && report.exit_status == 0)
    );
    assert_eq!(processes_of(&world.script(), ProcessState::Fip), 5);
    assert_eq!(processes_of(&world.script(), ProcessState::Running), 5, "none ran twice");
    let finals = |script: &common::Script| {
        script
            .reports
            .iter()
            .filter(|r| matches!(&r.kind, Some(report::Kind::Final(f)) if f.totals[0].value == 7.0))
            .count()
    };
    assert_eq!(finals(&world.script()), 5);

    world
        .wait("logs are kept", |script| {
            script.reports.iter().filter(|r| matches!(&r.kind, Some(report::Kind::Artifact(_)))).count() == 5
        })
        .await;
    let log = read(world.bus.log(id(1, 1), &common::machine()).await.unwrap().unwrap()).await;
    assert!(log.contains("# module ping 1") && log.ends_with("begins\n"), "{log}");
    for process in 1..=5 {
        let id = id(1, process);
        let found = read(world.bus.log(id, &common::machine()).await.unwrap().unwrap()).await;
        let last = read(world.bus.last_log(id.run, id.dpid).await.unwrap().unwrap()).await;
        assert!(found.contains(&format!("dpid {} attempt 1", id.dpid)), "{found}");
        assert_eq!(found, last);
    }
    let objects = world.bus.list_objects(Bucket::Logs).await.unwrap();
    assert!(objects.len() < 5 && objects.contains(&"bundle-1-1-node-1-0".to_owned()), "{objects:?}");

    let read = v1::ReadLog { id: Some(id(1, 1).into()), from: 2, limit: 6 };
    let reply = world.command("cli/test", "logs", agent_command::Kind::ReadLog(read), Default::default()).await;
    let part = reply.log.unwrap();
    assert_eq!((part.data.as_ref(), part.complete), (&log.as_bytes()[2..8], true));

    world.update(vec![], (1..=5).map(|process| id(1, process)).collect()).await;
    let known = world
        .command("scheduler/a", "inventory", agent_command::Kind::ListKnown(v1::ListKnown {}), world.authority(1))
        .await;
    assert!(known.processes.is_empty(), "{known:?}");
    muster_testkit::wait_until("directories go", common::LIMIT, || !world.work(id(1, 5)).exists()).unwrap();
    let batches = world.script().batches.clone();
    assert!(batches.is_sorted() && batches.windows(2).all(|pair| pair[0] != pair[1]), "{batches:?}");
}

async fn read(log: Log) -> String {
    match log {
        Log::Whole(mut object) => {
            let mut text = String::new();
            object.read_to_string(&mut text).await.unwrap();
            text
        }
        Log::Bundled(data) => String::from_utf8(data.to_vec()).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_are_what_the_processes_made_of_them() {
    let mut world = World::new().await;
    world.start_agent();
    world.wait_up().await;
    let module = world.ping_module().await;
    let lines = world.module(b"#!/bin/sh\nexit 3\n").await;
    let mut missing = module.clone();
    missing.artifacts[0].sha256 = "0".repeat(64);
    let mut forged = module.clone();
    forged.artifacts[0].sha256 = "1".repeat(64);
    world.bus.put_object(Bucket::Modules, &"1".repeat(64), &mut &b"other"[..]).await.unwrap();
    let jobs = vec![
        orders(&lines, 1, 1..=1, &[]),
        orders(&missing, 2, 1..=1, &[]),
        orders(&forged, 3, 1..=1, &[]),
        orders(&module, 4, 1..=1, &[("ignore_stop", "1")]),
        orders(&module, 5, 1..=1, &[("log", "1")]),
    ];
    world.update(jobs.clone(), vec![]).await;
    world.wait("two run", |script| processes_of(script, ProcessState::Running) >= 1).await;
    world.update(vec![stops(jobs[3].clone(), 500)], vec![]).await;
    world
        .wait("all ended", |script| {
            processes_of(script, ProcessState::Dead) + processes_of(script, ProcessState::Finished) == 5
        })
        .await;
    let states = world.states();
    let end = |job| {
        let report = &states[&id(job, 1)];
        (report.state(), report.verdict(), report.exited.then_some(report.exit_status), report.reason.clone())
    };
    assert_eq!(end(1), (ProcessState::Dead, Verdict::Error, Some(3 << 8), "exited with 3".into()));
    assert!(end(2).3.contains("not in the object store") && end(2).2.is_none(), "{:?}", end(2));
    assert!(end(3).3.contains("digest") && end(3).0 == ProcessState::Dead, "{:?}", end(3));
    assert!(end(4).3.contains("past its grace") && end(4).2 == Some(9), "{:?}", end(4));
    assert_eq!(end(5).0, ProcessState::Finished);
    assert!(end(5).3.contains("log over its limit"), "{:?}", end(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_terms_epochs_incarnations_and_placements_have_no_effect() {
    let mut world = World::new().await;
    world.start_agent();
    world.wait_up().await;
    let module = world.ping_module().await;
    let update = |world: &World| {
        let generation = world.script().jobs.generation.unwrap();
        let next = Some(at(generation.sequence + 1));
        let jobs = vec![orders(&module, 9, 1..=1, &[])];
        agent_command::Kind::UpdateJobs(v1::UpdateJobs {
            builds_on: Some(generation),
            generation: next,
            jobs,
            ..Default::default()
        })
    };
    let send = async |authority| world.command("scheduler/a", "jobs", update(&world), authority).await.refusal();
    let generation = world.script().jobs.generation;
    let nothing = v1::UpdateJobs { builds_on: generation, generation, ..Default::default() };
    world.command("scheduler/a", "jobs", agent_command::Kind::UpdateJobs(nothing), world.authority(3)).await;
    assert_eq!(send(world.authority(2)).await, AgentRefusal::OldTerm);
    let mut old = world.authority(3);
    old.epoch.0 -= 1;
    assert_eq!(send(old).await, AgentRefusal::OldEpoch);
    let mut other = world.authority(3);
    other.incarnation.0 -= 1;
    assert_eq!(send(other).await, AgentRefusal::OldIncarnation);
    let mut stale = orders(&module, 9, 1..=1, &[]);
    stale.machine_generation = Some(at(4));
    let kind = agent_command::Kind::UpdateJobs(v1::UpdateJobs {
        builds_on: Some(at(5)),
        generation: Some(at(6)),
        jobs: vec![stale],
        ..Default::default()
    });
    let reply = world.command("scheduler/a", "jobs", kind, world.authority(3)).await;
    assert_eq!(reply.refused[0].refusal(), AgentRefusal::Stale);
    assert_eq!(processes_of(&world.script(), ProcessState::Running), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_higher_epoch_ends_everything_older_and_is_reported() {
    let mut world = World::new().await;
    world.start_agent();
    world.wait_up().await;
    let module = world.ping_module().await;
    world.update(vec![orders(&module, 1, 1..=4, &[("fork", "1"), ("ignore_stop", "1")])], vec![]).await;
    world.wait("all run", |script| processes_of(script, ProcessState::Running) == 4).await;
    let orphan =
        || std::fs::read_to_string(world.work(id(1, 1)).join("orphan")).unwrap().trim().parse::<u32>().unwrap();
    let orphan = orphan();
    assert!(muster_testkit::is_alive(orphan));
    let desired = v1::MachineDesired { epoch: 2, generation: Some(at(7)), ..Default::default() };
    let mut authority = world.authority(1);
    authority.epoch.0 = 2;
    world.script().machine = desired.clone();
    let reply = world.command("machine-lifecycle/a", "machine", agent_command::Kind::Machine(desired), authority).await;
    assert_eq!(reply.generation, Some(at(7)));
    world
        .wait("the fence is reported", |script| {
            script
                .reports
                .iter()
                .any(|report| matches!(&report.kind, Some(report::Kind::Fence(fence)) if fence.epoch == 2))
        })
        .await;
    assert_eq!(processes_of(&world.script(), ProcessState::Dead), 4, "reported before the fence");
    muster_testkit::wait_until("the double-forked child is gone", common::LIMIT, || !muster_testkit::is_alive(orphan))
        .unwrap();
    world.wait("the fence is in heartbeats", |script| script.heartbeats.last().unwrap().1.fenced_epoch == 2).await;
    // Orders of the old epoch start nothing.
    let mut late = orders(&module, 2, 1..=1, &[]);
    late.machine_generation = Some(at(7));
    let reply = world.update(vec![late], vec![]).await;
    assert_eq!(reply.refused[0].refusal(), AgentRefusal::OldEpoch, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_refuses_starts_and_protection_stops_what_runs() {
    let mut world = World::new().await;
    world.start_agent();
    world.wait_up().await;
    let module = world.ping_module().await;
    world.update(vec![orders(&module, 1, 1..=2, &[])], vec![]).await;
    world.wait("all run", |script| processes_of(script, ProcessState::Running) == 2).await;
    let desired = v1::MachineDesired {
        epoch: 1,
        generation: Some(at(7)),
        protected: vec!["disk-disk1".into()],
        draining: true,
        ..Default::default()
    };
    world.script().machine = desired.clone();
    world
        .command("machine-lifecycle/a", "machine", agent_command::Kind::Machine(desired.clone()), world.authority(1))
        .await;
    world.wait("what ran there finished", |script| processes_of(script, ProcessState::Finished) == 2).await;
    assert!(world.states().values().all(|report| report.reason.starts_with("protected")));
    let mut late = orders(&module, 2, 1..=1, &[]);
    late.machine_generation = Some(at(7));
    assert_eq!(world.update(vec![late.clone()], vec![]).await.refused[0].refusal(), AgentRefusal::Draining);
    let open = v1::MachineDesired { draining: false, generation: Some(at(8)), ..desired };
    world.script().machine = open.clone();
    world.command("machine-lifecycle/a", "machine", agent_command::Kind::Machine(open), world.authority(1)).await;
    late.machine_generation = Some(at(8));
    assert_eq!(world.update(vec![late], vec![]).await.refused[0].refusal(), AgentRefusal::Protected);
}
