//! Following another stream: position and decision stand in one entry.

use std::sync::Arc;

use bytes::Bytes;
use muster_bus::subjects::Service;
use muster_bus::{Bus, StoredMessage, subjects};
use muster_ledger::{Core, LedgerOptions, RecoverOptions, Source, open_turn};
use muster_model::MachineId;
use muster_proto::v1::{Entry, cause::Kind};

use crate::archive::{self, Archive};
use crate::counter::{Counter, Event, Input};
use crate::harness::{
    Instance, LOG, SERVICE, all_announced, command_id, counted, eventually, log_state, options, state, system,
};

/// Tokens of 8 bytes each.
fn take(message: &StoredMessage) -> Result<Vec<Input>, String> {
    if !message.payload.len().is_multiple_of(8) {
        return Err("not tokens".into());
    }
    let tokens = message.payload.chunks_exact(8).map(|token| u64::from_be_bytes(token.try_into().expect("8 bytes")));
    Ok(vec![Input::AddFollowed(tokens.collect())])
}

pub(crate) fn source() -> Source<Counter> {
    Source { stream: "REPORTS", filter: "", is_log: false, take }
}

pub(crate) async fn report(bus: &Bus, payload: Bytes) -> u64 {
    let machine = MachineId::new("m1").expect("valid");
    let id = uuid::Uuid::now_v7().to_string();
    bus.store(&subjects::reports(&machine), &id, payload).await.expect("stored")
}

pub(crate) fn token(token: u64) -> Bytes {
    Bytes::copy_from_slice(&token.to_be_bytes())
}

/// All entries of the log.
async fn entries(bus: &Bus) -> Vec<Entry> {
    let stream = bus.jetstream().get_stream_no_info(LOG).await.expect("the log");
    let mut entries = Vec::new();
    for sequence in 1..=log_state(bus).await.last {
        let payload = stream.get_raw_message(sequence).await.expect("it is there").payload;
        entries.extend(open_turn(&payload).expect("a turn").entries);
    }
    entries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_after_the_last_message_that_was_decided() {
    let (_server, bus) = system().await;
    let first = Instance::start_following(&bus, "a", source());
    let (_, handle) = first.leading().await;
    for number in 0..20 {
        report(&bus, token(number)).await;
    }
    eventually("all are taken", async || state(&handle).await.added.len() == 20).await;
    first.kill().await;
    report(&bus, token(20)).await;
    let second = Instance::start_following(&bus, "b", source());
    let (_, handle) = second.leading().await;
    eventually("the next is taken", async || state(&handle).await.added.len() == 21).await;
    assert!(state(&handle).await.added.values().all(|count| *count == 1));
    let followed = handle.query(|view| view.followed.clone()).await.expect("answered");
    assert_eq!(followed["REPORTS"].sequence.0, 21);
    for entry in entries(&bus).await {
        if let Some(Kind::Followed(_)) = entry.cause.and_then(|cause| cause.kind) {
            assert!(!entry.events.is_empty(), "the position stands with its decision");
        }
    }
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_handled_is_rejected_and_never_stops_the_reader() {
    let (_server, bus) = system().await;
    let instance = Instance::start_following(&bus, "a", source());
    let (_, handle) = instance.leading().await;
    let bad = report(&bus, Bytes::from_static(b"bad")).await;
    report(&bus, token(1)).await;
    eventually("the next is taken", async || state(&handle).await.added.len() == 1).await;
    let rejected: Vec<_> = entries(&bus)
        .await
        .into_iter()
        .filter_map(|entry| match entry.cause?.kind? {
            Kind::Rejected(rejected) => Some((rejected.stream, rejected.position?.sequence, rejected.reason)),
            _ => None,
        })
        .collect();
    assert_eq!(rejected, vec![("REPORTS".into(), bad, "not tokens".into())]);
    instance.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_from_one_message_and_fits_into_none_is_decided_in_pieces() {
    let (_server, bus) = system().await;
    let instance = Instance::start_following(&bus, "a", source());
    let (_, handle) = instance.leading().await;
    let tokens: Vec<u8> = (0..60_000_u64).flat_map(u64::to_be_bytes).collect();
    report(&bus, Bytes::from(tokens)).await;
    report(&bus, token(60_000)).await;
    eventually("all are taken", async || state(&handle).await.added.len() == 60_001).await;
    assert!(state(&handle).await.added.values().all(|count| *count == 1));
    let rejected =
        |entry: &Entry| matches!(entry.cause.as_ref().and_then(|cause| cause.kind.as_ref()), Some(Kind::Rejected(_)));
    assert!(!entries(&bus).await.iter().any(rejected));
    instance.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_decide_nothing_move_the_position_lazily() {
    let (_server, bus) = system().await;
    let instance = Instance::start_following(&bus, "a", source());
    let (_, handle) = instance.leading().await;
    for _ in 0..1_500 {
        report(&bus, Bytes::new()).await;
    }
    eventually("the position is noted", async || {
        let followed = handle.query(|view| view.followed.get("REPORTS").copied()).await.expect("answered");
        followed.is_some_and(|position| position.sequence.0 >= 1_000)
    })
    .await;
    let noted = entries(&bus).await.into_iter().filter(|entry| entry.events.is_empty()).count();
    assert!(noted < 10, "{noted} entries without events");
    instance.stop().await;
}

/// Every token that a turn of another log added: added here again, so that taking one twice shows.
fn take_turn(message: &StoredMessage) -> Result<Vec<Input>, String> {
    let events = open_turn(&message.payload)?.entries.into_iter().flat_map(|entry| entry.events);
    let events: Result<Vec<_>, _> = events.map(|event| Counter::decode_event(&event)).collect();
    Ok(events?
        .into_iter()
        .filter_map(|event| match event {
            Event::Added(token) => Some(Input::Add(token)),
            Event::Announced(_) | Event::Padded(..) => None,
        })
        .collect())
}

fn follower(bus: &Bus, name: &str) -> Instance {
    let source = Source { stream: LOG, filter: "", is_log: true, take: take_turn };
    let service = Service::MachineLifecycle;
    Instance::start_with(bus, LedgerOptions { service, sources: vec![source], projection: None, ..options(name) })
}

/// A log with ten tokens, all announced, and a follower that has taken them.
async fn followed_log(bus: &Bus) -> (Instance, Instance) {
    let followed = Instance::start(bus, "followed");
    for token in 0..10 {
        Instance::command(&[&followed], command_id(), || Input::Add(token)).await.expect("taken");
    }
    let (_, led) = followed.leading().await;
    all_announced(&led).await;
    let follower = follower(bus, "first");
    has_taken(&follower, 10).await;
    (followed, follower)
}

/// Waits until a follower has taken so many tokens, each once.
async fn has_taken(follower: &Instance, count: usize) {
    let (_, handle) = follower.leading().await;
    eventually("all are taken", async || state(&handle).await.added.len() == count).await;
    let added = state(&handle).await.added;
    assert!(added.values().all(|count| *count == 1), "{added:?}");
}

/// Stops the followed log's service, lets its log be lost, and rebuilds it from the archive.
async fn rebuild(bus: &Bus, followed: Instance, archive: &Arc<Archive>) -> Instance {
    followed.stop().await;
    let lineage = archive.rows().last().map_or(0, |row| row.position.expect("it stands somewhere").lineage);
    let copied = archive::copy(bus, lineage + 1).await;
    archive.rows().extend(copied);
    let serving = archive::serve(bus, archive.clone()).await;
    muster_ledger::recover(bus, SERVICE, RecoverOptions { replace: true }, |_, _| {}).await.expect("rebuilt");
    serving.abort();
    drop(serving.await);
    Instance::start(bus, "followed")
}

async fn add(followed: &Instance, token: u64) {
    Instance::command(&[followed], command_id(), || Input::Add(token)).await.expect("taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_log_is_followed_across_its_rebuilding_and_nothing_is_taken_twice() {
    let (_server, bus) = system().await;
    let archive = Archive::new(Vec::new());
    let (followed, first) = followed_log(&bus).await;
    first.stop().await;
    let followed = rebuild(&bus, followed, &archive).await;
    add(&followed, 10).await;
    let second = follower(&bus, "second");
    has_taken(&second, 11).await;
    let (_, handle) = second.leading().await;
    let position = handle.query(|view| view.followed[LOG]).await.expect("answered");
    assert_eq!(position.lineage.0, 2);
    second.stop().await;
    followed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_goes_on_while_its_log_is_rebuilt_takes_nothing_twice() {
    let (_server, bus) = system().await;
    let archive = Archive::new(Vec::new());
    let (followed, follower) = followed_log(&bus).await;
    let followed = rebuild(&bus, followed, &archive).await;
    add(&followed, 10).await;
    has_taken(&follower, 11).await;
    follower.stop().await;
    followed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_rebuilt_again_and_again_is_followed_from_any_of_its_lineages() {
    let (_server, bus) = system().await;
    let archive = Archive::new(Vec::new());
    let (followed, first) = followed_log(&bus).await;
    first.stop().await;
    let followed = rebuild(&bus, followed, &archive).await;
    add(&followed, 10).await;
    let followed = rebuild(&bus, followed, &archive).await;
    add(&followed, 11).await;
    // It knows lineage 1, and the log is at lineage 3.
    let second = follower(&bus, "second");
    has_taken(&second, 12).await;
    second.stop().await;
    // It knows lineage 3, which begins late in the stream, and the log is at lineage 4.
    let followed = rebuild(&bus, followed, &archive).await;
    add(&followed, 12).await;
    let third = follower(&bus, "third");
    has_taken(&third, 13).await;
    third.stop().await;
    followed.stop().await;
}

/// Messages of followed streams that were gone, as far as the two logs of this test count them.
fn gaps(log: &str, stream: &str) -> u64 {
    counted(muster_ledger::metrics::SOURCE_GAPS, &format!("log=\"{log}\",stream=\"{stream}\""))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_followed_log_that_are_gone_are_counted_and_the_reader_goes_on() {
    let (_server, bus) = system().await;
    let (followed, first) = followed_log(&bus).await;
    let (_, handle) = first.leading().await;
    let known = handle.query(|view| view.followed[LOG].sequence.0).await.expect("answered");
    first.stop().await;
    for token in 10..20 {
        add(&followed, token).await;
    }
    let last = log_state(&bus).await.last;
    let stream = bus.jetstream().get_stream_no_info(LOG).await.expect("the log");
    stream.purge().sequence(last).await.expect("purged");
    let before = gaps("MACHINES", LOG);
    let second = follower(&bus, "second");
    let (_, handle) = second.leading().await;
    eventually("the gap is counted", async || gaps("MACHINES", LOG) > before).await;
    assert_eq!(gaps("MACHINES", LOG) - before, last - known - 1);
    add(&followed, 20).await;
    eventually("it goes on", async || state(&handle).await.added.contains_key(&20)).await;
    assert_eq!(gaps("MACHINES", LOG) - before, last - known - 1, "counted once");
    followed.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_that_aged_out_are_counted_and_the_reader_goes_on() {
    let (_server, bus) = system().await;
    let first = Instance::start_following(&bus, "a", source());
    report(&bus, token(0)).await;
    has_taken(&first, 1).await;
    first.stop().await;
    for number in 1..8 {
        report(&bus, token(number)).await;
    }
    let stream = bus.jetstream().get_stream_no_info("REPORTS").await.expect("the stream");
    stream.purge().sequence(6).await.expect("as if they had aged out");
    let before = gaps(LOG, "REPORTS");
    let second = Instance::start_following(&bus, "b", source());
    // Tokens 1 to 4 stood at 2 to 5.
    has_taken(&second, 4).await;
    assert_eq!(gaps(LOG, "REPORTS") - before, 4);
    report(&bus, token(8)).await;
    has_taken(&second, 5).await;
    assert_eq!(gaps(LOG, "REPORTS") - before, 4, "counted once");
    second.stop().await;
}
