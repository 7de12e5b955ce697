//! The agent and the keeper: one process ends by itself, one is told new parameters and stopped, a log is collected.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use muster_e2e::{SETTLE_LIMIT, job_number, lab, test_processes};
use muster_testkit::lab::Lab;
use muster_testkit::{Client, Effects, wait_until};
use serde_json::Value;

use super::{End, Part, Scenario, none_differs};

/// The machine.
const MACHINE: &str = "node-1";
/// A log is collected within this.
const LOG_LIMIT: Duration = Duration::from_secs(20);
/// What is looked at.
const ENDING: &str = "the one that ends";
const STOPPED: &str = "the one that is stopped";
const PARAMETER: &str = "its parameter";
const LOG: &str = "the log";
const RUNS: &str = "runs of the one that ends";
/// How a process ends of which an intent is there and nobody knows more: it is not started again, since it may have run.
const INTERRUPTED: &str = "its start was interrupted, and it is not known whether it ran";

fn agent() -> Part {
    Part {
        name: "agent",
        program: "muster-agent",
        effects: Effects::OfMachine,
        process: |lab| lab.agent(MACHINE),
        comes_back: false,
        before: |_| Ok(()),
        scenario,
        forgives: |_, _| (),
    }
}

fn keeper() -> Part {
    Part {
        name: "keeper",
        program: "muster-keeper",
        effects: Effects::OfMachine,
        process: |lab| lab.agent(MACHINE),
        comes_back: true,
        // A keeper that has nothing to keep ends with its agent.
        before: |lab| {
            lab.agent(MACHINE)?.stop(SETTLE_LIMIT);
            Ok(())
        },
        scenario,
        forgives: what_a_keeper_takes_along,
    }
}

/// Nobody knows the exit status of a process whose parent is gone; and where it was killed between what it was asked and what it wrote
/// down, nobody knows whether there was a process.
fn what_a_keeper_takes_along(expected: &mut End, found: &End) {
    let (begun, over) = (&found[RUNS], |what| found[what].contains(INTERRUPTED));
    if over(ENDING) && (begun == "0" || begun == "1") {
        for what in [ENDING, LOG, RUNS] {
            expected.insert(what, found[what].clone());
        }
    }
    if over(STOPPED) {
        for what in [STOPPED, PARAMETER] {
            expected.insert(what, found[what].clone());
        }
    }
    for (what, status) in [(ENDING, "\"exit 1\""), (STOPPED, "\"exit 0\"")] {
        let unknown =
            expected[what].replace(status, "null").replace("\"dead\"", "\"finished\"").replace("exited with 1: ", "");
        if found[what] == unknown {
            expected.insert(what, unknown);
        }
    }
}

/// Who was started writes a line here: twice is seen.
fn tally(lab: &Lab) -> PathBuf {
    lab.directory().join("tally")
}

fn scenario(lab: &Lab) -> Scenario {
    let tally = tally(lab);
    Box::new(move |client| {
        let _ = std::fs::remove_file(&tally);
        up(client)?;
        let arguments = format!("arguments=-c 'echo ran >> {}; echo said; exit 3'", tally.display());
        let first = ["start", "command", "--processes", "1", "--param", "program=/bin/sh", "--param", &arguments];
        let first = job_number(&client.json(&first)?)?;
        let second = job_number(&client.json(&["start", "idle", "--processes", "1"])?)?;
        wait_until("the second one has begun", SETTLE_LIMIT, || {
            state(client, second).is_some_and(|it| it != "starting")
        })?;
        // What has ended already takes neither.
        client.run(&["set", &second.to_string(), "metrics=200ms"])?;
        client.run(&["stop", &second.to_string(), "--wait", "--timeout", "60s"])?;
        let over = |job| state(client, job).is_some_and(|it| ["finished", "dead", "lost"].contains(&&*it));
        wait_until("both have ended", SETTLE_LIMIT, || over(first) && over(second))?;
        up(client)?;
        let jobs = client.json(&["jobs", "--all"])?;
        let known = jobs.as_array().map_or(0, Vec::len);
        Ok(End::from([
            (ENDING, row(client, first)?),
            (STOPPED, row(client, second)?),
            (PARAMETER, parameter(&jobs, second)),
            ("jobs beside these", (known as u64 - second).to_string()),
            (LOG, log(client, first)?),
            (RUNS, std::fs::read_to_string(&tally).unwrap_or_default().lines().count().to_string()),
        ]))
    })
}

fn up(client: &Client) -> anyhow::Result<()> {
    let up = || {
        let machines = client.json(&["machine", "list"]).unwrap_or_default();
        machines[0]["health"] == "up" && machines[0]["phase"] == "ready" && machines[0]["tenure"] == "pool"
    };
    wait_until("the machine is up", SETTLE_LIMIT, up)
}

fn state(client: &Client, job: u64) -> Option<String> {
    let rows = client.json(&["ps", "--all", "--job", &job.to_string()]).ok()?;
    rows[0]["state"].as_str().map(str::to_owned)
}

/// The process of a job, as the scheduler tells.
fn row(client: &Client, job: u64) -> anyhow::Result<String> {
    let rows = client.json(&["ps", "--all", "--job", &job.to_string()])?;
    let words = ["state", "verdict", "exit_status", "attempt", "reason"].map(|name| rows[0][name].to_string());
    Ok(format!("{} of {}", words.join(" "), rows.as_array().map_or(0, Vec::len)))
}

fn parameter(jobs: &Value, job: u64) -> String {
    let found = jobs.as_array().into_iter().flatten().find(|row| row["job"] == job);
    let given = found.and_then(|row| row["parameters"].as_array()).into_iter().flatten();
    given.filter_map(Value::as_str).filter(|text| text.starts_with("metrics=")).collect()
}

/// What the process wrote, as it was collected.
fn log(client: &Client, job: u64) -> anyhow::Result<String> {
    let (dpid, mut log) = (format!("{job:04x}0001"), String::new());
    let told = || {
        log = client.ok(&["logs", &dpid]).unwrap_or_default();
        !log.is_empty()
    };
    wait_until("the log is there", LOG_LIMIT, told).context("read the log")?;
    Ok(log.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("|"))
}

#[test]
fn a_kill_before_any_effect_of_agent_or_keeper_changes_no_end() {
    let (mut lab, _scratch) = lab(1, 1).expect("the lab comes up");
    none_differs(&mut lab, &[agent(), keeper()]);
    wait_until("no test process is left", SETTLE_LIMIT, || test_processes(&lab).is_empty()).expect("all have ended");
    let work = lab.directory().join(MACHINE).join("state/work");
    let left = || std::fs::read_dir(&work).map_or(usize::MAX, |entries| entries.flatten().count());
    wait_until("no directory is left", SETTLE_LIMIT, || left() == 0)
        .unwrap_or_else(|error| panic!("{error}: {}", left()));
    lab.down().expect("nothing is left running");
}
