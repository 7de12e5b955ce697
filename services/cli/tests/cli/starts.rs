//! Starts and load numbers: what is sent for what was typed, and what is refused before anything is sent.

use muster_bus::{Authority, Bus, Endpoint, Served, subjects::Service};
use muster_proto::v1::{self, envelope::Body, job_command, job_reply, machine_command, machine_query, machine_reply};

use crate::{error_of, json_of, muster, muster_beside, server};

async fn serve(bus: &Bus, service: Service, verb: &'static str) -> (Served, Endpoint) {
    let mut served = bus.serve(service, "test", &[verb]).await.expect("it serves");
    let endpoint = served.endpoints.remove(0);
    bus.settled().await.expect("the server has it");
    (served, endpoint)
}

/// A wrong line is refused with the usage code and one line that names what is wrong, before any server is asked.
#[track_caller]
fn refused(line: &[&str], named: &str) {
    let output = muster("nats://127.0.0.1:9", line);
    let error = error_of(&output);
    assert_eq!(output.status.code(), Some(2), "{line:?}: {error}");
    assert!(error.contains(named), "{line:?}: {error}");
    assert!(output.stdout.is_empty(), "{line:?}");
}

#[test]
fn counts_that_can_not_be_are_refused_at_once() {
    refused(&["start", "high-io", "--processes", "0"], "0 is not in 1..=65535");
    refused(&["start", "high-io", "--processes", "-4"], "-4 is not in 1..=65535");
    refused(&["start", "high-io", "-n", "-4"], "-4 is not in 1..=65535");
    refused(&["start", "high-io", "--per-disk=-4"], "-4 is not in 1..=65535");
    refused(&["start", "high-io", "--per-disk", "65536"], "65536 is not in 1..=65535");
    refused(&["start", "high-io", "--per-disk", "1", "--per-cpu", "1"], "cannot be used with");
    refused(&["start", "high-io"], "--processes");
}

#[tokio::test]
async fn a_start_sends_what_is_counted_and_which_resources() {
    let (server, bus) = server().await;
    let (_served, mut commands) = serve(&bus, Service::Scheduler, "command").await;
    let line = ["start", "high-io", "--per-disk", "3", "--resources", "type=ssd", "--dry-run", "--output", "json"];
    let run = tokio::spawn({
        let url = server.url();
        async move { muster_beside(&url, &line).await }
    });
    let request = commands.next().await.expect("a request comes");
    let envelope = request.envelope.clone().expect("it can be decoded");
    let Some(Body::JobCommand(v1::JobCommand { kind: Some(job_command::Kind::Start(start)), .. })) = envelope.body
    else {
        panic!("it is a start");
    };
    assert_eq!((start.processes, start.count_by()), (3, v1::CountBy::Disk));
    assert_eq!((start.resource_selector.as_str(), start.dry_run), ("type=ssd", true));
    let kind = v1::ResourceKind::Disk.into();
    let (machine, resource) = ("node-1".to_owned(), "disk-a".to_owned());
    let change = v1::LoadChange { machine, resource, kind, processes: 3, before_milli: 250, after_milli: 343 };
    let started = v1::Started { run: 1, balance: 1.25, loads: vec![change], ..v1::Started::default() };
    let reply = v1::JobReply { kind: Some(job_reply::Kind::Started(started)) };
    request.answer(Body::JobReply(reply), Authority::default()).await;
    let row = &json_of(&run.await.expect("muster runs"))[0];
    assert_eq!((&row["machine"], &row["resource"], &row["kind"]), (&"node-1".into(), &"disk-a".into(), &"disk".into()));
    assert_eq!((&row["load_before"], &row["load_after"], &row["balance"]), (&0.25.into(), &0.343.into(), &1.25.into()));
}

fn file(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("loads.toml");
    std::fs::write(&path, text).expect("it is written");
    let name = path.display().to_string();
    (directory, name)
}

#[tokio::test]
async fn a_wrong_file_of_load_numbers_changes_nothing() {
    let (server, _bus) = server().await;
    let (_directory, name) =
        file("[[load_number]]\nkind = \"disk\"\nload = 4\n[[load_number]]\nkind = \"disc\"\nload = 1\n");
    let output = muster_beside(&server.url(), &["load-number", "load", &name]).await;
    let error = error_of(&output);
    assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{error}");
    assert!(error.ends_with("loads.toml: kind `disc` is none of cpu, disk, nic, memory, tape\n"), "{error}");
}

#[tokio::test]
async fn a_file_of_load_numbers_is_one_command() {
    let (server, bus) = server().await;
    let mut served = bus.serve(Service::MachineLifecycle, "test", &["command", "query"]).await.expect("it serves");
    let (mut commands, mut queries) = (served.endpoints.remove(0), served.endpoints.remove(0));
    bus.settled().await.expect("the server has it");
    let (_directory, name) = file(
        "[[load_number]]\nkind = \"disk\"\nload = 4\n[[load_number]]\nkind = \"tape\"\ntype = \"LTO\"\nload = 1\n",
    );
    let run = tokio::spawn({
        let url = server.url();
        async move { muster_beside(&url, &["load-number", "load", &name, "--output", "json"]).await }
    });
    let request = queries.next().await.expect("it asks what holds now");
    let body = request.envelope.clone().expect("it can be decoded").body;
    let asked =
        matches!(body, Some(Body::MachineQuery(v1::MachineQuery { kind: Some(machine_query::Kind::LoadNumbers(_)) })));
    assert!(asked);
    let number = v1::LoadNumber { kind: v1::ResourceKind::Disk.into(), device_type: String::new(), load: 32 };
    let list = machine_reply::Kind::LoadNumbers(v1::LoadNumberList { numbers: vec![number] });
    request.answer(Body::MachineReply(v1::MachineReply { kind: Some(list) }), Authority::default()).await;
    let request = commands.next().await.expect("a command comes");
    let body = request.envelope.clone().expect("it can be decoded").body;
    let Some(Body::MachineCommand(v1::MachineCommand { kind: Some(machine_command::Kind::SetLoadNumber(set)) })) = body
    else {
        panic!("it sets load numbers");
    };
    assert_eq!((set.number, set.numbers.len()), (None, 2));
    let changed = machine_reply::Kind::Changed(v1::MachinesChanged::default());
    request.answer(Body::MachineReply(v1::MachineReply { kind: Some(changed) }), Authority::default()).await;
    let rows = json_of(&run.await.expect("muster runs"));
    assert_eq!((&rows[0]["before"], &rows[0]["after"], &rows[0]["change"]), (&32.into(), &4.into(), &"changed".into()));
    assert_eq!((&rows[1]["kind"], &rows[1]["change"]), (&"tape".into(), &"added".into()));
}
