//! The pool as it was, what became otherwise, results for other programs, and reports in every form.

use muster_e2e::{SETTLE_LIMIT, lab, start, wait_state};
use muster_testkit::formats::{check_ctrf, read_tap};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;
use serde_json::Value;

fn rows(lab: &Lab, arguments: &[&str]) -> Vec<Value> {
    let rows = lab.muster_json(arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error:#}\n{}", lab.tails()));
    rows.as_array().cloned().expect("a listing")
}

/// The pool time as the scheduler tells it.
fn now(lab: &Lab) -> String {
    rows(lab, &["clock"])[0]["pool_time"].as_str().expect("a time").to_owned()
}

#[test]
fn the_past_is_answered_by_its_owners_and_results_are_exported() {
    let (lab, _scratch) = lab(1, 1).expect("the lab comes up");
    let job = start(&lab, "idle", 2, &[]).expect("a job runs");
    let running = now(&lab);
    lab.muster_ok(&["stop", &job.to_string(), "--yes"]).expect("it stops");
    wait_state(&lab, job, "finished", 2).expect("both end");
    let reserved = lab.muster_json(&["reserve", "node-1", "--for", "5m"]).expect("a reservation");
    assert_eq!(reserved[0]["reservation"], 1, "{reserved}");

    let then = rows(&lab, &["at", &running, "ps"]);
    assert_eq!((then.len(), &then[0]["state"]), (2, &"running".into()), "{then:?}");
    assert_eq!(rows(&lab, &["at", &running, "jobs"])[0]["running"], 2);
    assert_eq!(rows(&lab, &["at", &running, "machines"])[0]["tenure"], "pool");
    assert_eq!(rows(&lab, &["at", &running, "reservations"]), [Value::Null; 0]);
    let changes = rows(&lab, &["diff", "--from", &running]);
    let told = |what: &str, change: &str, to: &str| {
        changes.iter().any(|row| row["what"] == what && row["change"] == change && (to.is_empty() || row["to"] == to))
    };
    assert!(told("process", "changed", "finished") && told("reservation", "new", ""), "{changes:?}");
    let ahead = lab.muster(&["at", "2100-01-01T00:00:00Z", "jobs"]).expect("it runs");
    assert_eq!(ahead.status.code(), Some(2), "{}", String::from_utf8_lossy(&ahead.stderr));

    let export = |format: &str| lab.muster_ok(&["export", format, &job.to_string()]).expect("an export");
    wait_until("the store has both ends", SETTLE_LIMIT, || export("tap").matches("\nok ").count() == 2)
        .unwrap_or_else(|error| panic!("{error}: {}", export("tap")));
    assert_eq!(read_tap(&export("tap")).expect("it is TAP").matches("ok ").count(), 2);
    check_ctrf(&export("ctrf")).expect("it is CTRF");
    assert!(export("junit").contains("tests=\"2\" failures=\"0\" errors=\"0\" skipped=\"0\""), "{}", export("junit"));

    for report in ["summary", "errors", "timeline", "worst", "quiet", "coverage", "use", "perf"] {
        for format in ["table", "json", "csv", "html", "svg"] {
            lab.muster_ok(&["report", report, "--output", format])
                .unwrap_or_else(|error| panic!("{report} {format}: {error:#}"));
        }
        let file = lab.muster(&["report", report, "--output", "parquet"]).expect("it runs");
        assert!(
            file.status.success() && file.stdout.starts_with(b"PAR1") && file.stdout.ends_with(b"PAR1"),
            "{report}"
        );
    }
    let history = rows(&lab, &["report", "history", "00010001"]);
    assert!(history.iter().any(|row| row["kind"] == "final report"), "{history:?}");
    lab.down().expect("nothing is left running");
}
