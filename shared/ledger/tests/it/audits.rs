//! An audit of a real log and of its archive.

use bytes::Bytes;
use muster_bus::Bus;
use muster_ledger::{AuditOptions, Audited, Side, audit};
use muster_model::Position;

use crate::archive::{Archive, copy, serve, used};
use crate::harness::{LOG, SERVICE, log_state, system};

async fn audited(bus: &Bus) -> (Audited, Vec<u64>) {
    let mut seen = Vec::new();
    let mut see = |_: &'static str, sequence: u64, _: &Bytes| seen.push(sequence);
    let audited = audit(bus, SERVICE, AuditOptions::default(), &mut see).await.expect("it is read");
    (audited, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_and_its_archive_are_walked_together_and_what_was_done_to_either_is_found() {
    let (_server, bus) = system().await;
    used(&bus, 20).await;
    let last = log_state(&bus).await.last;
    let (alone, seen) = audited(&bus).await;
    assert_eq!((alone.breaks.len(), alone.messages), (0, last));
    assert!(!alone.archive_away.is_empty(), "nobody has an archive yet");
    assert_eq!(seen, (1..=last).collect::<Vec<_>>());
    assert_eq!((alone.commands, alone.proven), (20, 0), "an open bus proves nobody");

    let rows = copy(&bus, 1).await;
    let archive = Archive::new(rows.clone());
    let serving = serve(&bus, archive.clone()).await;
    let (both, seen) = audited(&bus).await;
    assert_eq!((both.breaks.len(), both.messages, both.archived), (0, last, Some(Position::new(1, last))));
    assert_eq!(seen, (1..=last).collect::<Vec<_>>(), "each is seen once");

    // What the log has shed already only the archive has.
    let stream = bus.jetstream().get_stream_no_info(LOG).await.expect("the log");
    stream.purge().sequence(6).await.expect("shortened");
    let (shed, seen) = audited(&bus).await;
    assert_eq!((shed.breaks, shed.messages), (Vec::new(), last));
    assert_eq!(seen, (1..=last).collect::<Vec<_>>());

    archive.rows().remove(3);
    let (found, _) = audited(&bus).await;
    assert_eq!((found.breaks[0].copy, found.breaks[0].position), (Side::Archive, Position::new(1, 5)));
    *archive.rows() = rows.clone();

    assert!(stream.delete_message(8).await.is_err(), "the server itself deletes nothing out of a log");

    let longer = Position::new(1, last + 1);
    let newest = rows.last().cloned().expect("rows");
    archive.rows().push(muster_proto::v1::ArchivedMessage { position: Some(longer.into()), ..newest });
    let (found, _) = audited(&bus).await;
    assert!(found.breaks.iter().any(|one| one.what.contains("cut off")), "{:?}", found.breaks);
    serving.abort();
}
