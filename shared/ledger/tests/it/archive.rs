//! The second copy: compared at the start, and what a lost log is rebuilt from.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use muster_bus::subjects::Service;
use muster_bus::{Authority, Bus};
use muster_ledger::RecoverOptions;
use muster_model::Position;
use muster_proto::v1::{ArchiveReply, ArchivedMessage, envelope::Body};
use tokio::task::JoinHandle;

use crate::counter::Input;
use crate::harness::{
    Instance, LOG, SERVICE, SYSTEM, all_announced, command_id, eventually, log_state, state_hash, system,
};

/// What an archive holds, and how often it was asked.
pub(crate) struct Archive {
    rows: Mutex<Vec<ArchivedMessage>>,
    asked: AtomicU64,
}

impl Archive {
    pub(crate) fn new(rows: Vec<ArchivedMessage>) -> Arc<Self> {
        Arc::new(Self { rows: Mutex::new(rows), asked: AtomicU64::new(0) })
    }

    pub(crate) fn rows(&self) -> MutexGuard<'_, Vec<ArchivedMessage>> {
        self.rows.lock().expect("not poisoned")
    }
}

/// An archive as the telemetry-logger serves it.
pub(crate) async fn serve(bus: &Bus, archive: Arc<Archive>) -> JoinHandle<()> {
    let served = bus.serve(Service::TelemetryLogger, "archive", &["archive"]).await.expect("served");
    tokio::spawn(async move {
        let mut served = served;
        let mut endpoint = served.endpoints.remove(0);
        while let Some(request) = endpoint.next().await {
            let Ok(Some(Body::ArchiveQuery(query))) = request.envelope.as_ref().map(|envelope| envelope.body.clone())
            else {
                continue;
            };
            let messages = {
                let rows = archive.rows();
                let from = query.from.map_or(Position::default(), Position::from);
                let at = |row: &ArchivedMessage| Position::from(row.position.unwrap_or_default());
                match query.head_only {
                    true => rows.last().cloned().into_iter().collect(),
                    false => rows.iter().filter(|row| at(row) >= from).take(7).cloned().collect(),
                }
            };
            request.answer(Body::ArchiveReply(ArchiveReply { messages }), Authority::default()).await;
            archive.asked.fetch_add(1, Ordering::Relaxed);
        }
        served.stop().await;
    })
}

/// Copies the log, as the telemetry-logger does.
pub(crate) async fn copy(bus: &Bus, lineage: u64) -> Vec<ArchivedMessage> {
    let stream = bus.jetstream().get_stream_no_info(LOG).await.expect("the log");
    let state = log_state(bus).await;
    let mut rows = Vec::new();
    for sequence in state.first..=state.last {
        let message = stream.get_raw_message(sequence).await.expect("it is there");
        let hash = Bytes::copy_from_slice(blake3::hash(&message.payload).as_bytes());
        let position = Some(Position::new(lineage, sequence).into());
        rows.push(ArchivedMessage { position, hash, payload: message.payload, subject: message.subject.to_string() });
    }
    rows
}

pub(crate) async fn used(bus: &Bus, count: u64) -> [u8; 32] {
    let instance = Instance::start(bus, "a");
    for token in 0..count {
        Instance::command(&[&instance], command_id(), || Input::Add(token)).await.expect("taken");
    }
    let (_, handle) = instance.leading().await;
    all_announced(&handle).await;
    let hash = state_hash(&handle).await;
    instance.stop().await;
    hash
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_shorter_than_its_archive_or_other_than_it_is_refused() {
    let (_server, bus) = system().await;
    used(&bus, 5).await;
    let rows = Archive::new(copy(&bus, 1).await);
    let archive = serve(&bus, rows.clone()).await;
    let instance = Instance::start(&bus, "agrees");
    instance.leading().await;
    instance.stop().await;
    let newest = rows.rows().last().cloned().expect("rows");
    let longer = ArchivedMessage { position: Some(Position::new(1, 1_000).into()), ..newest.clone() };
    rows.rows().push(longer);
    let error = Instance::start(&bus, "shorter").end().await.expect_err("refused");
    assert!(error.to_string().contains("its archive at 1/1000") && error.to_string().contains("recover"), "{error}");
    let other = ArchivedMessage { hash: vec![1; 32].into(), ..newest };
    rows.rows().push(other);
    let error = Instance::start(&bus, "other").end().await.expect_err("refused");
    assert!(error.to_string().contains("not the one that was archived"), "{error}");
    archive.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_was_away_at_the_start_is_compared_once_it_is_there() {
    let (_server, bus) = system().await;
    used(&bus, 5).await;
    let rows = copy(&bus, 1).await;
    let instance = Instance::start(&bus, "a");
    Instance::command(&[&instance], command_id(), || Input::Add(5)).await.expect("taken without the archive");
    let agreeing = Archive::new(rows.clone());
    let serving = serve(&bus, agreeing.clone()).await;
    eventually("it is compared", async || agreeing.asked.load(Ordering::Relaxed) > 0).await;
    Instance::command(&[&instance], command_id(), || Input::Add(6)).await.expect("it agrees");
    instance.stop().await;
    serving.abort();
    drop(serving.await);
    let instance = Instance::start(&bus, "b");
    Instance::command(&[&instance], command_id(), || Input::Add(7)).await.expect("taken without the archive");
    let other = Archive::new(rows);
    other.rows().last_mut().expect("rows").hash = vec![1; 32].into();
    let serving = serve(&bus, other).await;
    let error = instance.end().await.expect_err("it stops").to_string();
    assert!(error.contains("not the one that was archived"), "{error}");
    assert!(error.contains(&format!("muster admin recover {LOG}")), "{error}");
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_log_is_rebuilt_from_the_archive_as_a_new_lineage() {
    let (_server, bus) = system().await;
    let hash = used(&bus, 12).await;
    let rows = copy(&bus, 1).await;
    let count = rows.len() as u64;
    let archive = serve(&bus, Archive::new(rows)).await;
    let options = RecoverOptions { replace: false };
    let error = muster_ledger::recover(&bus, SERVICE, options, |_, _| {}).await.expect_err("it holds something");
    assert!(error.to_string().contains("--replace"), "{error}");
    let mut heard = Vec::new();
    let recovered =
        muster_ledger::recover(&bus, SERVICE, RecoverOptions { replace: true }, |done, all| heard.push((done, all)));
    let recovered = recovered.await.expect("rebuilt");
    assert_eq!((recovered.lineage, recovered.messages, recovered.system), (2, count, SYSTEM));
    assert_eq!(heard.last(), Some(&(count, count)));
    let instance = Instance::start(&bus, "b");
    let (term, handle) = instance.leading().await;
    assert_eq!(state_hash(&handle).await, hash);
    assert!(term.0 > 1_000, "terms rise above what the lost log may have reached");
    let position = handle.query(|view| view.now.position).await.expect("answered");
    assert_eq!(position.lineage.0, 2);
    instance.stop().await;
    archive.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuilding_that_was_interrupted_can_be_repeated() {
    let (_server, bus) = system().await;
    let hash = used(&bus, 6).await;
    let shared = Archive::new(copy(&bus, 1).await);
    let archive = serve(&bus, shared.clone()).await;
    let replace = RecoverOptions { replace: true };
    muster_ledger::recover(&bus, SERVICE, replace, |_, _| {}).await.expect("rebuilt");
    // Only the first three messages of the new lineage were written, and archived.
    let partial: Vec<_> = copy(&bus, 2).await.into_iter().take(3).collect();
    shared.rows().extend(partial);
    let recovered = muster_ledger::recover(&bus, SERVICE, replace, |_, _| {}).await.expect("rebuilt again");
    assert_eq!((recovered.lineage, recovered.rebuilt_from.lineage.0), (3, 1));
    let instance = Instance::start(&bus, "b");
    let (_, handle) = instance.leading().await;
    assert_eq!(state_hash(&handle).await, hash);
    instance.stop().await;
    archive.abort();
}

/// Damages the log's block on disk, as a broken disk does, and expects that the service refuses to start.
async fn damage(harm: impl Fn(&std::path::Path), is_clean_stop: bool) {
    let (mut server, bus) = system().await;
    used(&bus, 60).await;
    let rows = Archive::new(copy(&bus, 1).await);
    if is_clean_stop {
        server.stop();
    } else {
        server.kill9();
    }
    let block = server.directory().join(format!("jetstream/jetstream/$G/streams/{LOG}/msgs/1.blk"));
    harm(&block);
    server.restart().expect("it comes back");
    let bus = crate::harness::connect(&server.url()).await;
    let archive = serve(&bus, rows).await;
    let error = Instance::start(&bus, "damaged").end().await.expect_err("refused");
    assert!(error.to_string().contains("muster admin recover"), "{error}");
    archive.abort();
}

fn truncate(block: &std::path::Path) {
    let file = std::fs::OpenOptions::new().write(true).open(block).expect("the block");
    file.set_len(file.metadata().expect("its size").len() / 2).expect("truncated");
}

fn flip(block: &std::path::Path) {
    let mut bytes = std::fs::read(block).expect("the block");
    // Inside the name of an event type, not in the file's own framing: with bit 28 of a record's sequence flipped, nats-server
    // 2.15.1 needs 72 s and 3.8 GB after a clean stop before it listens (at "Starting restore for stream"), and has cut the block
    // there. After kill -9 it cuts at once.
    let name = b"muster.test.CounterEvent";
    let middle = bytes.len() / 2;
    let found = bytes[middle..].windows(name.len()).position(|window| window == name).expect("a turn");
    bytes[middle + found] ^= 1;
    std::fs::write(block, bytes).expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_block_is_noticed_and_refused() {
    damage(truncate, true).await;
    damage(truncate, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_on_disk_is_noticed_and_refused() {
    damage(flip, true).await;
    damage(flip, false).await;
}
