//! Deadlines of many reservations: none outlives its own by long (I5).
//!
//! `cargo xtask soak deadlines` counts 200 of them; the usual run a few.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use muster_e2e::{SETTLE_LIMIT, options};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;
use serde_json::Value;

const AGENTS: u32 = 2;
const SIMULATED: u32 = 18;
/// Nothing of a holder lives longer after its deadline.
const LATE_MAX: Duration = Duration::from_secs(10);

fn events(lab: &Lab, log: &str) -> Vec<Value> {
    let text = lab.muster_ok(&["events", "--log", log]).expect("the log is printed");
    text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect()
}

fn nanoseconds(event: &Value) -> Option<i64> {
    let time: jiff::Timestamp = event["time"].as_str()?.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

/// How long after the deadline of each reservation the last of its machines was fenced for the pool.
fn lateness(lab: &Lab) -> anyhow::Result<Vec<Duration>> {
    let mut deadlines = BTreeMap::new();
    for event in events(lab, "reservations") {
        if let (Some(id), "ready") = (event["reservation"].as_u64(), event["kind"].as_str().unwrap_or_default()) {
            deadlines.insert(id, event["fields"]["deadline_ns"].as_i64().context("a deadline")?);
        }
    }
    // Who holds each machine, by its epoch.
    let mut holders: BTreeMap<(String, u64), u64> = BTreeMap::new();
    let mut late = BTreeMap::new();
    for event in events(lab, "machines") {
        let Some(machine) = event["machine"].as_str().map(str::to_owned) else { continue };
        let epoch = event["fields"]["epoch"].as_u64().unwrap_or_default();
        match event["kind"].as_str() {
            Some("epoch_raised") => {
                let holder = event["fields"]["holder"]["reservation"].as_u64().unwrap_or_default();
                holders.insert((machine, epoch), holder);
            }
            Some("fence_reported") => {
                let Some(before) = holders.get(&(machine, epoch - 1)).filter(|holder| **holder > 0) else { continue };
                let deadline = deadlines.get(before).context("its reservation was ready")?;
                let after = nanoseconds(&event).context("a time")? - deadline;
                late.insert(
                    *before,
                    Duration::from_nanos(u64::try_from(after).context("it ended before its deadline")?),
                );
            }
            _ => {}
        }
    }
    Ok(late.into_values().collect())
}

fn all_are_back(lab: &Lab) -> bool {
    let rows = lab.muster_json(&["machine", "list"]).unwrap_or_default();
    let rows = rows.as_array().cloned().unwrap_or_default();
    let open = lab.muster_json(&["reservation", "list"]).unwrap_or_default();
    open.as_array().is_some_and(Vec::is_empty)
        && rows.iter().filter(|row| row["tenure"] == "pool" && row["phase"] == "ready").count() == rows.len()
}

#[test]
fn no_reservation_outlives_its_deadline_by_more_than_ten_seconds() {
    let runs: u32 =
        std::env::var("MUSTER_SOAK_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(AGENTS + SIMULATED);
    let (mut options, _scratch) = options(AGENTS, 1).expect("a folder is made");
    options.simulated = SIMULATED;
    let lab = Lab::up(options, &|_| ()).expect("the lab comes up");
    for _ in 0..runs.div_ceil(AGENTS + SIMULATED) {
        for _ in 0..AGENTS + SIMULATED {
            lab.muster_ok(&["reserve", "--for", "2s"]).expect("it is taken");
        }
        wait_until("all are over and back", SETTLE_LIMIT, || all_are_back(&lab)).unwrap_or_else(|error| {
            panic!("{error}\n{}\n{}", lab.muster_ok(&["reservation", "list"]).unwrap_or_default(), lab.tails())
        });
    }
    let late = lateness(&lab).expect("the logs are read");
    let (most, mean) =
        (late.iter().max().expect("some"), late.iter().sum::<Duration>() / u32::try_from(late.len()).expect("few"));
    eprintln!("{} reservations: back {mean:?} after their deadline on average, {most:?} at most", late.len());
    assert!(late.len() >= runs as usize, "{} of {runs} are in the logs", late.len());
    assert!(*most <= LATE_MAX, "{most:?}");
    lab.down().expect("nothing is left running");
}
