//! `muster admin init`, `muster events` and `muster decode` on the logs of a new system.

use std::io::Write;
use std::process::{Command, Stdio};

use muster_bus::streams;

use crate::{error_of, json_of, muster_beside, server};

#[tokio::test]
async fn a_new_system_is_made_once_and_its_events_can_be_read() {
    let (server, bus) = server().await;
    let made = muster_beside(&server.url(), &["admin", "init", "--new-system", "--output", "json"]).await;
    let system = json_of(&made)[0]["system"].as_str().expect("it is named").to_owned();
    let again = muster_beside(&server.url(), &["admin", "init", "--new-system"]).await;
    assert_eq!(again.status.code(), Some(3), "{}", error_of(&again));
    assert!(muster_beside(&server.url(), &["admin", "init"]).await.status.success(), "init is idempotent");

    let events = muster_beside(&server.url(), &["events"]).await;
    let lines: Vec<serde_json::Value> = String::from_utf8_lossy(&events.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines.iter().all(|line| line["kind"] == "genesis" && line["fields"]["system"] == system.as_str()));
    let one = muster_beside(&server.url(), &["events", "--log", "machines", "--since", "1h"]).await;
    assert_eq!(String::from_utf8_lossy(&one.stdout).lines().count(), 1, "{}", error_of(&one));
    let later = muster_beside(&server.url(), &["events", "--since", "2"]).await;
    assert!(later.status.success() && later.stdout.is_empty());

    let message = bus.read(streams::JOBS, "", 1).next().await;
    let decoded = decode(&message.payload);
    assert_eq!(json_of(&decoded)["turn"]["entries"][0]["cause"]["genesis"]["log"], "JOBS");
}

#[test]
fn bytes_that_are_no_message_are_refused_in_one_line() {
    let output = decode(b"rubbish");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(error_of(&output).lines().count(), 1, "{}", error_of(&output));
}

fn decode(payload: &[u8]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.arg("decode").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("muster runs");
    child.stdin.take().expect("it is piped").write_all(payload).expect("muster reads");
    child.wait_with_output().expect("muster ends")
}
