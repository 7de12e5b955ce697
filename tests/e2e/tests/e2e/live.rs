//! A job's parameters change while it runs: its processes go on otherwise, whatever dies meanwhile, and it is on record.

use std::ops::RangeBounds;
use std::time::{Duration, Instant};

use muster_e2e::{SETTLE_LIMIT, lab, start, test_processes, wait_state};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;
use serde_json::Value;

/// A rate is taken over so long: pings tell of iterations once a second.
const WINDOW: Duration = Duration::from_secs(4);

/// Iterations of all processes of a job.
fn iterations(lab: &Lab, job: u64) -> u64 {
    let rows = lab.muster_json(&["ps", "--job", &job.to_string()]).unwrap_or_default();
    rows.as_array().map_or(0, |rows| rows.iter().filter_map(|row| row["iterations"].as_u64()).sum())
}

/// Iterations a second of all processes of a job, from now on.
fn rate(lab: &Lab, job: u64) -> f64 {
    let (before, begun) = (iterations(lab, job), Instant::now());
    wait_until("time passes", SETTLE_LIMIT, || begun.elapsed() >= WINDOW).expect("it does");
    iterations(lab, job).saturating_sub(before) as f64 / begun.elapsed().as_secs_f64()
}

/// Waits until all processes of a job together do so many iterations a second.
#[track_caller]
fn settles(lab: &Lab, job: u64, wanted: impl RangeBounds<f64>) {
    let mut seen = Vec::new();
    let settled = wait_until("the rate settles", SETTLE_LIMIT, || {
        seen.push(rate(lab, job));
        seen.last().is_some_and(|rate| wanted.contains(rate))
    });
    settled.unwrap_or_else(|error| panic!("{error:#}: {seen:?} a second"));
}

fn set(lab: &Lab, job: u64, parameter: &str) {
    let changed = lab.muster_json(&["set", &job.to_string(), parameter]).expect("it is live");
    let all = changed[0]["parameters"].as_array().cloned().unwrap_or_default();
    assert!(all.contains(&Value::from(parameter)), "{changed}");
}

/// What a parameter of a job was changed to, as JOBS tells it, with the times.
fn changes(lab: &Lab, job: u64, name: &str) -> Vec<(String, String)> {
    let events = lab.muster_ok(&["events", "--log", "jobs"]).expect("the log is readable");
    let lines = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let changed = lines.filter(|event| event["kind"] == "job_changed" && event["fields"]["job"] == job);
    changed
        .filter_map(|event| {
            let parameters = event["fields"]["parameters"].as_array()?;
            // What changes the pulses alone has none.
            let value = parameters.iter().find(|pair| pair["key"] == name)?["value"].as_str()?;
            Some((event["time"].as_str()?.to_owned(), value.to_owned()))
        })
        .collect()
}

/// Four processes of a rate that is changed to a low one and to a high one.
fn slows_down_and_speeds_up(
    lab: &Lab,
    module: &str,
    fixed: &[&str],
    name: &str,
    [middle, low, high]: [&str; 3],
) -> u64 {
    let given = fixed.iter().map(|text| (*text).to_owned()).chain([format!("{name}={middle}")]);
    let given: Vec<String> = given.flat_map(|text| ["--param".to_owned(), text]).collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let job = start(lab, module, 4, &given).expect("it starts");
    settles(lab, job, 50.0..130.0);
    set(lab, job, &format!("{name}={low}"));
    settles(lab, job, ..12.0);
    set(lab, job, &format!("{name}={high}"));
    settles(lab, job, 200.0..);
    // The same words carry its pulses: blocked for long, and free again.
    lab.muster_ok(&["pulse", "set", "9", "--block", "1h", "--free", "1ms"]).expect("the pulse is set");
    lab.muster_ok(&["set", &job.to_string(), "--pulse", "9"]).expect("the job has a pulse");
    settles(lab, job, ..0.5);
    lab.muster_ok(&["set", &job.to_string(), "--pulse", "none"]).expect("the job has none");
    settles(lab, job, 200.0..);
    wait_state(lab, job, "running", 4).expect("nothing ended");
    let told = changes(lab, job, name);
    assert_eq!(told.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), [low, high]);
    assert!(told[0].0 < told[1].0 && !told[0].0.is_empty(), "since when it had which is known: {told:?}");
    job
}

#[test]
fn running_processes_slow_down_and_speed_up_again() {
    let (lab, _scratch) = lab(2, 1).expect("the lab comes up");
    let before = |job: u64| lab.muster_ok(&["stop", &job.to_string(), "--wait", "--timeout", "90s"]);
    let job = slows_down_and_speeds_up(&lab, "high-io", &["file_size=64KiB"], "iops_max", ["20", "1", "200"]);
    let refused = lab.muster(&["set", &job.to_string(), "iops_max=5", "block_size=4KiB"]).expect("muster runs");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("a running high-io does not take another `block_size`"), "{said}");
    assert!(said.contains("while it runs it takes duration, iops_max, passes"), "{said}");
    assert_eq!(changes(&lab, job, "iops_max").len(), 2, "what is refused changes nothing");
    before(job).expect("it stops");
    let job = slows_down_and_speeds_up(&lab, "memory", &["size=64KiB"], "rate_max", ["1280KiB", "64KiB", "16MiB"]);
    before(job).expect("it stops");
    // Two servers and two clients: each process counts what it receives.
    let packets = ["packet_size=4KiB"];
    let job = slows_down_and_speeds_up(&lab, "tcp", &packets, "rate_max", ["80KiB", "4KiB", "1MiB"]);
    before(job).expect("it stops");
    let job = start(&lab, "idle", 2, &[]).expect("it starts");
    set(&lab, job, "exit_after=1s");
    wait_state(&lab, job, "finished", 2).expect("they end by themselves");
}

#[test]
fn a_change_survives_the_end_of_agents_and_of_the_scheduler() {
    let (mut lab, _scratch) = lab(2, 1).expect("the lab comes up");
    let given = ["--param", "file_size=64KiB", "--param", "iops_max=20"];
    let job = start(&lab, "high-io", 4, &given).expect("it starts");
    settles(&lab, job, 50.0..130.0);
    let processes = test_processes(&lab);

    // Only node-2 can hear of it, and then not even the scheduler is there.
    lab.agent("node-1").expect("it is known").kill9();
    set(&lab, job, "iops_max=1");
    lab.service("scheduler-a").expect("it is known").kill9();
    lab.service("scheduler-a").expect("it is known").restart().expect("it restarts");
    lab.agent("node-1").expect("it is known").restart().expect("it restarts");
    settles(&lab, job, 0.5..12.0);
    wait_state(&lab, job, "running", 4).expect("nothing ended");

    // Who heard of it keeps it.
    for node in ["node-1", "node-2"] {
        lab.agent(node).expect("it is known").kill9();
        lab.agent(node).expect("it is known").restart().expect("it restarts");
    }
    wait_state(&lab, job, "running", 4).expect("nothing ended");
    settles(&lab, job, 0.5..12.0);
    set(&lab, job, "iops_max=200");
    settles(&lab, job, 200.0..);
    assert_eq!(test_processes(&lab), processes, "the same processes run");
    assert_eq!(
        changes(&lab, job, "iops_max").iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(),
        ["1", "200"]
    );
}
