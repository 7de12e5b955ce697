//! A plan of three steps runs through a failure, a rebooted machine and a killed scheduler, and says what became of each task.

use muster_e2e::{SETTLE_LIMIT, job_number, options, test_processes};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;
use serde_json::Value;

/// Tasks on real machines, of which one fails, one hangs, and one is a pair that meets; and one on a simulated machine that reboots
/// two seconds after it began there.
const PLAN: &str = r#"
[[step]]
name = "first"

[[step.task]]
name = "passes"
module = "idle"
processes = 2
on = "node-*"
parameters = { exit_after = "15s" }
limit = "5m"

[[step]]
name = "second"
on_failure = "continue"

[[step.task]]
name = "fails"
module = "idle"
processes = 1
on = "node-*"
parameters = { exit_after = "1s", exit_code = 1 }

[[step.task]]
name = "rebooted"
module = "idle"
per_machine = 2
on = "sim-*"

[[step]]
name = "third"

[[step.task]]
name = "hangs"
module = "idle"
processes = 1
on = "node-*"
limit = "2s"
parameters = { hang = true }

[[step.task]]
name = "ends"
module = "idle"
processes = 1
on = "node-*"
parameters = { exit_after = "1s" }

[[step.task]]
name = "pair"
limit = "1m"

[[step.task.role]]
name = "target"
module = "idle"
on = "node-*"
parameters = { sync = true, rounds = 2 }

[[step.task.role]]
name = "load"
module = "idle"
on = "node-*"
parameters = { sync = true, rounds = 2 }
"#;

const SCRIPT: &str = "[[fault]]\nmachines = \"sim-*\"\nkind = \"reboot\"\njob = 1\nafter = \"2s\"\nfor = \"3s\"\n";

/// Rows of `plan show` for a task: its attempts that are over, then itself.
fn rows(lab: &Lab, job: &str, task: &str) -> Vec<Value> {
    let rows = lab.muster_json(&["plan", "show", job]).unwrap_or_default();
    let rows = rows.as_array().cloned().unwrap_or_default();
    rows.into_iter().filter(|row| row["task"] == task).collect()
}

fn is_in(lab: &Lab, job: &str, task: &str, state: &str) -> bool {
    rows(lab, job, task).last().is_some_and(|row| row["state"] == state)
}

fn wait_task(lab: &Lab, job: &str, task: &str, state: &str) {
    wait_until(&format!("task {task} is {state}"), SETTLE_LIMIT, || is_in(lab, job, task, state)).unwrap_or_else(
        |error| {
            let (shown, why) = (lab.muster_ok(&["plan", "show", job]), lab.muster_ok(&["why", job]));
            panic!("{error}: {shown:?}\n{why:?}\n{}", lab.tails())
        },
    );
}

#[test]
fn a_plan_goes_on_through_a_failure_a_reboot_and_a_killed_scheduler() {
    let (mut options, scratch) = options(2, 1).expect("a folder is made");
    let (script, file) = (scratch.path().join("script.toml"), scratch.path().join("nightly.toml"));
    std::fs::write(&script, SCRIPT).expect("the script is written");
    std::fs::write(&file, PLAN).expect("the plan is written");
    (options.simulated, options.script) = (1, Some(script));
    let mut lab = Lab::up(options, &|_| ()).expect("the lab comes up");
    let file = file.display().to_string();
    a_bad_plan_is_refused_with_its_place(&lab, &file);

    lab.muster_ok(&["plan", "check", &file]).expect("it is a good plan");
    let started = lab.muster_json(&["plan", "start", &file]).expect("it starts");
    let number = job_number(&started).expect("it has a number");
    let job = number.to_string();
    assert_eq!((number, &started[0]["steps"], &started[0]["tasks"]), (1, &3.into(), &6.into()));
    wait_task(&lab, &job, "passes", "running");
    assert!(is_in(&lab, &job, "fails", "queued"), "its step waits");
    let why = lab.muster_ok(&["why", &job]).expect("why answers");
    assert!(why.contains("step second waits for first"), "{why}");
    wait_until("both run", SETTLE_LIMIT, || test_processes(&lab).len() == 2).expect("they do");
    lab.service("scheduler-a").expect("it is a part").kill9();
    lab.service("scheduler-a").and_then(|service| service.restart()).expect("it starts again");
    wait_task(&lab, &job, "passes", "completed");
    assert_eq!(rows(&lab, &job, "passes").len(), 1, "nothing was tried twice");

    wait_task(&lab, &job, "fails", "failed");
    wait_until("the rebooted one is tried again", SETTLE_LIMIT, || rows(&lab, &job, "rebooted").len() == 2)
        .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", rows(&lab, &job, "rebooted"), lab.tails()));
    let tried = rows(&lab, &job, "rebooted");
    assert_eq!((&tried[0]["level"], &tried[1]["attempt"]), (&"attempt".into(), &2.into()), "{tried:?}");
    assert!(tried[0]["reason"].to_string().contains("rebooted"), "{tried:?}");
    wait_until("it runs again", SETTLE_LIMIT, || {
        lab.muster_json(&["ps", "--job", &job]).is_ok_and(|rows| {
            rows.as_array().is_some_and(|rows| rows.len() == 2 && rows.iter().all(|row| row["state"] == "running"))
        })
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", lab.muster_ok(&["why", &job]), lab.tails()));
    for process in ["00010008", "00010009"] {
        lab.muster_ok(&["stop", process, "--yes"]).expect("a person ends what runs for ever");
    }
    wait_task(&lab, &job, "rebooted", "completed");

    let waited = lab.muster(&["wait", &job, "--within", "90s"]).expect("muster runs");
    let said = String::from_utf8_lossy(&waited.stderr).into_owned();
    assert_eq!(waited.status.code(), Some(7), "{said}\n{}", lab.tails());
    assert!(said.contains("2 failed, 4 completed"), "{said}");
    let hangs = rows(&lab, &job, "hangs");
    assert_eq!((hangs.len(), &hangs[0]["state"]), (1, &"failed".into()), "a limit is not tried again");
    assert!(hangs[0]["reason"].to_string().contains("the time of its task is over"), "{hangs:?}");
    // Its roles met each other, and nobody else of the job, on machines of their own.
    let pair = lab.muster_json(&["ps", "--all", "--job", &job]).expect("processes are listed");
    let of = |process: usize| (pair[process]["role"].clone(), pair[process]["verdict"].clone());
    assert_eq!((of(5), of(6)), (("target".into(), "pass".into()), ("load".into(), "pass".into())), "{pair}");
    assert_ne!(pair[5]["machine"], pair[6]["machine"], "{pair}");
    the_store_has_its_processes(&lab, &job);
    let listed = lab.muster_json(&["jobs", "--all"]).expect("jobs are listed");
    assert_eq!((&listed[0]["plan"], &listed[0]["plan_state"]), (&"nightly".into(), &"failed".into()), "{listed}");
    wait_until("the test processes are gone", SETTLE_LIMIT, || test_processes(&lab).is_empty()).expect("none is left");
    lab.down().expect("nothing is left running");
}

/// Every process of every task, how it ended, and when the plan was over.
fn the_store_has_its_processes(lab: &Lab, job: &str) {
    let row = || lab.muster_json(&["report", "summary", "--job", job]).map_or(Value::Null, |rows| rows[0].clone());
    wait_until("the store has the end of the plan", SETTLE_LIMIT, || row()["duration_seconds"].is_number())
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", row(), lab.tails()));
    let row = row();
    let count = |names: &[&str]| names.iter().filter_map(|name| row[*name].as_u64()).sum::<u64>();
    assert_eq!((&row["module"], &row["processes"]), (&"plan".into(), &9.into()), "{row}");
    assert_eq!(count(&["starting", "running", "mia", "fip", "away"]), 0, "{row}");
    assert_eq!((count(&["finished", "dead"]), count(&["lost"])), (9, 0), "{row}");
    assert_eq!((count(&["pass"]), count(&["fail"])), (7, 1), "{row}");
    assert!(row["all_running_seconds"].is_number(), "{row}");
}

/// Unknown keys, circles and empty steps, and what only the scheduler knows.
fn a_bad_plan_is_refused_with_its_place(lab: &Lab, file: &str) {
    let bad = format!("{file}.bad.toml");
    for (from, to, code, words) in [
        ("name = \"first\"", "name = \"first\"\ncolour = \"red\"", 2, "line 4"),
        ("name = \"first\"", "name = \"first\"\nafter = [\"third\"]", 2, "steps wait for each other"),
        (
            "name = \"third\"\n",
            "name = \"third\"\n[[step]]\nname = \"fourth\"\n",
            2,
            "step third: it has no [[step.task]]",
        ),
        ("exit_code = 1", "exit_code = 1000", 2, "step second, task fails"),
        ("per_machine = 2", "seed = 1", 2, "step second: task rebooted: give one of processes"),
        ("module = \"idle\"\nper_machine", "module = \"idel\"\nper_machine", 4, "step second, task rebooted"),
    ] {
        assert!(PLAN.contains(from), "{from}");
        std::fs::write(&bad, PLAN.replacen(from, to, 1)).expect("the plan is written");
        for verb in ["check", "start"] {
            let output = lab.muster(&["plan", verb, &bad]).expect("muster runs");
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.code() == Some(code) && error.contains(words), "{verb}: {to}: {error}");
        }
    }
    assert_eq!(lab.muster_json(&["jobs", "--all"]).expect("jobs are listed").as_array().map(Vec::len), Some(0));
}
