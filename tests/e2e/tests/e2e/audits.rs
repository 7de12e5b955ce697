//! Who did what is in the logs for certain, and whoever changes them is found out, by `muster admin audit`.

use std::time::{Duration, Instant};

use muster_bus::streams;
use muster_store::{Access, Store, StoreOptions};
use muster_testkit::lab::{Lab, LabOptions};
use serde_json::Value;

fn verify(lab: &Lab, more: &[&str]) -> (Option<i32>, Value) {
    let arguments = [&["admin", "audit", "verify", "--output", "json"][..], more].concat();
    let output = lab.muster(&arguments).expect("muster runs");
    let rows = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    });
    (output.status.code(), rows)
}

fn row<'a>(rows: &'a Value, log: &str) -> &'a Value {
    rows.as_array().expect("rows").iter().find(|row| row["log"] == log).expect("each log has one")
}

async fn change(store: &Store, statement: &str) -> u64 {
    store.client().await.expect("PostgreSQL answers").execute(statement, &[]).await.expect("it is done")
}

/// Waits until the archive has all of a log that nobody adds to, and gives its row.
fn archived(lab: &Lab, log: &str) -> Value {
    let begun = Instant::now();
    loop {
        let (code, rows) = verify(lab, &[]);
        assert_eq!(code, Some(0), "{rows:#}");
        let row = row(&rows, log).clone();
        if row["archived"] == row["last"] {
            return row;
        }
        assert!(begun.elapsed() < muster_e2e::SETTLE_LIMIT, "{row:#}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn who_did_what_is_proven_and_every_change_of_it_is_found() {
    let (options, _scratch) = muster_e2e::options(1, 1).expect("a folder");
    let lab = Lab::up(LabOptions { secured: true, ..options }, &|_| ()).expect("it comes up with keys");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    lab.muster_ok(&["reserve", "node-1", "--for", "10m", "--wait"]).expect("reserved");
    lab.muster_ok(&["checkin", "1"]).expect("given back");
    let listed = lab.muster_json(&["admin", "audit", "list", "--by", "lab", "--machine", "node-1"]).expect("listed");
    let listed = listed.as_array().expect("rows");
    assert!(
        !listed.is_empty() && listed.iter().all(|row| row["proven"] == "user/lab" && row["by"] == "user:lab"),
        "{listed:#?}"
    );
    let nobody = lab.muster_json(&["admin", "audit", "list", "--by", "nobody"]).expect("listed");
    assert_eq!(nobody.as_array().map(Vec::len), Some(0));

    let log = streams::RESERVATIONS;
    let whole = archived(&lab, log);
    assert_eq!(whole["breaks"], 0, "{whole:#}");
    assert!(whole["proven"].as_u64() >= Some(2), "{whole:#}");
    let seal = whole["seal"].as_str().expect("a seal").to_owned();
    assert_eq!(verify(&lab, &["--seal", &seal]).0, Some(0));

    let options = StoreOptions {
        application: "e2e-audit".into(),
        access: Access::Write,
        connections_max: 1,
        statement_timeout: Duration::from_secs(10),
    };
    let store = Store::open(&lab.postgres.url(), &options).expect("a URL");
    let found = |what: &str, statement: &str, undo: &str| {
        assert!(runtime.block_on(change(&store, statement)) > 0, "{what}");
        let (code, rows) = verify(&lab, &[]);
        let row = row(&rows, log);
        assert_eq!(code, Some(1), "{what}: {row:#}");
        assert!(row["breaks"].as_u64() > Some(0), "{what}: {row:#}");
        eprintln!("{what}: {}", row["first_break"]);
        runtime.block_on(change(&store, undo));
        assert_eq!(verify(&lab, &[]).0, Some(0), "{what} is undone");
    };
    let place = "log = 'RESERVATIONS' AND sequence = 3";
    let flip = format!(
        "UPDATE archive SET payload = set_byte(payload, length(payload) / 2, get_byte(payload, length(payload) / 2) # 1) WHERE {place}"
    );
    found("one byte is changed", &flip, &flip);
    let away = "UPDATE archive SET log = 'RESERVATIONS' WHERE log = 'HIDDEN'";
    found("one is removed", &format!("UPDATE archive SET log = 'HIDDEN' WHERE {place}"), away);
    let exchange = "UPDATE archive AS a SET payload = b.payload, hash = b.hash FROM archive AS b \
        WHERE a.log = 'RESERVATIONS' AND b.log = a.log AND a.sequence IN (3, 4) AND b.sequence = 7 - a.sequence";
    found("two are exchanged", exchange, exchange);

    // The end of the log itself is cut: whoever owns the servers can.
    lab.muster_ok(&["reserve", "node-1", "--for", "10m"]).expect("reserved");
    let last = archived(&lab, log)["last"].clone();
    let sequence = last.as_str().and_then(|at| at.split('/').nth(1)?.parse().ok()).expect("a sequence");
    runtime.block_on(async {
        let access = muster_bus::Access::Credentials(
            muster_bus::Credentials::open(&lab.directory().join("keys/user-lab.key")).expect("in order"),
        );
        let options = muster_bus::BusOptions::new(&lab.nats_url(), "e2e/audit", access);
        let bus = muster_bus::Bus::connect(&options).await.expect("let in");
        let stream = bus.jetstream().get_stream_no_info(log).await.expect("the log");
        let refused = stream.delete_message(sequence).await;
        assert!(refused.is_err(), "not even an administrator deletes a message of a log");
    });
    lab.down().expect("it goes down");
}
