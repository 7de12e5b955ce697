//! `muster artifact` and `muster report corruption`, with a report service that the test plays and a real object store.

use muster_bus::streams::InitOptions;
use muster_bus::subjects::Service;
use muster_bus::{Authority, Bucket, Bus};
use muster_model::{Refusal, RefusalCode};
use muster_proto::v1::{self, cell::Value, envelope::Body, report_query::Kind};

use crate::{error_of, muster_beside, server};

/// SHA-256 of `abc`.
const SHA256_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn artifacts(names: &[&str]) -> v1::ReportReply {
    let column = |name: &str| v1::Column { name: name.into(), numeric: false };
    let text = |text: &str| v1::Cell { value: Some(Value::Text(text.into())) };
    let row = |name: &&str| v1::Row { cells: vec![text("artifacts"), text(name), text(SHA256_ABC)] };
    let columns = ["bucket", "name", "sha256"].map(column).into();
    v1::ReportReply { title: "artifacts".into(), columns, rows: names.iter().map(row).collect(), notes: vec![] }
}

/// Knows the files of corruption 7, and by name all that is asked for.
async fn report_service(bus: &Bus) -> muster_bus::Served {
    let mut served = bus.serve(Service::Report, "test", &["query"]).await.expect("it serves");
    let mut queries = served.endpoints.remove(0);
    bus.settled().await.expect("the server has it");
    tokio::spawn(async move {
        while let Some(request) = queries.next().await {
            let Ok(v1::Envelope { body: Some(Body::ReportQuery(query)), .. }) = &request.envelope else { panic!() };
            let answer = match query.kind.as_ref().expect("a question") {
                Kind::Artifact(query) if query.corruption == 7 => {
                    Ok(artifacts(&["1-00010001-1/a-expected.bin", "1-00010001-1/a-actual.bin"]))
                }
                Kind::Artifact(query) if query.name.contains("none") => Ok(artifacts(&[])),
                Kind::Artifact(query) if !query.name.is_empty() => Ok(artifacts(&[&query.name])),
                Kind::Corruption(query) if query.number == 9 => Err(Refusal::new(
                    RefusalCode::NotFound,
                    "report",
                    "the store does not know corruption 9",
                    "list them",
                )),
                _ => Ok(v1::ReportReply::default()),
            };
            match answer {
                Ok(reply) => request.answer(Body::ReportReply(reply), Authority::default()).await,
                Err(refusal) => request.refuse(&refusal).await,
            }
        }
    });
    served
}

#[tokio::test]
async fn files_are_fetched_whole_and_checked_or_refused_clearly() {
    let (server, bus) = server().await;
    bus.init_streams(InitOptions { replicas: 1, size_divisor: 1_000 }).await.expect("object stores");
    for (name, content) in [
        ("1-00010001-1/a-expected.bin", &b"abc"[..]),
        ("1-00010001-1/a-actual.bin", b"abc"),
        ("1-00010001-1/replaced.bin", b"abd"),
    ] {
        bus.put_object(Bucket::Artifacts, name, &mut &content[..]).await.expect("it is stored");
    }
    let _served = report_service(&bus).await;
    let directory = tempfile::tempdir().expect("directory");
    let to = directory.path().join("new");
    let to_text = to.to_string_lossy().into_owned();
    let get = async |arguments: &[&str]| {
        let all = [&["artifact", "get"], arguments, &["--to", &to_text]].concat();
        let output = muster_beside(&server.url(), &all).await;
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), error_of(&output))
    };
    let files = || {
        let entries = std::fs::read_dir(&to).expect("directory");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("entry").file_name()).collect();
        names.sort();
        names
    };
    let (code, stdout, error) = get(&["--corruption", "7"]).await;
    assert_eq!((code, stdout.lines().count()), (Some(0), 2), "{error}");
    assert_eq!(files(), ["a-actual.bin", "a-expected.bin"]);
    assert_eq!(std::fs::read(to.join("a-actual.bin")).expect("it is there"), b"abc");
    for (arguments, code, text) in [
        (&["--corruption", "7"][..], 3, "a-expected.bin is there already; give another directory with --to"),
        (&["1-00010001-1/replaced.bin"], 3, "but its agent stored ba7816bf"),
        (&["1-00010001-1/aged-out.bin"], 4, "there is no `1-00010001-1/aged-out.bin` in the object store any more"),
        (&["1-00010001-1/.."], 3, "its name can not be a file's"),
        (&["none"], 4, "there is no stored file `none`"),
        (&[], 2, "required"),
        (&["a", "--corruption", "7"], 2, "cannot be used with"),
    ] {
        let (found, stdout, error) = get(arguments).await;
        assert_eq!((found, stdout.as_str()), (Some(code), ""), "{arguments:?}: {error}");
        assert!(error.contains(text), "{arguments:?}: {error}");
    }
    assert_eq!(files(), ["a-actual.bin", "a-expected.bin"], "nothing half fetched or wrong is left");
    let unknown = muster_beside(&server.url(), &["report", "corruption", "9"]).await;
    assert_eq!(unknown.status.code(), Some(4), "{}", error_of(&unknown));
    assert!(error_of(&unknown).contains("the store does not know corruption 9"));
}
