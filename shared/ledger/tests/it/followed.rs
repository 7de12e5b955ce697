//! Following another stream: position and decision stand in one entry.

use bytes::Bytes;
use muster_bus::subjects::Service;
use muster_bus::{Bus, StoredMessage, subjects};
use muster_ledger::{Core, LedgerOptions, RecoverOptions, Source, open_turn};
use muster_model::MachineId;
use muster_proto::v1::{Entry, Envelope, TurnBlock, cause::Kind, envelope::Body};
use prost::Message;

use crate::archive;
use crate::counter::{Counter, Event, Input};
use crate::harness::{Instance, LOG, SERVICE, command_id, eventually, options, state, system};

/// Tokens of 8 bytes each.
fn take(message: &StoredMessage) -> Result<Vec<Input>, String> {
    if !message.payload.len().is_multiple_of(8) {
        return Err("not tokens".into());
    }
    let tokens = message.payload.chunks_exact(8).map(|token| u64::from_be_bytes(token.try_into().expect("8 bytes")));
    Ok(vec![Input::AddFollowed(tokens.collect())])
}

fn source() -> Source<Counter> {
    Source { stream: "REPORTS", filter: "", is_log: false, take }
}

async fn report(bus: &Bus, payload: Bytes) -> u64 {
    let machine = MachineId::new("m1").expect("valid");
    let id = uuid::Uuid::now_v7().to_string();
    bus.store(&subjects::reports(&machine), &id, payload).await.expect("stored")
}

fn token(token: u64) -> Bytes {
    Bytes::copy_from_slice(&token.to_be_bytes())
}

/// All entries of the log.
async fn entries(bus: &Bus) -> Vec<Entry> {
    let stream = bus.jetstream().get_stream(LOG).await.expect("the log");
    let mut entries = Vec::new();
    for sequence in 1..=stream.cached_info().state.last_sequence {
        let payload = stream.get_raw_message(sequence).await.expect("it is there").payload;
        let Some(Body::Turn(turn)) = Envelope::decode(payload).expect("an envelope").body else { panic!("not a turn") };
        entries.extend(TurnBlock::decode(turn.block).expect("small blocks are not compressed").entries);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_log_is_followed_across_its_rebuilding_and_nothing_is_taken_twice() {
    let (_server, bus) = system().await;
    let followed = Instance::start(&bus, "followed");
    for token in 0..10 {
        Instance::command(&[&followed], command_id(), || Input::Add(token)).await.expect("taken");
    }
    let first = follower(&bus, "first");
    let (_, handle) = first.leading().await;
    eventually("all are taken", async || state(&handle).await.added.len() == 10).await;
    let (_, led) = followed.leading().await;
    eventually("everything is announced", async || state(&led).await.unannounced.is_empty()).await;
    first.stop().await;
    followed.stop().await;
    let rows = archive::Rows::new(std::sync::Mutex::new(archive::copy(&bus, 1).await));
    let serving = archive::serve(&bus, rows.clone()).await;
    muster_ledger::recover(&bus, SERVICE, RecoverOptions { replace: true }, |_, _| {}).await.expect("rebuilt");
    rows.lock().expect("not poisoned").clear();
    let followed = Instance::start(&bus, "followed");
    Instance::command(&[&followed], command_id(), || Input::Add(10)).await.expect("taken");
    let second = follower(&bus, "second");
    let (_, handle) = second.leading().await;
    eventually("the new one is taken", async || state(&handle).await.added.len() == 11).await;
    let added = state(&handle).await.added;
    assert!(added.values().all(|count| *count == 1), "{added:?}");
    let position = handle.query(|view| view.followed[LOG]).await.expect("answered");
    assert_eq!(position.lineage.0, 2);
    second.stop().await;
    followed.stop().await;
    serving.abort();
}
