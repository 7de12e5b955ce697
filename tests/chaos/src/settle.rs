//! The second phase: nothing goes wrong any more, and everything has to come to rest, within bounds.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use muster_testkit::lab::Lab;
use serde_json::Value;

use crate::facts::{Counts, Started};
use crate::gather::{self, rows};
use crate::watch;

/// Each stage of settling takes no longer than this, on a host that is busy with other tests too.
const SETTLE_MAX: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// What `muster` says and what the operating system shows agree, while work goes on; else what does not.
///
/// # Errors
/// What did not settle.
pub(crate) fn at_work(lab: &Lab, machines: u32) -> Result<(), String> {
    until("the pool agrees with its machines after healing", || {
        all_up(lab, machines)?;
        agree(lab)
    })
}

/// Everything has ended, and is given back.
///
/// # Errors
/// What did not settle.
pub(crate) fn at_rest(lab: &Lab, machines: u32) -> Result<(), String> {
    until("everything ends and is given back", || {
        all_up(lab, machines)?;
        let open: Vec<String> = rows(lab, &["jobs"]).iter().map(|job| job["job"].to_string()).collect();
        none("jobs have not ended", &open)?;
        let held: Vec<String> =
            rows(lab, &["reservation", "list"]).iter().map(|row| row["reservation"].to_string()).collect();
        none("reservations are not over", &held)?;
        let kept: Vec<String> = gather::machines(lab)
            .into_iter()
            .filter(|machine| machine.tenure != "pool" || machine.phase != "ready")
            .map(|machine| format!("{machine:?}"))
            .collect();
        none("machines are not the pool's", &kept)?;
        let left: Vec<String> = watch::tests(lab.directory()).iter().map(|test| format!("{test:?}")).collect();
        none("test processes run", &left)
    })
}

/// The store has caught up with the streams.
///
/// # Errors
/// What did not settle, with the counts of both.
pub(crate) fn stored(lab: &Lab) -> Result<(Counts, Counts), String> {
    let mut found = (Counts::default(), Counts::default());
    until("the store holds what the streams hold", || {
        found = (gather::acknowledged(lab).map_err(|error| format!("{error:#}"))?, gather::stored(lab));
        if found.0 == found.1 { Ok(()) } else { Err(format!("acknowledged {:?}, stored {:?}", found.0, found.1)) }
    })?;
    Ok(found)
}

/// `muster doctor` finds nothing that is broken.
///
/// # Errors
/// What it found.
pub(crate) fn examined(lab: &Lab) -> Result<(), String> {
    until("the doctor finds nothing broken", || {
        let output = lab.muster(&["doctor", "--output", "json"]).map_err(|error| format!("{error:#}"))?;
        let checks: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let broken: Vec<String> =
            checks.iter().filter(|check| check["state"] == "fail").map(Value::to_string).collect();
        none("checks fail", &broken)?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
    })
}

fn until(what: &str, mut look: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(()) => return Ok(()),
            Err(why) if begun.elapsed() >= SETTLE_MAX => {
                return Err(format!("{what}: not within {SETTLE_MAX:?}: {why}"));
            }
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

fn none(what: &str, found: &[String]) -> Result<(), String> {
    if found.is_empty() { Ok(()) } else { Err(format!("{what}: {}", found.join(", "))) }
}

/// Everybody answers, and every machine is up.
fn all_up(lab: &Lab, machines: u32) -> Result<(), String> {
    let up = gather::machines(lab).iter().filter(|machine| machine.health == "up").count();
    if up != machines as usize {
        return Err(format!("{up} of {machines} machines are up"));
    }
    let status = lab.muster(&["admin", "status"]).map_err(|error| format!("{error:#}"))?;
    if status.status.success() { Ok(()) } else { Err("a service does not answer".into()) }
}

/// What the scheduler calls running is what runs.
fn agree(lab: &Lab) -> Result<(), String> {
    let rows = rows(lab, &["ps"]);
    let unclear: Vec<String> = rows
        .iter()
        .filter(|row| row["state"] != "running")
        .map(|row| format!("{} {}", row["dpid"], row["state"]))
        .collect();
    none("processes are neither running nor over", &unclear)?;
    let said: BTreeSet<(String, String)> = rows.iter().map(|row| (word(&row["machine"]), word(&row["dpid"]))).collect();
    let seen = watch::tests(lab.directory());
    let there: BTreeSet<(String, String)> = seen.iter().map(place).collect();
    if said == there && seen.len() == there.len() {
        return Ok(());
    }
    let missing: Vec<_> = said.difference(&there).collect();
    let unknown: Vec<_> = there.difference(&said).collect();
    Err(format!(
        "{} processes run; called running and not there: {missing:?}; there and not called so: {unknown:?}",
        seen.len()
    ))
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn place(test: &Started) -> (String, String) {
    (format!("node-{}", test.machine), test.id.dpid.to_string())
}
