//! Crashes, stopped leaders and a killed server: nothing that was answered is lost, and nothing is done twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use muster_bus::Bus;
use rustix::process::Signal;

use crate::child::{self, Process};
use crate::counter::Input;
use crate::harness::{Instance, command_id, connect, eventually, state, system};

const DEADLINE: Duration = Duration::from_secs(20);

/// Adds `tokens` one after the other, each again with the same id until it is answered. Returns what the answers said.
async fn add_all(bus: &Bus, tokens: std::ops::Range<u64>) -> BTreeMap<u64, String> {
    let mut answers = BTreeMap::new();
    for token in tokens {
        let (id, start) = (command_id(), Instant::now());
        loop {
            if let Some(answer) = child::add(bus, id, token).await {
                answers.insert(token, answer.source);
                break;
            }
            assert!(start.elapsed() < DEADLINE, "token {token} was not taken in time");
        }
    }
    answers
}

/// The state in the end, as a fresh instance folds it.
async fn end_state(bus: &Bus) -> crate::counter::State {
    let instance = Instance::start(bus, "end");
    let (_, handle) = instance.leading().await;
    eventually("everything is announced", async || state(&handle).await.unannounced.is_empty()).await;
    let state = state(&handle).await;
    instance.stop().await;
    state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_crash_point_gives_the_same_end_state() {
    let points =
        ["before_append", "before_ack", "after_append", "before_reply", "after_reply", "before_effect", "after_effect"];
    let (server, bus) = system().await;
    let mut token = 0;
    for point in points {
        for pass in [1, 3] {
            let mut crashing = Process::start(&server.url(), "crashing", Some(&format!("{point}:{pass}")));
            eventually("it leads", async || {
                child::add(&bus, command_id(), token).await.is_some() || crashing.has_ended()
            })
            .await;
            let standing_by = Process::start(&server.url(), "standing-by", None);
            add_all(&bus, token + 1..token + 6).await;
            eventually("it crashes", async || crashing.has_ended()).await;
            drop(standing_by);
            token += 10;
        }
    }
    let state = end_state(&bus).await;
    for base in (0..token).step_by(10) {
        for token in base + 1..base + 6 {
            assert_eq!(state.added.get(&token), Some(&1), "token {token}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_leader_answers_nothing_that_is_not_in_the_log_and_folds_again() {
    let (server, bus) = system().await;
    let first = Process::start(&server.url(), "first", None);
    let before = add_all(&bus, 0..20).await;
    let second = Process::start(&server.url(), "second", None);
    // Commands that wait in the stopped process, and are answered, or not, when it goes on.
    first.signal(Signal::STOP);
    let waiting: Vec<_> = (100..110)
        .map(|token| {
            let bus = bus.clone();
            tokio::spawn(async move { (token, child::add(&bus, command_id(), token).await) })
        })
        .collect();
    let instance_leads = Instant::now();
    let during = add_all(&bus, 20..40).await;
    assert!(instance_leads.elapsed() < Duration::from_secs(12), "it took {:?}", instance_leads.elapsed());
    let remaining = Duration::from_secs(8).saturating_sub(instance_leads.elapsed());
    tokio::time::sleep(remaining).await;
    first.signal(Signal::CONT);
    let after = add_all(&bus, 40..60).await;
    let mut answered = Vec::new();
    for task in waiting {
        let (token, answer) = task.await.expect("no panic");
        answered.extend(answer.map(|_| token));
    }
    drop(second);
    // The first one follows the log again, and leads when it is alone.
    let alone = add_all(&bus, 60..70).await;
    drop(first);
    let state = end_state(&bus).await;
    for token in before.keys().chain(during.keys()).chain(after.keys()).chain(alone.keys()).chain(&answered) {
        assert_eq!(state.added.get(token), Some(&1), "token {token}");
    }
    assert!(state.added.values().all(|count| *count == 1), "{:?}", state.added);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_no_acknowledged_command_and_doubles_none() {
    let (mut server, bus) = system().await;
    let (a, b) = (connect(&server.url()).await, connect(&server.url()).await);
    let instances = Arc::new([Instance::start(&a, "a"), Instance::start(&b, "b")]);
    eventually("one leads", async || instances.iter().any(Instance::leads)).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..16_u64)
        .map(|client| {
            let (instances, is_over) = (instances.clone(), is_over.clone());
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for number in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let token = client * 1_000_000 + number;
                    let all: Vec<_> = instances.iter().collect();
                    Instance::command(&all, command_id(), || Input::Add(token)).await.expect("never refused");
                    acknowledged.push(token);
                }
                acknowledged
            })
        })
        .collect();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        server.kill9();
        server.restart().expect("it comes back");
        let count = async || {
            let led = instances.iter().find(|instance| instance.leads())?;
            let (_, handle) = led.leading().await;
            handle.query(|view| view.state.added.len()).await.ok()
        };
        let mut start = None;
        eventually("commands are taken again", async || {
            let Some(now) = count().await else { return false };
            now > *start.get_or_insert(now)
        })
        .await;
    }
    is_over.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for client in clients {
        acknowledged.extend(client.await.expect("no panic"));
    }
    for instance in Arc::into_inner(instances).expect("clients are gone") {
        instance.stop().await;
    }
    let state = end_state(&bus).await;
    assert!(
        acknowledged.iter().all(|token| state.added.get(token) == Some(&1)),
        "an acknowledged command is lost or doubled"
    );
    assert!(state.added.values().all(|count| *count == 1), "a command was doubled");
    assert!(acknowledged.len() > 100, "only {} commands", acknowledged.len());
}
