//! Shortening a log: below two snapshots, archived, and a day old; and who was not there when it happened.

use std::collections::BTreeSet;

use muster_bus::{Bucket, Bus, subjects};
use muster_ledger::{Handle, LedgerOptions};
use muster_model::PoolTime;
use muster_proto::v1::ArchivedMessage;
use tokio::sync::mpsc;

use crate::archive::{self, Archive};
use crate::counter::{Counter, Input};
use crate::harness::{
    Instance, LOG, SERVICE, all_announced, command_id, connect, eventually, log_state, options, state_hash, system,
};
use crate::proxy::{Fate, Proxy, is_delivery, is_published};

const HOUR_NS: i64 = 3_600 * 1_000_000_000;

fn start(bus: &Bus, name: &str) -> Instance {
    Instance::start_with(bus, LedgerOptions { snapshot_every: 10, projection: None, ..options(name) })
}

/// Sequences of the snapshots, sorted.
async fn snapshots(bus: &Bus) -> BTreeSet<u64> {
    let names = bus.list_objects(Bucket::Snapshots).await.expect("listed");
    names.iter().map(|name| name.rsplit('-').next().expect("named").parse().expect("a sequence")).collect()
}

/// Gives commands until `count` more snapshots are written. All but the newest have done what they do to the log then.
async fn write_snapshots(bus: &Bus, handle: &Handle<Counter>, count: usize) {
    let mut seen = snapshots(bus).await;
    let wanted = seen.len() + count;
    let mut token = log_state(bus).await.last * 1_000;
    while seen.len() < wanted {
        token += 1;
        handle.command(command_id(), String::new(), Input::Add(token)).await.expect("taken");
        seen.extend(snapshots(bus).await);
    }
}

/// Lets pool time go on at once.
fn pass_hours(bus: &Bus, hours: i64) {
    bus.clock().raise_floor(PoolTime(bus.now().0 + hours * HOUR_NS));
}

/// The archive of a log up to a sequence.
fn up_to(rows: &[ArchivedMessage], sequence: u64) -> Vec<ArchivedMessage> {
    rows.iter().filter(|row| row.position.is_some_and(|at| at.sequence <= sequence)).cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_shortened_only_of_what_is_archived_a_day_old_and_below_two_snapshots() {
    let (_server, bus) = system().await;
    let instance = start(&bus, "a");
    let (_, handle) = instance.leading().await;
    write_snapshots(&bus, &handle, 4).await;
    let first_day: Vec<_> = snapshots(&bus).await.into_iter().collect();
    let rows = Archive::new(archive::copy(&bus, 1).await);
    let serving = archive::serve(&bus, rows.clone()).await;
    write_snapshots(&bus, &handle, 2).await;
    assert_eq!(log_state(&bus).await.first, 1, "archived, but younger than a day");
    let last_of_day = *snapshots(&bus).await.last().expect("some");
    // Of the first day only what is below the second snapshot is archived.
    let all = std::mem::take(&mut *rows.rows());
    pass_hours(&bus, 25);
    write_snapshots(&bus, &handle, 2).await;
    assert_eq!(log_state(&bus).await.first, 1, "a day old, but not archived");
    *rows.rows() = up_to(&all, first_day[1] - 1);
    write_snapshots(&bus, &handle, 2).await;
    assert_eq!(log_state(&bus).await.first, first_day[0], "the message at the snapshot stays");
    assert_eq!(snapshots(&bus).await.first(), Some(&first_day[0]));
    // All of it is archived, also what is younger than a day.
    let later = archive::copy(&bus, 1).await;
    *rows.rows() = [up_to(&all, first_day[0] - 1), later].concat();
    write_snapshots(&bus, &handle, 2).await;
    let kept = log_state(&bus).await.first;
    assert!(kept >= last_of_day, "up to the last snapshot of the first day: {kept}, {last_of_day}");
    let young = bus.now().0 - HOUR_NS;
    let stream = bus.jetstream().get_stream_no_info(LOG).await.expect("the log");
    let at_base = stream.get_raw_message(kept).await.expect("it stays");
    assert!(time_of(&at_base.payload) < young, "what is younger than a day stays");
    assert_eq!(snapshots(&bus).await.first(), Some(&kept), "the snapshots below it go with the messages");
    instance.stop().await;
    serving.abort();
}

fn time_of(payload: &[u8]) -> i64 {
    <muster_proto::v1::Envelope as prost::Message>::decode(payload).expect("an envelope").time_ns
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_not_shortened_for_an_archive_that_holds_something_else() {
    let (_server, bus) = system().await;
    // It agrees at the start, and is changed after.
    let archive = Archive::new(archive::copy(&bus, 1).await);
    let serving = archive::serve(&bus, archive.clone()).await;
    let instance = start(&bus, "a");
    let (_, handle) = instance.leading().await;
    write_snapshots(&bus, &handle, 3).await;
    *archive.rows() = archive::copy(&bus, 1).await;
    let right = std::mem::replace(&mut archive.rows().last_mut().expect("rows").hash, vec![1; 32].into());
    pass_hours(&bus, 25);
    write_snapshots(&bus, &handle, 2).await;
    assert_eq!(log_state(&bus).await.first, 1);
    archive.rows().last_mut().expect("rows").hash = right;
    write_snapshots(&bus, &handle, 2).await;
    assert!(log_state(&bus).await.first > 1, "now it is the log's");
    instance.stop().await;
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_ends_before_the_log_begins_agrees_with_nothing_and_is_compared_once_it_can_be() {
    let (_server, bus) = system().await;
    let archive = Archive::new(archive::copy(&bus, 1).await);
    let first = start(&bus, "a");
    let (_, handle) = first.leading().await;
    write_snapshots(&bus, &handle, 2).await;
    first.stop().await;
    let newest = *snapshots(&bus).await.last().expect("some");
    let stream = bus.jetstream().get_stream_no_info(LOG).await.expect("the log");
    stream.purge().sequence(newest).await.expect("purged");
    let serving = archive::serve(&bus, archive.clone()).await;
    let second = start(&bus, "b");
    second.leading().await;
    let mut other = archive::copy(&bus, 1).await;
    other.last_mut().expect("rows").hash = vec![1; 32].into();
    *archive.rows() = other;
    let error = second.end().await.expect_err("it stops").to_string();
    assert!(error.contains("not the one that was archived"), "{error}");
    serving.abort();
}

/// A replica that has loaded the log, and is cut off.
async fn away_while_following(url: &str) -> (Proxy, Instance) {
    let proxy = Proxy::start(url).await;
    let (probed, mut is_probed) = mpsc::channel(1);
    proxy.to_server(move |frame| {
        if is_published(frame, &subjects::leader(SERVICE)) {
            let _ = probed.try_send(());
        }
        Fate::Pass
    });
    let follower = start(&connect(proxy.url()).await, "following");
    is_probed.recv().await.expect("it has loaded the log, and looks for a leader");
    proxy.close();
    (proxy, follower)
}

/// A replica that knows where the log ends, and is cut off before it has read it.
async fn away_while_loading(url: &str) -> (Proxy, Instance) {
    let proxy = Proxy::start(url).await;
    let (delivered, mut is_delivered) = mpsc::channel(1);
    proxy.to_client(move |frame| {
        let is_delivery = is_delivery(frame, LOG);
        if is_delivery {
            let _ = delivered.try_send(());
        }
        if is_delivery { Fate::Lose } else { Fate::Pass }
    });
    let follower = start(&connect(proxy.url()).await, "loading");
    is_delivered.recv().await.expect("it reads the log");
    proxy.close();
    (proxy, follower)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_were_away_or_start_after_a_log_was_shortened_fold_from_its_snapshot() {
    let (server, bus) = system().await;
    let leader = start(&bus, "leader");
    let (_, handle) = leader.leading().await;
    let retried = command_id();
    handle.command(retried, String::new(), Input::Add(0)).await.expect("taken");
    let following = away_while_following(&server.url()).await;
    let loading = away_while_loading(&server.url()).await;
    let behind = log_state(&bus).await.last;
    write_snapshots(&bus, &handle, 3).await;
    let serving = archive::serve(&bus, Archive::new(archive::copy(&bus, 1).await)).await;
    pass_hours(&bus, 25);
    // A retry from before the day, that the memory no longer reaches.
    write_snapshots(&bus, &handle, 2).await;
    assert!(log_state(&bus).await.first > behind, "it is shortened beyond what the follower has");
    all_announced(&handle).await;
    let hash = state_hash(&handle).await;
    let mut leader = leader;
    for (proxy, follower) in [following, loading] {
        proxy.to_client(|_| Fate::Pass);
        proxy.open();
        leader.stop().await;
        let (_, handle) = follower.leading().await;
        assert_eq!(state_hash(&handle).await, hash, "the follower loaded the log again");
        leader = follower;
    }
    leader.stop().await;
    let fresh = start(&bus, "fresh");
    let (_, handle) = fresh.leading().await;
    assert_eq!(state_hash(&handle).await, hash);
    let refusal = handle.command(retried, String::new(), Input::Add(0)).await.expect_err("nobody can tell");
    assert_eq!(refusal.code, muster_model::RefusalCode::TooOld, "how far the memory reaches is in the snapshot");
    fresh.stop().await;
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_written_while_the_log_is_loaded_does_not_make_the_log_look_too_short() {
    let (server, bus) = system().await;
    let leader = start(&bus, "leader");
    let (_, handle) = leader.leading().await;
    write_snapshots(&bus, &handle, 1).await;
    let proxy = Proxy::start(&server.url()).await;
    let mut has_kept = false;
    // It knows where the log ends, and asks for what stands there.
    proxy.to_server(move |frame| {
        let keeps = !has_kept && is_published(frame, &format!("$JS.API.STREAM.MSG.GET.{LOG}"));
        has_kept |= keeps;
        if keeps { Fate::Keep } else { Fate::Pass }
    });
    let replica = start(&connect(proxy.url()).await, "replica");
    eventually("it loads the log", async || proxy.kept() > 0).await;
    write_snapshots(&bus, &handle, 1).await;
    proxy.deliver_late().await;
    all_announced(&handle).await;
    let hash = state_hash(&handle).await;
    leader.stop().await;
    let (_, handle) = replica.leading().await;
    assert_eq!(state_hash(&handle).await, hash);
    replica.stop().await;
}
