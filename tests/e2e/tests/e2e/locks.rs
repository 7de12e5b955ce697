//! The lock test on two machines: over a server of the gang, over a file that both reach, and what a person sees of two holders at once.

use muster_e2e::{SETTLE_LIMIT, lab, number, start, stream, wait_state};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;

/// The report has verified bytes of a job's processes, and all of them ended with pass.
fn stops_with_pass(lab: &Lab, job: u64, processes: usize) {
    lab.muster_ok(&["stop", &job.to_string(), "--wait"]).expect("the job stops");
    wait_state(lab, job, "finished", processes).expect("all finish");
    let rows = lab.muster_json(&["ps", "--all", "--job", &job.to_string()]).expect("ps answers");
    let all = rows.as_array().expect("rows").iter().all(|row| row["verdict"] == "pass");
    assert!(all, "{rows}");
}

#[test]
fn locks_of_a_server_and_of_a_file_hold_between_machines_and_two_holders_are_reported_by_name() {
    let (lab, scratch) = lab(2, 1).expect("the lab comes up");
    let shared = scratch.path().join("shared");
    std::fs::create_dir(&shared).expect("a folder that both machines reach");
    lab.muster_ok(&["pulse", "set", "3", "--block", "200ms", "--free", "200ms"]).expect("the pulse is set");
    let server = start(&lab, "lock", 2, &["--param", "locks=1", "--pulse", "3"]).expect("a server and its client run");
    let directory = format!("directory={}", shared.display());
    let files = ["--param", "over=fcntl", "--param", &directory, "--param", "locks=2"];
    let files = start(&lab, "lock", 4, &files).expect("two gangs share a file");
    wait_until("all of a job share one file", SETTLE_LIMIT, || {
        std::fs::read_dir(&shared).is_ok_and(|entries| entries.count() == 1)
    })
    .expect("they do");

    // A trigger has the histories of a machine written down.
    wait_until("node-2 is armed", SETTLE_LIMIT, || {
        let arm = ["trigger", "arm", "4", "--on", "node-2", "--action", "dump-history"];
        lab.muster(&arm).is_ok_and(|output| output.status.success())
    })
    .expect("it is");
    lab.muster_ok(&["trigger", "fire", "4", "--wait"]).expect("it fires");
    let told = || stream::messages(&lab, "REPORTS").expect("the stream is read");
    // One message may tell of several.
    let histories = || {
        let all = told();
        all.iter().map(|message| String::from_utf8_lossy(message).matches("/history-4-").count()).sum::<usize>()
    };
    wait_until("all three of node-2 dump", SETTLE_LIMIT, || histories() >= 3)
        .unwrap_or_else(|error| panic!("{error}: {}", histories()));

    stops_with_pass(&lab, server, 2);
    stops_with_pass(&lab, files, 4);
    assert_eq!(std::fs::read_dir(&shared).expect("the folder").count(), 0, "the last one removed the file");
    wait_until("the report has what was verified", SETTLE_LIMIT, || {
        let summary = lab.muster_json(&["report", "summary"]).unwrap_or_default();
        number(&summary, "verified_bytes").is_ok_and(|bytes| bytes > 0)
    })
    .expect("it does");

    // Two hold a lock at once, by the server's fault: whoever had it first finds the other one's record, and names it.
    let fault = ["locks=1", "takers=1", "shared_percent=0", "inject=FOREIGN", "inject_into=grant"];
    let fault: Vec<&str> = fault.iter().flat_map(|parameter| ["--param", parameter]).collect();
    let arguments = [&["start", "lock", "--processes", "2"], &fault[..]].concat();
    lab.muster_json(&arguments).expect("the job starts");
    let found = || lab.muster_json(&["report", "corruption"]).unwrap_or_default();
    wait_until("two holders are reported", SETTLE_LIMIT, || found()[0]["class"] == "FOREIGN")
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", found(), lab.tails()));
    let rows = found();
    let text = |name: &str| rows[0][name].as_str().unwrap_or_default().to_owned();
    let (finder, owner) = (text("dpid"), text("owner"));
    assert!(owner.contains(" lock on node-") && !owner.contains(&finder), "{rows}");
    assert_ne!(owner.contains("node-1"), text("machine") == "node-1", "the other machine's: {rows}");
    assert_eq!((text("persistence"), rows.as_array().map(Vec::len)), ("STORED".to_owned(), Some(1)), "{rows}");
    let id = rows[0]["id"].to_string();
    let shown = lab.muster_ok(&["report", "corruption", &id]).expect("it is shown word by word");
    assert!(shown.contains("two held the lock at once"), "{shown}");
    lab.down().expect("nothing is left running");
}
