//! A killed agent ends no test and loses no exit status; nothing starts twice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;

use common::{World, id, orders, processes_of, stops};
use muster_proto::v1::{self, ProcessState, Verdict, report};
use muster_testkit::{Before, CrashPoint, Effects, is_alive};

/// Processes of the test.
const COUNT: u32 = 20;

fn pids(world: &World) -> BTreeMap<u32, u32> {
    world.states().into_iter().map(|(id, report)| (id.dpid.process.0, report.pid)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_ends_no_test_and_loses_no_exit_status() {
    let mut world = World::new().await;
    world.start_agent();
    world.wait_up().await;
    let module = world.ping_module().await;
    let job = orders(&module, 1, 1..=COUNT, &[]);
    world.update(vec![job.clone()], vec![]).await;
    world.wait("all run", |script| processes_of(script, ProcessState::Running) == COUNT as usize).await;
    let before = pids(&world);

    world.kill_agent();
    assert!(before.values().all(|pid| is_alive(*pid)), "they live without the agent");
    // Two of them end while nobody looks.
    for process in [1, 2] {
        let pid = rustix::process::Pid::from_raw(i32::try_from(before[&process]).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::ABORT).unwrap();
        muster_testkit::wait_until("it ends", common::LIMIT, || !is_alive(before[&process])).unwrap();
    }
    let hellos = world.script().hellos.len();
    world.start_agent();
    world.wait("the ends of both", |script| processes_of(script, ProcessState::Dead) == 2).await;
    world.wait("hello again", |script| script.hellos.len() >= hellos + 2).await;
    let states = world.states();
    for process in [1, 2] {
        let report = &states[&id(1, process)];
        assert_eq!(
            (report.exited, report.exit_status & 0x7f, report.verdict()),
            (true, 6, Verdict::Error),
            "{report:?}"
        );
    }
    world.wait("the others are live", |script| script.heartbeats.last().unwrap().1.processes_live == COUNT - 2).await;
    let incarnation = world.script().incarnation;
    assert_eq!(incarnation, 2, "one hello for each life");
    let known = world.script().hellos.last().unwrap().1.processes.clone();
    assert_eq!(known.len(), COUNT as usize);
    // The same orders again, as a scheduler repeats them: nothing starts twice.
    world.update(vec![job.clone()], vec![]).await;
    let rest = || world.states().into_values().filter(|report| report.state() != ProcessState::Dead);
    assert!(rest().all(|report| before[&report.id.unwrap().dpid.unwrap().process] == report.pid));
    assert!((3..=COUNT).all(|process| is_alive(before[&process])), "adopted, not started again");

    world.update(vec![stops(job, 10_000)], vec![]).await;
    world.wait("they finish", |script| processes_of(script, ProcessState::Finished) == COUNT as usize - 2).await;
    assert!(rest().all(|report| report.exited && report.exit_status == 0 && report.verdict() == Verdict::Pass));
    assert_eq!(processes_of(&world.script(), ProcessState::Mia), 0, "coming back took no ping");
    check_known_ends(&mut world).await;
    let batches = world.script().batches.clone();
    assert!(batches.is_sorted() && batches.windows(2).all(|pair| pair[0] != pair[1]), "{batches:?}");
}

/// What the agent knows of ends, asked and in a hello after another kill, is what it has reported, with the number of its last batch.
async fn check_known_ends(world: &mut World) {
    let list = v1::agent_command::Kind::ListKnown(v1::ListKnown {});
    let answer = world.command("scheduler/a", "inventory", list, world.authority(1)).await;
    assert_eq!(answer.processes.len(), COUNT as usize);
    let newest = answer.last_batch;
    world.wait("its last batch", |script| script.batches.last().is_some_and(|batch| batch.1 >= newest)).await;
    let reported = world.states();
    let is_reported = |known: &v1::KnownProcess| {
        let report = &reported[&known.id.unwrap().into()];
        let end = (report.state, report.verdict, report.exit_status, report.exited, &report.reason, report.epoch);
        assert_eq!(
            (known.state, known.verdict, known.exit_status, known.exited, &known.reason, known.epoch),
            end,
            "{known:?}"
        );
    };
    answer.processes.iter().for_each(is_reported);
    world.kill_agent();
    let hellos = world.script().hellos.len();
    world.start_agent();
    world.wait("hello once more", |script| script.hellos.len() >= hellos + 2).await;
    let hello = world.script().hellos.last().unwrap().1.clone();
    assert_eq!(hello.processes.len(), COUNT as usize);
    hello.processes.iter().for_each(is_reported);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_agent_had_surely_not_begun_is_begun_by_the_next() {
    let mut world = World::new().await;
    world.start_agent();
    world.wait_up().await;
    let (module, incarnation) = (world.ping_module().await, world.script().incarnation);
    // Its intent is on the disk by then, and the keeper was not asked.
    let before = Some(Before::Naming(format!("mkdir {}", world.work(id(1, 1)).display())));
    let point = CrashPoint { program: "muster-agent".into(), effects: Effects::OfMachine, before };
    let watch = world.agent.as_mut().unwrap().restart_to_crash(point).unwrap();
    world.wait("it is up again", |script| script.incarnation > incarnation).await;
    world.wait_up().await;
    let job = orders(&module, 1, 1..=1, &[]);
    world.script().jobs.jobs = vec![job.clone()];
    world.update(vec![job], vec![]).await;
    muster_testkit::wait_until("it is killed", common::LIMIT, || watch.killed_before().is_some()).unwrap();
    assert!(
        std::fs::read_to_string(world.state().join("intents.jsonl")).unwrap().contains("ping"),
        "the intent is there"
    );
    // Collected: one that is still ending has its state directory locked.
    world.kill_agent();
    world.start_agent();
    world.wait("it runs", |script| processes_of(script, ProcessState::Running) == 1).await;
    assert_eq!(processes_of(&world.script(), ProcessState::Dead), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_keeper_ends_no_test_and_is_replaced() {
    let mut world = World::new().await;
    world.start_agent();
    world.wait_up().await;
    let module = world.ping_module().await;
    let job = orders(&module, 1, 1..=3, &[]);
    world.update(vec![job.clone()], vec![]).await;
    world.wait("all run", |script| processes_of(script, ProcessState::Running) == 3).await;
    let before = pids(&world);
    kill_keeper(&world);
    let log = world.home.path().join("agent.log");
    let keepers = || std::fs::read_to_string(&log).unwrap().matches("started the keeper").count();
    muster_testkit::wait_until("a new keeper", common::LIMIT, || keepers() == 2).unwrap();
    world.update(vec![orders(&module, 2, 1..=1, &[])], vec![]).await;
    world.wait("a new one starts", |script| processes_of(script, ProcessState::Running) == 4).await;
    assert!(before.values().all(|pid| is_alive(*pid)));
    world.update(vec![stops(job, 10_000)], vec![]).await;
    world.wait("they finish", |script| processes_of(script, ProcessState::Finished) == 3).await;
    assert!((1..=3).all(|process| !world.states()[&id(1, process)].exited), "their status is not known, their word is");
}

fn kill_keeper(world: &World) {
    let state = world.state().to_string_lossy().into_owned();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        if line.contains("muster-keeper") && line.contains(&state) {
            let pid = entry.file_name().to_str().unwrap().parse().unwrap();
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_bus_ends_nothing_and_what_happened_meanwhile_is_reported_once() {
    let mut world = World::new().await;
    world.start_agent();
    world.wait_up().await;
    let module = world.ping_module().await;
    world.update(vec![orders(&module, 1, 1..=4, &[])], vec![]).await;
    world.wait("all run", |script| processes_of(script, ProcessState::Running) == 4).await;
    let hellos = world.script().hellos.len();
    world.nats.kill9();
    for process in 1..=4 {
        std::fs::write(world.work(id(1, process)).join("exit"), "5").unwrap();
    }
    let before = pids(&world);
    muster_testkit::wait_until("they end", common::LIMIT, || !before.values().any(|pid| is_alive(*pid))).unwrap();
    world.nats.restart().unwrap();
    world.wait("hello again", |script| script.hellos.len() >= hellos + 2).await;
    world.wait("the ends", |script| processes_of(script, ProcessState::Dead) == 4).await;
    assert!(world.states().values().all(|report| report.exit_status == 5 << 8));
    world
        .wait("logs", |script| {
            script.reports.iter().filter(|r| matches!(&r.kind, Some(report::Kind::Artifact(_)))).count() == 4
        })
        .await;
    assert_eq!(processes_of(&world.script(), ProcessState::Dead), 4, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_past_the_deadline_the_agent_ends_what_runs() {
    let mut world = World::new().await;
    let now = world.bus.now().0;
    let deadline_ns = now + 5_000_000_000;
    world.script().machine.holder =
        Some(v1::Holder { reservation: 3, user: "anna".into(), deadline_ns, ..Default::default() });
    world.start_agent();
    world.wait_up().await;
    let module = world.ping_module().await;
    world.update(vec![orders(&module, 1, 1..=2, &[])], vec![]).await;
    world.wait("all run", |script| processes_of(script, ProcessState::Running) == 2).await;
    world.script().answering = false;
    world.wait("what ran is ended", |script| processes_of(script, ProcessState::Dead) == 2).await;
    assert!(world.bus.now().0 > deadline_ns + 20_000_000_000);
    assert!(world.states().values().all(|report| report.reason.contains("deadline")));
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_that_a_killed_agent_had_still_to_remove_are_removed_by_the_next() {
    let mut world = World::new().await;
    world.start_agent();
    world.wait_up().await;
    let module = world.ping_module().await;
    world.update(vec![orders(&module, 1, 1..=1, &[])], vec![]).await;
    world.wait("it runs", |script| processes_of(script, ProcessState::Running) == 1).await;
    world.kill_agent();
    // As if it had been forgotten right before: nothing else is known of it.
    let (forgotten, live) = (world.work(id(1, 2)), world.work(id(1, 1)));
    std::fs::create_dir_all(forgotten.join("results")).unwrap();
    std::fs::write(forgotten.join("log"), "a line").unwrap();
    world.start_agent();
    muster_testkit::wait_until("it is removed", common::LIMIT, || !forgotten.exists()).unwrap();
    assert!(live.join("log").exists(), "that of a live process stays");

    // Where the journal can not be read to its end, nobody knows whose directories are whose: they stay.
    world.wait_up().await;
    world.kill_agent();
    std::fs::create_dir_all(&forgotten).unwrap();
    let path = world.state().join("intents.jsonl");
    let journal = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&journal[..], b"torn"].concat()).unwrap();
    let incarnation = world.script().incarnation;
    world.start_agent();
    world.wait("it is up again", |script| script.incarnation > incarnation).await;
    world.wait_up().await;
    assert!(forgotten.exists());
}
