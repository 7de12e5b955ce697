//! A log as a file: copied while its leader goes on, checked whole, and put back as a new lineage.

use std::path::Path;

use muster_bus::Bus;
use muster_ledger::{LogBackup, LogCopy, LogExtent, RestoreOptions, Standing};

use crate::archive::{Archive, copy, serve, used};
use crate::counter::Input;
use crate::followed::{report, source, token};
use crate::harness::{
    Instance, LOG, SERVICE, SYSTEM, command_id, connect, eventually, init, log_state, new_system, state, state_hash,
    system,
};

/// Copies all of the log into `path`.
async fn back_up(bus: &Bus, path: &Path) -> LogExtent {
    let mut copying = LogCopy::begin(bus, SERVICE, path).await.expect("it begins");
    let head = copying.head().await.expect("it has an end");
    copying.copy_to(head.sequence.0, |_| {}).await.expect("it is copied");
    copying.finish().expect("it is written")
}

/// A system on an empty server, with streams and perhaps the beginning of a new system.
async fn empty(begun: bool) -> (muster_testkit::NatsServer, Bus) {
    let server = muster_testkit::NatsServer::start().expect("nats-server starts");
    let bus = connect(&server.url()).await;
    init(&bus).await;
    if begun {
        new_system(&bus).await;
    }
    (server, bus)
}

const OPTIONS: RestoreOptions = RestoreOptions { replace: false, lineage_min: 0 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_copied_under_load_and_restored_as_a_new_lineage() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let (_server, bus) = system().await;
    let instance = Instance::start(&bus, "a");
    for number in 0..20 {
        Instance::command(&[&instance], command_id(), || Input::Add(number)).await.expect("taken");
    }
    let mut copying = LogCopy::begin(&bus, SERVICE, &path).await.expect("it begins");
    let end = copying.head().await.expect("it has an end");
    for number in 20..40 {
        Instance::command(&[&instance], command_id(), || Input::Add(number)).await.expect("taken meanwhile");
    }
    copying.copy_to(end.sequence.0, |_| {}).await.expect("it is copied");
    let extent = copying.finish().expect("it is written");
    assert_eq!((extent.last, extent.system, extent.messages()), (end, SYSTEM, end.sequence.0));
    instance.stop().await;

    let backup = LogBackup::open(SERVICE, &path).expect("it is whole");
    assert_eq!(backup.extent(), &extent);
    let (_other, bus) = empty(false).await;
    assert_eq!(muster_ledger::standing(&bus, SERVICE).await.expect("it answers"), Standing::Empty);
    let restored = muster_ledger::restore(&bus, &backup, OPTIONS, |_, _| {}).await.expect("it is restored");
    assert_eq!((restored.lineage, restored.messages, restored.rebuilt_from), (2, extent.messages(), extent.last));
    let whole = Standing::Rebuilt { hash: extent.last_hash.to_vec(), is_whole: true };
    assert_eq!(muster_ledger::standing(&bus, SERVICE).await.expect("it answers"), whole);
    let instance = Instance::start(&bus, "b");
    let (term, handle) = instance.leading().await;
    assert!(term.0 > extent.term.0 + 1_000, "terms rise above what the lost log may have reached");
    let added = state(&handle).await.added;
    assert!((0..19).all(|number| added.contains_key(&number)) && !added.contains_key(&39), "{added:?}");
    instance.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_restore_of_one_backup_has_a_lineage_and_terms_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, bus) = system().await;
    let hash = used(&bus, 5).await;
    back_up(&bus, &folder.path().join("log")).await;
    let backup = LogBackup::open(SERVICE, &folder.path().join("log")).expect("it is whole");
    let mut terms = Vec::new();
    for lineage_min in [0, 7] {
        let (_other, bus) = empty(true).await;
        assert_eq!(muster_ledger::standing(&bus, SERVICE).await.expect("it answers"), Standing::Begun);
        let options = RestoreOptions { replace: true, lineage_min };
        let restored = muster_ledger::restore(&bus, &backup, options, |_, _| {}).await.expect("it is restored");
        assert_eq!(restored.lineage, lineage_min.max(2));
        let instance = Instance::start(&bus, "b");
        let (term, handle) = instance.leading().await;
        assert_eq!(state_hash(&handle).await, hash);
        terms.push(term.0);
        instance.stop().await;
    }
    assert!(terms[1] > terms[0] + 4_000, "no leader of the first restore is above one of the second: {terms:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_shortened_log_no_longer_holds_comes_from_its_archive() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, bus) = system().await;
    used(&bus, 30).await;
    let rows = copy(&bus, 1).await;
    let last = log_state(&bus).await.last;
    let stream = bus.jetstream().get_stream_no_info(LOG).await.expect("the log");
    stream.purge().sequence(last - 4).await.expect("it is shortened");
    let refused = LogCopy::begin(&bus, SERVICE, &folder.path().join("without")).await.expect_err("no beginning");
    assert!(refused.to_string().contains("PostgreSQL"), "{refused}");
    let archive = serve(&bus, Archive::new(rows)).await;
    let extent = back_up(&bus, &folder.path().join("with")).await;
    assert_eq!((extent.first.sequence.0, extent.last.sequence.0), (1, last));
    assert_eq!(LogBackup::open(SERVICE, &folder.path().join("with")).expect("it is whole").extent(), &extent);
    archive.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_a_cut_and_an_empty_file_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let (_server, bus) = system().await;
    used(&bus, 10).await;
    back_up(&bus, &path).await;
    let whole = std::fs::read(&path).expect("it is there");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (bytes, why) in
        [(flipped, "can not be used"), (whole[..whole.len() - 3].to_vec(), "within a message"), (Vec::new(), "empty")]
    {
        std::fs::write(&path, bytes).expect("it is changed");
        let error = LogBackup::open(SERVICE, &path).expect_err("it is refused").to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_followed_stream_that_was_lost_too_goes_on_above_what_was_taken_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let (_server, bus) = system().await;
    let instance = Instance::start_following(&bus, "a", source());
    let (_, handle) = instance.leading().await;
    for number in 0..20 {
        report(&bus, token(number)).await;
    }
    eventually("all are taken", async || state(&handle).await.added.len() == 20).await;
    instance.stop().await;
    let extent = back_up(&bus, &path).await;
    assert_eq!(extent.followed["REPORTS"].sequence.0, 20);

    let backup = LogBackup::open(SERVICE, &path).expect("it is whole");
    let (_other, bus) = empty(false).await;
    muster_ledger::restore(&bus, &backup, OPTIONS, |_, _| {}).await.expect("it is restored");
    assert_eq!(report(&bus, token(20)).await, 21, "the stream that was made again counts on");
    let instance = Instance::start_following(&bus, "b", source());
    let (_, handle) = instance.leading().await;
    eventually("the next is taken", async || state(&handle).await.added.len() == 21).await;
    instance.stop().await;
}
