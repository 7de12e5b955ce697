//! Pulses gate real processes: edges follow the definition, through changes, kills and restarts; nothing ends because of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use muster_e2e::{SETTLE_LIMIT, lab, start, states, test_processes, wait_state};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;

/// Files in which idle processes note when a pulse let them go on, by DPID.
fn marks(lab: &Lab) -> BTreeMap<String, Vec<u64>> {
    let mut found = BTreeMap::new();
    for (dpid, pids) in test_processes(lab) {
        let work = pids.iter().find_map(|(pid, _)| std::fs::read_link(format!("/proc/{pid}/cwd")).ok());
        let path: Option<PathBuf> = work.map(|work| work.join("results/marks"));
        let bytes = path.and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
        let times = bytes.chunks_exact(8).map(|chunk| u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
        found.insert(dpid, times.collect());
    }
    found
}

fn counts(lab: &Lab) -> BTreeMap<String, usize> {
    marks(lab).into_iter().map(|(dpid, times)| (dpid, times.len())).collect()
}

/// Every process passes `more` edges from now on.
fn edges_go_on(lab: &Lab, processes: usize, more: usize, when: &str) {
    let before = counts(lab);
    assert_eq!(before.len(), processes, "{when}: all processes are there");
    let passed = || counts(lab).iter().all(|(dpid, count)| *count >= before.get(dpid).copied().unwrap_or(0) + more);
    wait_until(&format!("every process passes {more} edges"), SETTLE_LIMIT, passed)
        .unwrap_or_else(|error| panic!("{when}: {error}: {:?}", counts(lab)));
}

/// Lets time pass, which is what is tested here.
fn pass(time: Duration) {
    let begin = Instant::now();
    wait_until("time passes", SETTLE_LIMIT, || begin.elapsed() >= time).expect("it does");
}

fn set(lab: &Lab, number: &str, block: &str, free: &str) {
    lab.muster_ok(&["pulse", "set", number, "--block", block, "--free", free]).expect("the pulse is set");
}

#[test]
fn gated_processes_follow_pulses_that_are_defined_again_and_again() {
    const PROCESSES: usize = 12;
    let (mut lab, _scratch) = lab(2, 1).expect("the lab comes up");
    set(&lab, "3", "300ms", "200ms");
    set(&lab, "7", "100ms", "400ms");
    let gated = ["--pulse", "3,7", "--param", "marks=true"];
    let job = start(&lab, "idle", PROCESSES as u32, &gated).expect("the job starts");
    edges_go_on(&lab, PROCESSES, 3, "at first");

    for round in 0..6 {
        set(&lab, "3", if round % 2 == 0 { "150ms" } else { "250ms" }, "250ms");
        pass(Duration::from_secs(1));
    }
    assert_eq!(states(&lab, job).expect("ps answers"), [("running".to_owned(), PROCESSES)].into());

    let processes = test_processes(&lab);
    lab.nats.kill9();
    lab.agent("node-1").expect("it is there").kill9();
    edges_go_on(&lab, PROCESSES, 4, "without agent and bus");
    lab.nats.restart().expect("the bus restarts");
    lab.agent("node-1").expect("it is there").restart().expect("the agent restarts");
    wait_state(&lab, job, "running", PROCESSES).expect("all run");
    assert_eq!(test_processes(&lab), processes, "the same processes run");

    lab.muster_ok(&["pulse", "set", "3", "--block", "1h", "--free", "1ms"]).expect("the pulse is set");
    wait_until("all are blocked for long", SETTLE_LIMIT, || {
        let before = counts(&lab);
        pass(Duration::from_secs(2));
        counts(&lab) == before
    })
    .expect("they are");
    lab.muster_ok(&["set", &job.to_string(), "--pulse", "7"]).expect("the job has other pulses");
    edges_go_on(&lab, PROCESSES, 3, "with pulse 7 alone");
    lab.muster_ok(&["set", &job.to_string(), "--pulse", "3"]).expect("the job has other pulses");
    let cleared = lab.muster_json(&["pulse", "clear", "3"]).expect("it is cleared");
    assert_eq!(cleared[0]["jobs"], serde_json::json!([job.to_string()]), "it is named who goes on free");
    assert_eq!(states(&lab, job).expect("ps answers"), [("running".to_owned(), PROCESSES)].into());
    lab.muster_ok(&["stop", &job.to_string(), "--wait", "--timeout", "90s"]).expect("the job stops");
    wait_state(&lab, job, "finished", PROCESSES).expect("all finish");
    lab.down().expect("nothing is left running");
}

#[test]
fn samples_and_programs_follow_the_definition_and_a_stop_reaches_who_is_blocked() {
    let (lab, _scratch) = lab(1, 1).expect("the lab comes up");
    set(&lab, "1", "300ms", "700ms");
    set(&lab, "2", "1h", "1ms");
    let idle = start(&lab, "idle", 4, &["--pulse", "1"]).expect("the job starts");
    let program = ["--pulse", "2", "--param", "program=/bin/sleep", "--param", "arguments=3600"];
    let stopped = start(&lab, "command", 1, &program).expect("the job starts");
    let is_stopped = || {
        test_processes(&lab).values().flatten().any(|(pid, _)| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.contains("(sleep) T ")
        })
    };
    wait_until("the program is stopped", SETTLE_LIMIT, is_stopped).expect("it is");
    lab.muster_ok(&["set", &stopped.to_string(), "--pulse", "none"]).expect("the job has no pulses");
    wait_until("the program goes on", SETTLE_LIMIT, || !is_stopped()).expect("it does");
    lab.muster_ok(&["set", &stopped.to_string(), "--pulse", "2"]).expect("the job has a pulse");
    wait_until("the program is stopped again", SETTLE_LIMIT, is_stopped).expect("it is");
    lab.muster_ok(&["stop", &stopped.to_string(), "--wait", "--timeout", "60s"])
        .expect("it stops although it is blocked");

    let duty = || {
        let report = lab.muster_json(&["report", "pulses", &idle.to_string()]).unwrap_or_default();
        let rows = report.as_array().cloned().unwrap_or_default();
        let long = |row: &&serde_json::Value| row["gated_seconds"].as_f64().is_some_and(|seconds| seconds >= 15.0);
        rows.iter().filter(long).filter_map(|row| row["duty"].as_f64()).collect::<Vec<_>>()
    };
    wait_until("four processes report", SETTLE_LIMIT, || duty().len() == 4).expect("they do");
    for duty in duty() {
        assert!((0.25..0.36).contains(&duty), "pulse 1 blocks 0.3 of the time, a process says {duty}");
    }
    lab.muster_ok(&["stop", &idle.to_string(), "--wait", "--timeout", "60s"]).expect("the job stops");
    lab.down().expect("nothing is left running");
}

#[test]
fn what_is_no_pulse_is_refused_with_what_to_do() {
    let (lab, _scratch) = lab(1, 1).expect("the lab comes up");
    for (arguments, code, text) in [
        (&["pulse", "set", "256", "--block", "1s", "--free", "1s"][..], 2, "256 is not in 0..=255"),
        (&["pulse", "set", "-1", "--block", "1s", "--free", "1s"], 2, "-1 is not in 0..=255"),
        (&["pulse", "set", "1", "--block", "0s", "--free", "1s"], 2, "its block time of 0s is shorter than 1ms"),
        (&["pulse", "set", "1", "--block", "1s", "--free", "0s"], 2, "its free time of 0s is shorter than 1ms"),
        (&["pulse", "set", "1", "--block", "-1s", "--free", "1s"], 2, "invalid value '-1s'"),
        (
            &["pulse", "set", "1", "--block", "1s", "--free", "1s", "--phase", "2d"],
            2,
            "its phase of 2d is longer than 1d",
        ),
        (&["pulse", "clear", "9"], 4, "pulse 9 is not defined"),
        (&["start", "idle", "-n", "1", "--pulse", "9"], 4, "pulse 9 is not defined; `muster pulse set 9"),
        (&["start", "idle", "-n", "1", "--pulse", "1,2,3,4,5,6,7,8,300"], 2, "300 is not in 0..=255"),
        (&["set", "1", "--pulse", "9"], 4, "run 1 has no jobs yet"),
        (&["set", "1", "--pulse", "x"], 2, "`x` is no pulse"),
    ] {
        let output = lab.muster(arguments).expect("muster runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(text), "{arguments:?}: {said}");
    }
    (0..9).for_each(|number| set(&lab, &number.to_string(), "2s", "3s"));
    let output = lab.muster(&["start", "idle", "-n", "1", "--pulse", "0,1,2,3,4,5,6,7,8"]).expect("muster runs");
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("a job may have 8"));
    lab.down().expect("nothing is left running");
}

#[test]
fn a_ladder_names_what_was_in_at_the_first_trouble() {
    let (lab, _scratch) = lab(1, 1).expect("the lab comes up");
    let idle = start(&lab, "idle", 2, &[]).expect("it starts");
    let limited = ["--param", "size=64KiB", "--param", "rate_max=1MiB"];
    let memory = start(&lab, "memory", 1, &limited).expect("it starts");
    // It fails at its first iteration after ten seconds: before the ladder comes to it, were it not held.
    let wrong = ["--param", "exit_after=10s", "--param", "exit_code=1"];
    let failing = start(&lab, "idle", 1, &wrong).expect("it starts");
    let last = start(&lab, "idle", 1, &[]).expect("it starts");
    let jobs = [idle, memory, failing, last].map(|job| job.to_string());
    let ladder =
        [&["--output", "json", "pulse", "ladder"], &jobs.each_ref().map(String::as_str)[..], &["--step", "8s"]];
    let output = lab.muster(&ladder.concat()).expect("muster runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains(&format!("after job {failing} was freed: job {failing}: ")), "{said}");
    assert!(said.contains(&format!("jobs {idle}, {memory}, {failing} were in")), "{said}");
    let steps: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the steps are told");
    assert_eq!(steps.as_array().map(Vec::len), Some(3), "{steps}");
    assert!(steps[1]["trouble"].is_null() && steps[2]["freed"] == failing, "{steps}");
    // All that is left goes on free.
    goes_on(&lab, last);
    let defined = lab.muster_json(&["pulse", "list"]).expect("pulses are listed");
    assert_eq!(defined.as_array().map(Vec::len), Some(0), "the pulse that held is gone: {defined}");
    lab.down().expect("nothing is left running");
}

/// A job that has no pulses goes on.
fn goes_on(lab: &Lab, job: u64) {
    let iterations = || {
        let rows = lab.muster_json(&["ps", "--job", &job.to_string()]).unwrap_or_default();
        rows[0]["iterations"].as_u64().unwrap_or_default()
    };
    let before = iterations();
    wait_until("it goes on", SETTLE_LIMIT, || iterations() > before + 10).expect("it does");
}
