//! Command centers, jobs that are started again, and mixes, against a whole lab.

use std::process::Command;
use std::time::Duration;

use muster_e2e::{SETTLE_LIMIT, lab, start, wait_state};
use muster_testkit::lab::Lab;
use muster_testkit::{Terminal, wait_until};
use serde_json::Value;

/// A command center of the lab.
fn center(lab: &Lab, user: &str) -> Terminal {
    let mut command = Command::new(lab.muster_program());
    command.envs(lab.environment()).env("MUSTER_USER", user).env("XDG_STATE_HOME", lab.directory().join(user));
    Terminal::start(command).expect("a center starts")
}

#[track_caller]
fn shows(terminal: &Terminal, text: &str) {
    terminal.wait_for(text, SETTLE_LIMIT).unwrap_or_else(|error| panic!("{error:#}"));
}

#[track_caller]
fn gives(terminal: &mut Terminal, line: &str, answer: &str) {
    terminal.type_keys(&format!("{line}\r")).expect("the terminal is there");
    shows(terminal, answer);
}

/// The centers that have been master, and why, as JOBS tells it.
fn changes_of_master(lab: &Lab) -> Vec<(String, String)> {
    let events = lab.muster_ok(&["events", "--log", "jobs"]).expect("the log is readable");
    let lines = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let changed = lines.filter(|event| event["kind"] == "master_changed");
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    changed.map(|event| (word(&event["fields"]["master"]["actor"]), word(&event["fields"]["reason"]))).collect()
}

#[test]
fn one_center_is_master_and_the_next_one_when_it_dies() {
    let (lab, _scratch) = lab(1, 1).expect("the lab comes up");
    let mut anna = center(&lab, "anna");
    shows(&anna, "machines 1/1 up | 0 jobs | you are master");
    let mut bert = center(&lab, "bert");
    shows(&bert, "read-only: anna on");
    gives(&mut anna, "start idle -n 2 --wait", "2 of 2 after");
    shows(&anna, "1 job: 2 running");
    gives(&mut bert, "stop 1", "stop: this command center is read-only: anna on");
    gives(&mut bert, "ps", "running");
    gives(&mut bert, "reserve --count 1 --for 1m", "preparing");
    gives(&mut bert, "checkin 1", "ended");
    // Whatever is no center is never blocked.
    lab.muster_ok(&["stop", "1", "--wait"]).expect("a script may");
    anna.kill9();
    shows(&bert, "you are master");
    gives(&mut bert, "start idle -n 1 --wait", "1 of 1 after");
    let mut carl = center(&lab, "carl");
    gives(&mut carl, "master take", "--take-over");
    gives(&mut carl, "master take --take-over", "user:carl");
    shows(&bert, "read-only: carl on");
    carl.type_keys("\x04").expect("the terminal is there");
    assert!(carl.wait_end(SETTLE_LIMIT).expect("ctrl-D ends it").success());
    let told: Vec<(String, String)> = [
        ("user:anna", "taken"),
        ("", "lapsed"),
        ("user:bert", "taken"),
        ("user:carl", "taken-over"),
        ("", "released"),
        ("user:bert", "taken"),
    ]
    .map(|(who, why)| (who.to_owned(), why.to_owned()))
    .into();
    wait_until("the last center is master", SETTLE_LIMIT, || changes_of_master(&lab).len() == told.len())
        .unwrap_or_else(|error| panic!("{error:#}: {:?}", changes_of_master(&lab)));
    assert_eq!(changes_of_master(&lab), told);
}

/// Machine and resources of each process of a job.
fn places(lab: &Lab, job: u64) -> Vec<(String, Value)> {
    let rows = lab.muster_json(&["ps", "--all", "--job", &job.to_string()]).expect("the processes are listed");
    let rows = rows.as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| (row["machine"].as_str().unwrap_or_default().to_owned(), row["resources"].clone())).collect()
}

#[test]
fn a_job_is_started_again_where_it_was_and_keeps_what_it_reads_once() {
    let (mut lab, _scratch) = lab(3, 1).expect("the lab comes up");
    let small = ["--param", "file_size=64KiB", "--param", "iops_max=20"];
    let first = start(&lab, "high-io", 9, &small).expect("it starts");
    start(&lab, "high-io", 5, &[&small[..], &["--on", "node-2"]].concat()).expect("it starts");
    let again = lab.muster_json(&["rerun", &first.to_string(), "--wait"]).expect("it is started again");
    let again = again[0]["job"].as_u64().expect("a job");
    assert_eq!(places(&lab, again), places(&lab, first));
    let seeds = lab.muster_json(&["jobs"]).expect("the jobs are listed");
    assert_eq!(seeds[0]["seed"], seeds[2]["seed"]);

    let refused = lab.muster(&["set", &again.to_string(), "block_size=4KiB"]).expect("muster runs");
    assert_eq!(refused.status.code(), Some(3), "{}", String::from_utf8_lossy(&refused.stderr));
    wait_state(&lab, again, "running", 9).expect("a refused change ends nothing");
    let first = it_is_started_again_in_another_run(&lab, first);

    lab.agent("node-3").expect("it is known").kill9();
    let limit = Duration::from_secs(60);
    wait_until("node-3 is missed", limit, || {
        let output = lab.muster(&["rerun", &first.to_string(), "--dry-run"]).expect("muster runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        output.status.code() == Some(3) && said.contains("node-3 is") && !said.contains("node-1")
    })
    .expect("what can not be used is named");
}

/// A job of a run that is over starts where it was: the archive tells. The number of the job that does.
fn it_is_started_again_in_another_run(lab: &Lab, job: u64) -> u64 {
    let then = places(lab, job);
    lab.muster_ok(&["stop", "--all", "--wait", "--yes"]).expect("all is stopped");
    lab.muster_ok(&["run-id", "new", "--yes"]).expect("a new run begins");
    let name = format!("1/{job}");
    let missing = lab.muster(&["rerun", "1/99"]).expect("muster runs");
    assert_eq!(missing.status.code(), Some(4), "{}", String::from_utf8_lossy(&missing.stderr));
    let again = lab.muster_json(&["rerun", &name, "--wait"]).expect("it is started again");
    let again = again[0]["job"].as_u64().expect("a job");
    assert_eq!((again, places(lab, again)), (1, then));
    again
}

const MIX: &str = r#"
jobs_max = 3
processes_max = 12
pause = ["300ms", "900ms"]
[[job]]
name = "disks"
module = "high-io"
processes = [1, 4]
lifetime = ["1s", "4s"]
at_once_max = 2
parameters = { file_size = "64KiB", block_size = ["4KiB", "8KiB"] }
changes = { iops_max = ["10", "20", "40"] }
pulses = [1, 2]
[[job]]
name = "idle"
module = "idle"
processes = [1, 4]
lifetime = ["1s", "6s"]
[[pulse]]
number = 1
block = ["50ms", "200ms"]
free = ["200ms", "500ms"]
[[pulse]]
number = 2
block = ["20ms", "100ms"]
free = ["300ms", "600ms"]
"#;

/// What JOBS says was decided since a sequence: the kinds, with job numbers counted from the first one.
fn decided(lab: &Lab, since: u64) -> Vec<String> {
    let events = lab.muster_ok(&["events", "--log", "jobs", "--since", &since.to_string()]);
    let events = events.expect("the log is readable");
    let mut first = None;
    let mut number = |job: &Value| {
        let job = job.as_u64().unwrap_or(0);
        job - *first.get_or_insert(job)
    };
    let decided = events.lines().filter_map(|line| {
        let event: Value = serde_json::from_str(line).ok()?;
        let fields = &event["fields"];
        Some(match event["kind"].as_str()? {
            "job_started" => {
                let spec = &fields["spec"];
                let module = &spec["module"]["name"];
                let sizes = fields["placements"]
                    .as_array()
                    .map_or(0, |all| all.iter().map(|placement| placement["count"].as_u64().unwrap_or(0)).sum::<u64>());
                let (seed, parameters, pulses) = (&spec["seed"], &spec["parameters"], &spec["pulses"]);
                format!("start {} {module} {sizes} {seed} {parameters} {pulses}", number(&spec["job"]))
            }
            "stop_requested" => format!("stop {}", number(&fields["job"])),
            "job_changed" => format!("change {} {} {}", number(&fields["job"]), fields["pulses"], fields["parameters"]),
            "pulse_set" => format!("pulse {}", fields["pulse"]),
            _ => return None,
        })
    });
    decided.collect()
}

/// The sequence of JOBS after everything until now.
fn next_sequence(lab: &Lab) -> u64 {
    let events = lab.muster_ok(&["events", "--log", "jobs"]).expect("the log is readable");
    let sequence = |line: &str| {
        let event: Value = serde_json::from_str(line).ok()?;
        event["position"].as_str()?.rsplit('/').next()?.parse::<u64>().ok()
    };
    events.lines().filter_map(sequence).max().expect("the log is not empty") + 1
}

#[test]
fn a_mix_with_one_seed_decides_the_same_twice_and_survives_the_scheduler() {
    let (mut lab, _scratch) = lab(2, 1).expect("the lab comes up");
    let file = lab.directory().join("mix.toml");
    std::fs::write(&file, MIX).expect("the file is written");
    let run = |more: &[&str]| {
        let mut command = Command::new(lab.muster_program());
        command.envs(lab.environment()).args(["mix", "run"]).arg(&file);
        command.args(["--seed", "11", "--for", "15s"]).args(more);
        command
    };
    let (planned, mut first, mut second) = (run(&["--dry-run"]), run(&[]), run(&[]));
    let planned = planned_lines(planned);
    assert!(planned > 15, "{planned} decisions are something to compare");

    let began = next_sequence(&lab);
    let output = first.output().expect("muster runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), planned, "what was planned was decided");
    let live = lab.muster_json(&["jobs"]).expect("the jobs are listed");
    assert_eq!(live.as_array().map(Vec::len), Some(0), "it ended all that it started: {live}");

    let again = next_sequence(&lab);
    let mut child = second.stdout(std::process::Stdio::null()).spawn().expect("muster runs");
    let begun = || lab.muster_json(&["jobs"]).is_ok_and(|jobs| jobs.as_array().is_some_and(|jobs| !jobs.is_empty()));
    wait_until("the mix runs", SETTLE_LIMIT, begun).expect("it starts something");
    lab.service("scheduler-a").expect("it is known").restart().expect("it restarts");
    assert!(child.wait().expect("muster ends").success(), "it goes on when the scheduler is back");
    let (one, other) = (decided_between(&lab, began, again), decided(&lab, again));
    assert_eq!(one, other);
}

fn planned_lines(mut command: Command) -> usize {
    let output = command.output().expect("muster runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().count()
}

/// What was decided from one sequence to before another.
fn decided_between(lab: &Lab, from: u64, to: u64) -> Vec<String> {
    let all = decided(lab, from);
    let later = decided(lab, to).len();
    all[..all.len() - later].to_vec()
}
