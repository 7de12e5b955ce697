//! One leader at a time, and another soon after it is gone.

use std::time::{Duration, Instant};

use muster_bus::streams;

use crate::counter::Input;
use crate::harness::{Instance, SERVICE, all_announced, command_id, eventually, state, state_hash, system};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_leads_within_a_second_after_the_leader_dies_and_nothing_is_lost_or_doubled() {
    let (_server, bus) = system().await;
    let first = Instance::start(&bus, "a");
    let (term, handle) = first.leading().await;
    let second = Instance::start(&bus, "b");
    for token in 0..100 {
        handle.command(command_id(), String::new(), Input::Add(token)).await.expect("taken");
    }
    let unanswered = command_id();
    let giving = tokio::spawn(async move { handle.command(unanswered, String::new(), Input::Add(1_000)).await });
    first.kill().await;
    let died = Instant::now();
    let (next_term, handle) = second.leading().await;
    assert!(died.elapsed() < Duration::from_secs(1), "it took {:?}", died.elapsed());
    assert!(next_term > term);
    drop(giving.await);
    let again = Instance::command(&[&second], unanswered, || Input::Add(1_000)).await.expect("taken");
    assert_eq!(again.term, next_term);
    let state = state(&handle).await;
    assert_eq!(state.added.len(), 101);
    assert!(state.added.values().all(|count| *count == 1), "{:?}", state.added);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_one_leads_and_a_clean_stop_gives_the_lease_back() {
    let (_server, bus) = system().await;
    let instances = ["a", "b", "c"].map(|name| Instance::start(&bus, name));
    let mut left: Vec<_> = instances.into_iter().collect();
    let mut terms = Vec::new();
    while !left.is_empty() {
        eventually("one leads", async || left.iter().any(Instance::leads)).await;
        assert_eq!(left.iter().filter(|instance| instance.leads()).count(), 1);
        let leader = left.iter().position(Instance::leads).expect("one leads");
        let leader = left.remove(leader);
        let stopped = Instant::now();
        terms.push(leader.leading().await.0);
        leader.stop().await;
        if !left.is_empty() {
            eventually("the next leads", async || left.iter().any(Instance::leads)).await;
            assert!(stopped.elapsed() < Duration::from_secs(2), "it took {:?}", stopped.elapsed());
        }
    }
    assert!(terms.is_sorted_by(|a, b| a < b), "{terms:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_fold_the_same_state() {
    let (_server, bus) = system().await;
    let first = Instance::start(&bus, "a");
    let (_, handle) = first.leading().await;
    for token in 0..50 {
        handle.command(command_id(), String::new(), Input::Add(token)).await.expect("taken");
    }
    all_announced(&handle).await;
    let hash = state_hash(&handle).await;
    let second = Instance::start(&bus, "b");
    first.stop().await;
    let (_, handle) = second.leading().await;
    assert_eq!(state_hash(&handle).await, hash);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_lease_was_taken_stops_and_folds_again() {
    let (_server, bus) = system().await;
    let instance = Instance::start(&bus, "a");
    let (term, _) = instance.leading().await;
    let leases = bus.jetstream().get_key_value(streams::LEASES).await.expect("the bucket");
    leases.put(SERVICE.as_str(), "another".into()).await.expect("put");
    eventually("it notices", async || !instance.leads()).await;
    leases.delete(SERVICE.as_str()).await.expect("deleted");
    let (next, _) = instance.leading().await;
    assert!(next > term);
    instance.stop().await;
}

/// What every replica says of itself.
async fn replicas(bus: &muster_bus::Bus) -> Vec<muster_proto::v1::ServiceStatus> {
    use muster_proto::v1::{ReplicaQuery, envelope::Body};
    let envelope = bus.envelope(Body::ReplicaQuery(ReplicaQuery {}), muster_bus::Authority::default());
    let subject = muster_bus::subjects::replicas(SERVICE);
    let answers = bus.ask_all(&subject, &envelope, std::time::Duration::from_millis(300)).await.expect("asked");
    let status = |answer: muster_proto::v1::Envelope| match answer.body {
        Some(Body::ReplicaStatus(status)) => Some(status),
        _ => None,
    };
    answers.into_iter().filter_map(status).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_says_the_leaders_state_hash_at_the_leaders_position() {
    let (_server, bus) = system().await;
    let leader = Instance::start(&bus, "a");
    let (_, handle) = leader.leading().await;
    let standby = Instance::start(&bus, "b");
    for number in 0..5 {
        Instance::command(&[&leader], command_id(), || Input::Add(number)).await.expect("taken");
    }
    all_announced(&handle).await;
    let mut found = Vec::new();
    eventually("both are at one position", async || {
        found = replicas(&bus).await;
        found.len() == 2 && found[0].position == found[1].position
    })
    .await;
    assert_eq!(found[0].state_hash, found[1].state_hash);
    assert_eq!(found.iter().filter(|status| status.leads).count(), 1, "{found:?}");
    leader.stop().await;
    standby.stop().await;
}
