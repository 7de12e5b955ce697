//! A log that must not be used is refused, with what to do next.

use bytes::Bytes;
use muster_bus::{Authority, Bus, subjects};
use muster_ledger::LedgerError;
use muster_model::{Position, SystemId, Term};
use muster_proto::v1::{Envelope, Turn, envelope::Body};
use prost::Message;

use crate::counter::Input;
use crate::harness::{Instance, LOG, SERVICE, SYSTEM, all_announced, command_id, init, system};

/// Appends as nobody should: straight to the stream.
async fn append(bus: &Bus, payload: Vec<u8>) {
    bus.store(&subjects::log(SERVICE, "turn"), &uuid::Uuid::now_v7().to_string(), payload.into())
        .await
        .expect("stored");
}

async fn last(bus: &Bus) -> (u64, Bytes) {
    let stream = bus.jetstream().get_stream(LOG).await.expect("the log");
    let sequence = stream.cached_info().state.last_sequence;
    (sequence, stream.get_raw_message(sequence).await.expect("the last message").payload)
}

async fn refusal(bus: &Bus) -> String {
    match Instance::start(bus, "refused").end().await.expect_err("refused") {
        LedgerError::Refused { log, reason, next } => {
            assert_eq!(log, LOG);
            assert!(!next.is_empty());
            format!("{reason}; {next}")
        }
        LedgerError::Bus(error) => panic!("{error}"),
    }
}

/// A system with ten commands in its log.
async fn used_system() -> (muster_testkit::NatsServer, Bus) {
    let (server, bus) = system().await;
    let instance = Instance::start(&bus, "a");
    for token in 0..10 {
        Instance::command(&[&instance], command_id(), || Input::Add(token)).await.expect("taken");
    }
    instance.stop().await;
    (server, bus)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_log_never_starts_by_itself() {
    let server = muster_testkit::NatsServer::start().expect("nats-server starts");
    let bus = crate::harness::connect(&server.url()).await;
    assert!(refusal(&bus).await.contains("muster admin init"), "without a stream");
    init(&bus).await;
    let text = refusal(&bus).await;
    assert!(text.contains("empty") && text.contains("--new-system") && text.contains("recover"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_system_on_the_same_nats_is_refused() {
    let (_server, bus) = system().await;
    let error = muster_ledger::initialise(&bus, SystemId([8; 16])).await.expect_err("refused");
    assert!(error.to_string().contains("second system"), "{error}");
    assert_eq!(last(&bus).await.0, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_initialisation_is_completed_with_its_own_system() {
    let server = muster_testkit::NatsServer::start().expect("nats-server starts");
    let bus = crate::harness::connect(&server.url()).await;
    init(&bus).await;
    muster_ledger::initialise(&bus, SYSTEM).await.expect("a new system");
    let stream = bus.jetstream().get_stream("MACHINES").await.expect("the log");
    stream.purge().await.expect("as if it had not been written");
    let system = muster_ledger::initialise(&bus, SystemId([8; 16])).await.expect("completed");
    assert_eq!(system, SYSTEM);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_with_a_wrong_predecessor_is_refused_at_the_start_and_while_following() {
    let (_server, bus) = used_system().await;
    let leader = Instance::start(&bus, "leader");
    let (_, handle) = leader.leading().await;
    all_announced(&handle).await;
    let (sequence, _) = last(&bus).await;
    let follower = Instance::start(&bus, "follower");
    let turn =
        Turn { previous_hash: vec![9; 32].into(), event_type: "muster.test.CounterEvent".into(), ..Turn::default() };
    let position = Position::new(1, sequence + 1);
    let authority = Authority { position, term: Term(100), ..Authority::default() };
    append(&bus, bus.envelope(Body::Turn(turn), authority).encode_to_vec()).await;
    let followed = follower.end().await.expect_err("refused");
    assert!(followed.to_string().contains("predecessor"), "{followed}");
    let unanswered = handle.command(command_id(), String::new(), Input::Add(100)).await;
    assert!(unanswered.is_err(), "{unanswered:?}");
    let led = leader.end().await;
    assert!(led.is_err(), "the leader finds it when it appends, folds again and stops");
    assert!(refusal(&bus).await.contains("muster admin recover"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_can_not_be_decoded_is_refused() {
    let (_server, bus) = used_system().await;
    append(&bus, b"not an envelope".to_vec()).await;
    assert!(refusal(&bus).await.contains("can not be read"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_refused() {
    let (_server, bus) = used_system().await;
    let (sequence, payload) = last(&bus).await;
    // The next message as a leader would write it, but for one bit of what it follows.
    let mut flipped = payload.to_vec();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let turn = Turn {
        previous_hash: Bytes::copy_from_slice(blake3::hash(&flipped).as_bytes()),
        event_type: "muster.test.CounterEvent".into(),
        ..Turn::default()
    };
    let term = Envelope::decode(payload).expect("an envelope").term;
    let authority = Authority { position: Position::new(1, sequence + 1), term: Term(term), ..Authority::default() };
    append(&bus, bus.envelope(Body::Turn(turn), authority).encode_to_vec()).await;
    assert!(refusal(&bus).await.contains("another predecessor"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_message_is_refused() {
    let (_server, bus) = used_system().await;
    let stream = bus.jetstream().get_stream(LOG).await.expect("the log");
    // A stream keeps `deny_delete` for ever: purging all but the newest leaves a log that begins in its middle.
    stream.purge().keep(3).await.expect("purged");
    assert!(refusal(&bus).await.contains("does not begin a lineage"));
}
