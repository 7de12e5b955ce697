//! Requests: retried with the same command id, and ended with one clear line.

use std::time::{Duration, Instant};

use muster_bus::{Authority, Bus, Endpoint, subjects::Service};
use muster_model::{Place, Refusal, RefusalCode};
use muster_proto::v1::{self, envelope::Body, job_reply};

use crate::{error_of, json_of, muster, muster_beside, server};

async fn commands_of(bus: &Bus) -> (muster_bus::Served, Endpoint) {
    let mut served = bus.serve(Service::Scheduler, "test", &["command"]).await.expect("it serves");
    let endpoint = served.endpoints.remove(0);
    bus.settled().await.expect("the server has it");
    (served, endpoint)
}

fn started(job: u32) -> Body {
    let placement = v1::MachinePlacement { machine: "node-1".into(), first: 1, count: 2, ..Default::default() };
    let started = v1::Started { run: 1, job, placements: vec![placement], balance: 1.0, seed: 7, loads: Vec::new() };
    Body::JobReply(v1::JobReply { kind: Some(job_reply::Kind::Started(started)) })
}

#[tokio::test]
async fn a_retry_carries_the_same_command_id() {
    let (server, bus) = server().await;
    let (_served, mut commands) = commands_of(&bus).await;
    let run = tokio::spawn({
        let url = server.url();
        async move { muster_beside(&url, &["start", "high-io", "--processes", "2", "--output", "json"]).await }
    });
    let mut ids = Vec::new();
    for answer in 0..3 {
        let request = commands.next().await.expect("a request comes");
        let envelope = request.envelope.clone().expect("it can be decoded");
        assert_eq!((envelope.source.as_str(), envelope.actor.as_str()), ("cli/anna", "user:anna"));
        muster_proto::command_id(&envelope).expect("it has a UUIDv7");
        ids.push(envelope.cmd_id);
        match answer {
            0 => drop(request),
            1 => request.refuse(&Refusal::new(RefusalCode::Unavailable, "start", "not the leader", "try again")).await,
            _ => request.answer(started(12), Authority::default()).await,
        }
    }
    let output = run.await.expect("muster runs");
    assert_eq!(json_of(&output)[0]["job"], 12);
    assert_eq!(json_of(&output)[0]["last"], "000C0002");
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    assert!(error_of(&output).contains("waiting for scheduler until"), "{}", error_of(&output));
}

#[tokio::test]
async fn who_is_told_to_wait_waits_so_long_and_asks_the_same_again() {
    let (server, bus) = server().await;
    let (_served, mut commands) = commands_of(&bus).await;
    let wait = Duration::from_millis(1_500);
    let busy = Refusal::new(RefusalCode::Limit, "take a request", "user/anna asks too often", "try again in 1500 ms");
    let busy = busy.with_again_after(wait);
    let run = |arguments: &'static [&'static str]| {
        let url = server.url();
        tokio::spawn(async move { muster_beside(&url, arguments).await })
    };
    let patient = run(&["start", "high-io", "--processes", "2", "--output", "json"]);
    let first = commands.next().await.expect("a request comes");
    let (id, refused) = (first.envelope.clone().expect("decodable").cmd_id, Instant::now());
    first.refuse(&busy).await;
    let second = commands.next().await.expect("it comes again");
    assert!(refused.elapsed() >= wait, "{:?}", refused.elapsed());
    assert_eq!(second.envelope.clone().expect("decodable").cmd_id, id);
    second.answer(started(12), Authority::default()).await;
    let output = patient.await.expect("muster runs");
    assert_eq!(json_of(&output)[0]["job"], 12, "{}", error_of(&output));

    let hasty = run(&["start", "high-io", "--processes", "2", "--timeout", "1s"]);
    commands.next().await.expect("a request comes").refuse(&busy).await;
    let output = hasty.await.expect("muster runs");
    assert_eq!(output.status.code(), Some(3), "{}", error_of(&output));
    assert!(error_of(&output).contains("user/anna asks too often"), "{}", error_of(&output));
}

#[tokio::test]
async fn a_refusal_is_one_line_with_a_caret_and_the_documented_code() {
    let (server, bus) = server().await;
    let (_served, mut commands) = commands_of(&bus).await;
    tokio::spawn(async move {
        let request = commands.next().await.expect("a request comes");
        let place = Place { text: "cpus>=abc".into(), from: 6, to: 9 };
        let refusal = Refusal::new(RefusalCode::Invalid, "start high-io", "`abc` is not a number", "write `cpus>=4`");
        request.refuse(&refusal.at(place)).await;
    });
    let output = muster_beside(&server.url(), &["start", "high-io", "-n", "1", "--on", "cpus>=abc"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let expected = "muster: start high-io: `abc` is not a number; write `cpus>=4`\n  cpus>=abc\n        ^^^\n";
    assert_eq!(error_of(&output), expected);
}

#[test]
fn a_bus_that_answers_nothing_is_said_in_one_line_in_time() {
    let begun = Instant::now();
    let output = muster("nats://127.0.0.1:9", &["ps", "--timeout", "1s"]);
    let error = error_of(&output);
    assert_eq!(output.status.code(), Some(69), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.starts_with("muster: ") && error.contains("127.0.0.1:9") && error.contains("MUSTER_NATS"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_service_that_is_not_there_is_waited_for_and_then_named() {
    let (server, _bus) = server().await;
    let output = muster_beside(&server.url(), &["jobs", "--timeout", "2s"]).await;
    let error = error_of(&output);
    assert_eq!(output.status.code(), Some(69), "{error}");
    assert!(error.contains("nobody answered for scheduler within 2s") && error.contains("admin status"), "{error}");
}

#[tokio::test]
async fn an_answer_that_never_comes_is_a_time_out() {
    let (server, bus) = server().await;
    let (_served, mut commands) = commands_of(&bus).await;
    let silent = tokio::spawn(async move { while commands.next().await.is_some() {} });
    let output = muster_beside(&server.url(), &["start", "high-io", "-n", "1", "--timeout", "1s"]).await;
    assert_eq!(output.status.code(), Some(5), "{}", error_of(&output));
    assert!(error_of(&output).contains("may or may not have done it"), "{}", error_of(&output));
    silent.abort();
}

#[tokio::test]
async fn without_a_terminal_what_destroys_needs_yes() {
    let (server, bus) = server().await;
    let mut served = bus.serve(Service::Scheduler, "test", &["query"]).await.expect("it serves");
    let mut queries = served.endpoints.remove(0);
    bus.settled().await.expect("the server has it");
    tokio::spawn(async move {
        while let Some(request) = queries.next().await {
            let list = v1::JobList { run: 4, ..Default::default() };
            let reply = v1::JobReply { kind: Some(job_reply::Kind::Jobs(list)) };
            request.answer(Body::JobReply(reply), Authority::default()).await;
        }
    });
    let output = muster_beside(&server.url(), &["run-id", "new"]).await;
    assert_eq!(output.status.code(), Some(3), "{}", error_of(&output));
    assert!(error_of(&output).contains("run 4") && error_of(&output).contains("--yes"), "{}", error_of(&output));
}
