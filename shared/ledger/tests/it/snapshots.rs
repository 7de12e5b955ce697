//! Snapshots: a start from one gives what a full fold gives.

use muster_bus::{Bucket, Bus};
use muster_ledger::{Handle, LedgerOptions};

use crate::counter::{Counter, Input};
use crate::harness::{Instance, LOG, all_announced, command_id, eventually, options, state, state_hash, system};

async fn snapshots(bus: &Bus) -> Vec<String> {
    bus.list_objects(Bucket::Snapshots).await.expect("listed")
}

async fn start(bus: &Bus, name: &str) -> Instance {
    Instance::start_with(bus, LedgerOptions { snapshot_every: 20, projection: None, ..options(name) })
}

/// Gives commands until snapshots are written, and stops; the hash of the state at the end.
async fn fill_and_stop(bus: &Bus, instance: Instance, handle: &Handle<Counter>) -> [u8; 32] {
    for token in 0..50 {
        handle.command(command_id(), String::new(), Input::Add(token)).await.expect("taken");
    }
    eventually("snapshots are written", async || !snapshots(bus).await.is_empty()).await;
    all_announced(handle).await;
    let hash = state_hash(handle).await;
    instance.stop().await;
    hash
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_and_tail_equal_the_full_fold() {
    let (_server, bus) = system().await;
    let first = start(&bus, "a").await;
    let (_, handle) = first.leading().await;
    let retried = command_id();
    handle.command(retried, String::new(), Input::Add(1_000)).await.expect("taken");
    let hash = fill_and_stop(&bus, first, &handle).await;
    let from_snapshot = start(&bus, "b").await;
    let (_, handle) = from_snapshot.leading().await;
    assert_eq!(state_hash(&handle).await, hash);
    handle.command(retried, String::new(), Input::Add(1_000)).await.expect("remembered");
    assert_eq!(state(&handle).await.added[&1_000], 1, "the memory of commands is in the snapshot");
    from_snapshot.stop().await;
    for name in snapshots(&bus).await {
        bus.delete_object(Bucket::Snapshots, &name).await.expect("deleted");
    }
    let from_log = start(&bus, "c").await;
    let (_, handle) = from_log.leading().await;
    assert_eq!(state_hash(&handle).await, hash);
    from_log.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_snapshot_is_passed_over_and_a_log_behind_its_snapshot_is_refused() {
    let (_server, bus) = system().await;
    let first = start(&bus, "a").await;
    for token in 0..5 {
        Instance::command(&[&first], command_id(), || Input::Add(token)).await.expect("taken");
    }
    first.stop().await;
    bus.put_object(Bucket::Snapshots, &format!("{LOG}-1-3"), &mut &b"damaged"[..]).await.expect("put");
    let second = start(&bus, "b").await;
    let (_, handle) = second.leading().await;
    assert_eq!(state(&handle).await.added.len(), 5);
    second.stop().await;
    bus.put_object(Bucket::Snapshots, &format!("{LOG}-1-1000"), &mut &b"newer"[..]).await.expect("put");
    let error = start(&bus, "c").await.end().await.expect_err("refused");
    assert!(error.to_string().contains("there is a snapshot of 1/1000"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_shortened_starts_from_its_snapshot() {
    let (_server, bus) = system().await;
    let first = start(&bus, "a").await;
    let (_, handle) = first.leading().await;
    let hash = fill_and_stop(&bus, first, &handle).await;
    let newest = snapshots(&bus).await.iter().filter_map(|name| name.rsplit('-').next()?.parse::<u64>().ok()).max();
    let stream = bus.jetstream().get_stream(LOG).await.expect("the log");
    // As the ledger does: the message at the snapshot stays, for the chain to be checked from.
    stream.purge().sequence(newest.expect("one")).await.expect("purged");
    let second = start(&bus, "b").await;
    let (_, handle) = second.leading().await;
    assert_eq!(state_hash(&handle).await, hash);
    second.stop().await;
}
