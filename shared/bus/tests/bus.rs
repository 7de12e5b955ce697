//! The bus against a real nats-server.

use std::time::Duration;

use bytes::Bytes;
use muster_bus::streams::{InitOptions, REPORTS};
use muster_bus::{Authority, Bucket, Bus, BusError, BusOptions, RequestError, subjects};
use muster_model::{MachineId, Refusal, RefusalCode};
use muster_proto::v1::{JobQuery, ListJobs, envelope::Body, job_query::Kind};
use muster_testkit::NatsServer;
use tokio::io::AsyncReadExt;

const SMALL: InitOptions = InitOptions { replicas: 1, size_divisor: 64 };

async fn bus(server: &NatsServer) -> Bus {
    Bus::connect(&BusOptions::insecure_local(&server.url(), "test/a")).await.expect("the server answers")
}

fn question() -> Body {
    Body::JobQuery(JobQuery { kind: Some(Kind::Jobs(ListJobs::default())) })
}

#[tokio::test]
async fn a_request_is_answered_refused_or_known_to_reach_nobody() {
    let server = NatsServer::start().expect("nats-server starts");
    let bus = bus(&server).await;
    let subject = subjects::service(subjects::Service::Scheduler, "query");
    let envelope = bus.envelope(question(), Authority::default());
    let nobody = bus.request(&subject, &envelope, Duration::from_secs(1)).await;
    assert!(matches!(nobody, Err(RequestError::NoResponders { .. })), "{nobody:?}");

    let mut served = bus.serve(subjects::Service::Scheduler, "leader-a", &["query"]).await.expect("it is served");
    let mut endpoint = served.endpoints.remove(0);
    let refusal = Refusal::new(RefusalCode::NotFound, "list jobs", "there are none", "start one");
    let expected = refusal.clone();
    tokio::spawn(async move {
        while let Some(request) = endpoint.next().await {
            request.refuse(&refusal).await;
        }
    });
    bus.settled().await.expect("the server has the subscription");
    let answer = bus.request(&subject, &envelope, Duration::from_secs(5)).await.expect("it is answered");
    let Some(Body::Refusal(answer)) = answer.body else { panic!("{answer:?}") };
    assert_eq!(Refusal::from(answer), expected);
    served.stop().await;
}

#[tokio::test]
async fn stored_messages_are_read_in_order_across_a_kill_of_the_server() {
    let mut server = NatsServer::start().expect("nats-server starts");
    let bus = bus(&server).await;
    bus.init_streams(SMALL).await.expect("streams are made");
    bus.init_streams(SMALL).await.expect("making them again changes nothing");
    let subject = subjects::reports(&MachineId::new("m1").expect("valid"));
    let mut reader = bus.read(REPORTS, "", 1);
    for number in 0..10_u8 {
        bus.store(&subject, &format!("m1-{number}"), Bytes::from(vec![number])).await.expect("it is stored");
    }
    for number in 0..5_u8 {
        assert_eq!(reader.next().await.payload.as_ref(), [number]);
    }
    server.kill9();
    server.restart().expect("nats-server starts again");
    for number in 5..10_u8 {
        let message = tokio::time::timeout(Duration::from_secs(30), reader.next()).await.expect("reading goes on");
        assert_eq!((message.payload.as_ref(), message.sequence), ([number].as_slice(), u64::from(number) + 1));
    }
}

#[tokio::test]
async fn a_reader_that_waits_goes_on_soon_after_the_server_comes_back() {
    let mut server = NatsServer::start().expect("nats-server starts");
    let bus = bus(&server).await;
    bus.init_streams(SMALL).await.expect("streams are made");
    let subject = subjects::reports(&MachineId::new("m1").expect("valid"));
    let mut reader = bus.read(REPORTS, "", 1);
    bus.store(&subject, "m1-0", Bytes::from_static(b"0")).await.expect("it is stored");
    assert_eq!(reader.next().await.payload.as_ref(), b"0");
    let reading = tokio::spawn(async move { reader.next().await.payload });
    server.kill9();
    server.restart().expect("nats-server starts again");
    let stored = async { while bus.store(&subject, "m1-1", Bytes::from_static(b"1")).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(30), stored).await.expect("it is stored");
    let read =
        tokio::time::timeout(Duration::from_secs(10), reading).await.expect("the reader does not wait for heartbeats");
    assert_eq!(read.expect("the reader lives").as_ref(), b"1");
}

#[tokio::test]
async fn a_repeated_message_id_is_stored_once() {
    let server = NatsServer::start().expect("nats-server starts");
    let bus = bus(&server).await;
    bus.init_streams(SMALL).await.expect("streams are made");
    let subject = subjects::reports(&MachineId::new("m1").expect("valid"));
    let first = bus.store(&subject, "m1-1", Bytes::from_static(b"a")).await.expect("it is stored");
    let second = bus.store(&subject, "m1-1", Bytes::from_static(b"a")).await.expect("it is acknowledged");
    assert_eq!(first, second);
}

#[tokio::test]
async fn objects_are_put_listed_read_and_deleted() {
    let server = NatsServer::start().expect("nats-server starts");
    let bus = bus(&server).await;
    bus.init_streams(SMALL).await.expect("streams are made");
    let data = vec![7_u8; 500_000];
    bus.put_object(Bucket::Modules, "digest", &mut data.as_slice()).await.expect("it is put");
    assert_eq!(bus.list_objects(Bucket::Modules).await.expect("it is listed"), ["digest"]);
    let mut read = Vec::new();
    let mut object = bus.get_object(Bucket::Modules, "digest").await.expect("it answers").expect("it is there");
    object.read_to_end(&mut read).await.expect("it is read");
    assert!(read == data);
    bus.delete_object(Bucket::Modules, "digest").await.expect("it is deleted");
    bus.delete_object(Bucket::Modules, "digest").await.expect("twice is no error");
    assert!(bus.get_object(Bucket::Modules, "digest").await.expect("it answers").is_none());
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_named_within_the_time_limit() {
    let mut options = BusOptions::insecure_local("nats://127.0.0.1:9", "test/a");
    options.connect_timeout = Duration::from_millis(500);
    let error = Bus::connect(&options).await.expect_err("nobody listens there");
    assert!(matches!(error, BusError::Unreachable { .. }) && error.to_string().contains("127.0.0.1:9"), "{error}");
}
