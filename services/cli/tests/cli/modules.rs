//! `muster module add`: artifacts go to the store once, and never when their digest is not the one that was said.

use std::path::Path;

use muster_bus::streams::InitOptions;
use muster_bus::{Authority, Bucket, Bus, subjects::Service};
use muster_proto::v1::{self, envelope::Body, job_command, job_reply};

use crate::{error_of, json_of, muster_beside, server};

/// SHA-256 of `hello\n`.
const HELLO: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

fn module(directory: &Path, sha256: &str) {
    std::fs::write(directory.join("hello.sh"), "hello\n").expect("the artifact is written");
    let manifest = format!(
        "name = \"hello\"\nversion = \"1\"\n[[artifacts]]\narchitecture = \"any\"\npath = \"hello.sh\"\nsha256 = \"{sha256}\"\n"
    );
    std::fs::write(directory.join("module.toml"), manifest).expect("the manifest is written");
}

/// Plays a scheduler that takes every module; gives those that it took.
fn catalogue(served: muster_bus::Served) -> tokio::sync::mpsc::Receiver<v1::Module> {
    let (taken, modules) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        // The whole of it: a service that is dropped leaves the bus.
        let mut served = served;
        while let Some(request) = served.endpoints[0].next().await {
            let Ok(v1::Envelope { body: Some(Body::JobCommand(command)), .. }) = request.envelope.clone() else {
                continue;
            };
            let Some(job_command::Kind::AddModule(added)) = command.kind else { continue };
            let module = added.module.unwrap_or_default();
            let changed = v1::ModuleChanged { name: module.name.clone(), version: "1".into(), unchanged: false };
            let reply = v1::JobReply { kind: Some(job_reply::Kind::ModuleChanged(changed)) };
            taken.send(module).await.expect("the test listens");
            request.answer(Body::JobReply(reply), Authority::default()).await;
        }
    });
    modules
}

async fn stores(bus: &Bus) {
    bus.init_streams(InitOptions { replicas: 1, size_divisor: 1024 }).await.expect("the stores are made");
}

#[tokio::test]
async fn a_digest_that_does_not_match_is_refused_before_anything_is_uploaded() {
    let (server, bus) = server().await;
    stores(&bus).await;
    let mut modules = catalogue(bus.serve(Service::Scheduler, "test", &["command"]).await.expect("it serves"));
    let directory = tempfile::tempdir().expect("a folder is made");
    module(directory.path(), &"0".repeat(64));
    let output = muster_beside(&server.url(), &["module", "add", &directory.path().to_string_lossy()]).await;
    assert_eq!(output.status.code(), Some(3), "{}", error_of(&output));
    assert!(error_of(&output).contains(HELLO), "{}", error_of(&output));
    assert!(bus.list_objects(Bucket::Modules).await.expect("the store answers").is_empty());
    assert!(modules.try_recv().is_err(), "the scheduler was not asked");
}

#[tokio::test]
async fn an_artifact_is_put_under_its_digest_and_only_once() {
    let (server, bus) = server().await;
    stores(&bus).await;
    let mut modules = catalogue(bus.serve(Service::Scheduler, "test", &["command"]).await.expect("it serves"));
    bus.settled().await.expect("the server has it");
    let directory = tempfile::tempdir().expect("a folder is made");
    module(directory.path(), HELLO);
    let path = directory.path().to_string_lossy().into_owned();
    for round in 0..2 {
        let output = muster_beside(&server.url(), &["module", "add", &path, "--output", "json"]).await;
        assert_eq!(json_of(&output)[0]["module"], "hello");
        assert_eq!(error_of(&output).contains("upload"), round == 0, "{}", error_of(&output));
        let taken = modules.recv().await.expect("the scheduler is asked");
        assert_eq!((taken.artifacts[0].sha256.as_str(), taken.artifacts[0].size_bytes), (HELLO, 6));
    }
    assert_eq!(bus.list_objects(Bucket::Modules).await.expect("the store answers"), [HELLO]);
}

#[tokio::test]
async fn a_missing_artifact_is_named() {
    let (server, bus) = server().await;
    stores(&bus).await;
    let directory = tempfile::tempdir().expect("a folder is made");
    module(directory.path(), "");
    let artifacts = directory.path().join("nowhere");
    let arguments = ["module", "add", &directory.path().to_string_lossy(), "--artifacts", &artifacts.to_string_lossy()];
    let output = muster_beside(&server.url(), &arguments).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(error_of(&output).contains("nowhere/hello.sh") && error_of(&output).contains("--artifacts"));
}
