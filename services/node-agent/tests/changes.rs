//! What changes for processes that run, over a real bus and a real socket: parameters, pulses, and gates of modules without the SDK.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{LIMIT, World, id, orders, processes_of};
use muster_module_protocol::{AgentMessage, decode_line};
use muster_proto::v1::{self, ProcessState};

/// What the only process was told that it wrote down.
fn heard(world: &World) -> Vec<AgentMessage> {
    let text = std::fs::read_to_string(world.work(id(1, 1)).join("heard")).unwrap_or_default();
    text.lines().map(|line| decode_line(line.as_bytes()).unwrap().unwrap()).collect()
}

fn set(pulses: &[u8], rate: &str) -> AgentMessage {
    let parameters = [("depth".to_owned(), "2".to_owned()), ("rate".to_owned(), rate.to_owned())];
    AgentMessage::Set { pulses: pulses.to_vec(), parameters: parameters.into() }
}

/// Waits until it has heard exactly this.
fn wait_heard(world: &World, wanted: &[AgentMessage]) {
    let waited = muster_testkit::wait_until("it hears it", LIMIT, || heard(world).len() >= wanted.len());
    waited.unwrap_or_else(|error| panic!("{error}: {:?}", heard(world)));
    assert_eq!(heard(world), wanted);
}

fn job(module: &v1::Module, pulses: &[u32], rate: &str) -> v1::JobOrders {
    let mut job = orders(module, 1, 1..=1, &[("depth", "2"), ("rate", rate)]);
    job.spec.as_mut().unwrap().pulses = pulses.to_vec();
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_hears_of_a_change_once_and_again_on_each_connection() {
    let mut world = World::new().await;
    world.start_agent();
    world.wait_up().await;
    let module = world.ping_module().await;
    world.update(vec![job(&module, &[], "1")], vec![]).await;
    world.wait("it runs", |script| processes_of(script, ProcessState::Running) == 1).await;
    // What does not change is not said; what changes at once is one word.
    world.update(vec![job(&module, &[], "1")], vec![]).await;
    for _ in 0..2 {
        world.update(vec![job(&module, &[3], "2")], vec![]).await;
    }
    wait_heard(&world, &[set(&[3], "2")]);
    world.update(vec![job(&module, &[3], "3")], vec![]).await;
    wait_heard(&world, &[set(&[3], "2"), set(&[3], "3")]);

    // A change of which only the next life of the agent hears, by its hello.
    world.kill_agent();
    world.script().jobs.jobs = vec![job(&module, &[3], "4")];
    world.start_agent();
    let said = || heard(&world).last() == Some(&set(&[3], "4"));
    muster_testkit::wait_until("it hears of it", LIMIT, said).unwrap();
    // A life without one: it may not have been heard before, so it is said again.
    let before = heard(&world).len();
    world.kill_agent();
    world.start_agent();
    let said = || heard(&world).len() > before;
    muster_testkit::wait_until("it is said again", LIMIT, said).unwrap();
    assert_eq!(heard(&world)[before..], [set(&[3], "4")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_starts_later_has_the_newest_in_its_context() {
    let mut world = World::new().await;
    world.start_agent();
    world.wait_up().await;
    let module = world.ping_module().await;
    world.update(vec![job(&module, &[], "1")], vec![]).await;
    let mut both = job(&module, &[3], "2");
    both.processes.push(v1::ProcessOrder { process: 2, ..both.processes[0].clone() });
    world.update(vec![both], vec![]).await;
    world.wait("both run", |script| processes_of(script, ProcessState::Running) == 2).await;
    wait_heard(&world, &[set(&[3], "2")]);
    let text = std::fs::read_to_string(world.work(id(1, 2)).join("context.json")).unwrap();
    let context: muster_module_protocol::Context = serde_json::from_str(&text).unwrap();
    assert_eq!((context.parameters["rate"].as_str(), &context.pulses[..]), ("2", &[3][..]));
    assert!(!world.work(id(1, 2)).join("heard").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_of_a_module_without_the_sdk_opens_when_its_pulses_are_free() {
    let mut world = World::new().await;
    world.start_agent();
    world.wait_up().await;
    let module = world.ping_module().await;
    let update = |block: Duration, free: Duration| {
        let mut gated = orders(&module, 1, 1..=1, &[("gate", "1")]);
        gated.spec.as_mut().unwrap().pulses = vec![3];
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap();
        let pulse =
            v1::Pulse { number: 3, block_ns: nanoseconds(block), free_ns: nanoseconds(free), ..Default::default() };
        v1::UpdateJobs { jobs: vec![gated], pulses: vec![pulse], ..Default::default() }
    };
    let (long, short) = (Duration::from_secs(3600), Duration::from_millis(1));
    world.update_all(update(long, short)).await;
    world.wait("it runs", |script| processes_of(script, ProcessState::Running) == 1).await;
    let has_gone_on = |script: &common::Script| {
        let of_process = |batch: &&v1::SampleBatch| batch.layouts.iter().any(|layout| layout.id.is_some());
        script.samples.iter().filter(of_process).count() >= 2
    };
    world.wait("it has asked, and gone on answering", has_gone_on).await;
    assert_eq!(heard(&world), []);
    world.update_all(update(short, long)).await;
    wait_heard(&world, &[AgentMessage::Open { n: 7 }]);
}
