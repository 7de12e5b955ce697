//! Questions about a moment that has passed: answered from the log, and from the archive where the log was shortened.

use std::time::Duration;

use muster_bus::{Bus, subjects};
use muster_proto::v1::{self, Envelope, envelope::Body, reservation_reply};

use crate::archive::{self, Archive};
use crate::harness::{LOG, SERVICE, all_announced, command_id, log_state};
use crate::requests::{add, commands, request, serving, status};

const TIMEOUT: Duration = Duration::from_secs(15);
const MINUTE_NS: i64 = 60_000_000_000;

async fn given(bus: &Bus, body: Body) -> Envelope {
    bus.request(&commands(), &request(bus, command_id(), body), TIMEOUT).await.expect("an answer")
}

/// Where the log was, and the hash of its state.
type Stand = (u64, String);

/// The stand now, or at a moment, and when it was told.
async fn told(bus: &Bus, at_ns: i64) -> Result<(i64, Stand), v1::Refusal> {
    let envelope = Envelope { asked_at_ns: at_ns, ..request(bus, command_id(), status()) };
    let answer = bus.request(&subjects::service(SERVICE, "query"), &envelope, TIMEOUT).await.expect("an answer");
    let (position, time) = (answer.sequence, answer.time_ns);
    match answer.body {
        Some(Body::ReservationReply(v1::ReservationReply { kind: Some(reservation_reply::Kind::Status(status)) })) => {
            assert_eq!(status.position.expect("a position").sequence, position, "it stands where it says");
            Ok((time, (position, status.state_hash)))
        }
        Some(Body::Refusal(refusal)) => Err(refusal),
        other => panic!("{other:?}"),
    }
}

async fn asked(bus: &Bus, at_ns: i64) -> Result<Stand, v1::Refusal> {
    told(bus, at_ns).await.map(|(_, stand)| stand)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moment_is_answered_from_the_log_and_from_the_archive_where_the_log_is_short() {
    let (_server, bus, instance, _) = serving().await;
    let (_, handle) = instance.leading().await;
    let mut moments = Vec::new();
    for token in 1..=20 {
        given(&bus, add(token)).await;
        all_announced(&handle).await;
        moments.push(told(&bus, 0).await.expect("now"));
    }
    for (time, then) in [&moments[2], &moments[17]] {
        assert_eq!(&asked(&bus, *time).await.expect("from the log"), then);
    }
    let serving_archive = archive::serve(&bus, Archive::new(archive::copy(&bus, 1).await)).await;
    let stream = bus.jetstream().get_stream_no_info(LOG).await.expect("the log");
    stream.purge().sequence(moments[9].1.0).await.expect("shortened");
    assert!(log_state(&bus).await.first > 1);
    given(&bus, add(99)).await;
    // Moments that were asked for before are kept: these are others.
    for (time, then) in [&moments[3], &moments[12], &moments[19]] {
        assert_eq!(&asked(&bus, *time).await.expect("from the archive"), then);
    }
    serving_archive.abort();
    let away = asked(&bus, moments[5].0).await.expect_err("the archive is away");
    assert_eq!(away.code(), v1::RefusalCode::Unavailable, "{away:?}");
    let ahead = asked(&bus, bus.now().0 + MINUTE_NS).await.expect_err("that is to come");
    assert_eq!(ahead.code(), v1::RefusalCode::Invalid, "{ahead:?}");
    instance.stop().await;
}
