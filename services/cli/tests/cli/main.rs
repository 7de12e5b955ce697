//! The real `muster` against a real nats-server, with services that the test plays.

mod artifacts;
mod center;
mod module_test;
mod modules;
mod requests;
mod starts;
mod systems;

use std::process::{Command, Output};

use muster_bus::{Bus, BusOptions};
use muster_testkit::NatsServer;

/// Runs `muster` to its end, without a terminal.
fn muster(url: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_muster"))
        .args(arguments)
        .env("MUSTER_NATS", url)
        .env("MUSTER_INSECURE_LOCAL", "true")
        .env("MUSTER_USER", "anna")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("muster runs")
}

/// Runs `muster` while the test goes on playing a service.
async fn muster_beside(url: &str, arguments: &[&str]) -> Output {
    let (url, arguments) = (url.to_owned(), arguments.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    let run = move || muster(&url, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.expect("muster runs")
}

/// What was said on stderr.
fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What was said on stdout, as JSON.
fn json_of(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", error_of(output));
    serde_json::from_slice(&output.stdout).expect("stdout is JSON")
}

/// A server, and a connection as the service that the test plays.
async fn server() -> (NatsServer, Bus) {
    let server = tokio::task::spawn_blocking(|| NatsServer::start().expect("nats-server starts"));
    let server = server.await.expect("nats-server starts");
    let bus =
        Bus::connect(&BusOptions::insecure_local(&server.url(), "scheduler/test")).await.expect("the server answers");
    (server, bus)
}
