//! Machines and their agents: who is heard, in which version, with which clock, and what is out of use.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_proto::v1;

use super::super::found::Found;
use super::{Check, Reason, named};
use crate::times;

/// A clock that is known no better is of little use to compare times of different machines.
const CLOCK_ERROR_MAX: Duration = Duration::from_millis(100);
/// An agent whose pool time is ahead of the pool's by more; behind, by more than a heartbeat may take to arrive.
const AHEAD_MAX: Duration = Duration::from_millis(250);
const BEHIND_MAX: Duration = Duration::from_secs(2);

pub(super) fn judge(found: &Found) -> Vec<Check> {
    let machines = match &found.machines {
        Ok(machines) => machines,
        Err(error) => {
            let next = "start muster-machine-lifecycle, or look at its log";
            return vec![Check::fail("agents", error, Reason { why: "the machines could not be asked for", next })];
        }
    };
    vec![heard(found, machines), versions(machines), clocks(found), containment(found), out_of_use(machines)]
}

fn record(machine: &v1::MachineStatus) -> v1::MachineRecord {
    machine.record.clone().unwrap_or_default()
}

/// People let it take part, and it has said hello.
fn takes_part(record: &v1::MachineRecord) -> bool {
    record.active && !record.maintenance && !record.retired
}

/// Machines that take part are heard: by machine-lifecycle, and by ourselves.
fn heard(found: &Found, machines: &[v1::MachineStatus]) -> Check {
    let mut quiet = Vec::new();
    let mut taking_part = 0;
    for machine in machines {
        let record = record(machine);
        if !takes_part(&record) {
            continue;
        }
        taking_part += 1;
        let word = match machine.health() {
            v1::Health::Up if found.heard.contains_key(&record.machine) => continue,
            v1::Health::Up => "heard by machine-lifecycle, and not by us",
            v1::Health::Silent => "silent",
            v1::Health::Down => "down",
            v1::Health::Unspecified => "not heard yet",
        };
        let age = match machine.heartbeat_age_ms {
            0 => String::new(),
            age => format!(" for {}", times::short(Duration::from_millis(age))),
        };
        quiet.push(format!("{} is {word}{age}", record.machine));
    }
    if quiet.is_empty() {
        return Check::ok(
            "agents",
            format!("{taking_part} of {} machines take part, and all of these are heard", machines.len()),
        );
    }
    let names: Vec<&str> = quiet.iter().map(String::as_str).collect();
    let reason = Reason {
        why: "no heartbeat comes: the machine is off, its agent does not run, or the network is cut",
        next: "`muster machine show NAME`; start muster-agent there, or `muster machine maintenance NAME`",
    };
    if quiet.len() == taking_part {
        Check::fail("agents", named(&names), reason)
    } else {
        Check::warn("agents", named(&names), reason)
    }
}

fn versions(machines: &[v1::MachineStatus]) -> Check {
    let own = env!("CARGO_PKG_VERSION");
    let mut by_version: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in machines.iter().map(record).filter(|record| !record.retired && !record.agent_version.is_empty()) {
        by_version.entry(record.agent_version).or_default().push(record.machine);
    }
    let other: Vec<String> = by_version
        .iter()
        .filter(|(version, _)| *version != own)
        .map(|(version, names)| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            format!("{version} on {}", named(&names))
        })
        .collect();
    if other.is_empty() {
        let count = by_version.get(own).map_or(0, Vec::len);
        return Check::ok("agent versions", format!("{count} agents, all of {own}"));
    }
    let next = "put the agent of this version there and restart it: its tests go on (docs/operations.md)";
    Check::warn(
        "agent versions",
        other.join("; "),
        Reason { why: "they are not of the version of this `muster`", next },
    )
}

fn clocks(found: &Found) -> Check {
    let mut wrong = Vec::new();
    let mut worst = Duration::ZERO;
    for (machine, heard) in &found.heard {
        let Some(error) = heard.clock_error else {
            wrong.push(format!("{machine} has no pool time yet"));
            continue;
        };
        worst = worst.max(error);
        let ahead = Duration::from_nanos(heard.ahead_ns.unsigned_abs());
        if error > CLOCK_ERROR_MAX {
            wrong.push(format!("{machine} knows the pool time to {} only", times::short(error)));
        } else if heard.ahead_ns > 0 && ahead > AHEAD_MAX + error {
            wrong.push(format!("{machine} is {} ahead of the pool", times::short(ahead)));
        } else if heard.ahead_ns < 0 && ahead > BEHIND_MAX + error {
            wrong.push(format!("{machine} is {} behind the pool", times::short(ahead)));
        }
    }
    if wrong.is_empty() {
        let text = format!(
            "{} agents know the pool time, the worst to {:.3} ms",
            found.heard.len(),
            worst.as_secs_f64() * 1e3
        );
        return Check::ok("clocks", text);
    }
    let names: Vec<&str> = wrong.iter().map(String::as_str).collect();
    let reason = Reason {
        why: "pulses, and times of what different machines measured, do not fit together",
        next: "look at the network between the machine and nats-server: an agent sets its clock by the quickest answers to its heartbeats",
    };
    Check::warn("clocks", named(&names), reason)
}

/// A policy file that is not believed stops a machine. What else is missing there may be as people want it, and is only told.
fn containment(found: &Found) -> Check {
    let told = found.heard.iter().filter_map(|(machine, heard)| Some((machine, heard.containment.as_ref()?)));
    let (mut wrong, mut missing) = (Vec::new(), BTreeMap::<&str, Vec<&str>>::new());
    for (machine, containment) in told {
        if !containment.policy_error.is_empty() {
            wrong.push(format!("{machine}: {}", containment.policy_error));
        }
        containment.missing.iter().for_each(|what| missing.entry(what).or_default().push(machine));
    }
    if !wrong.is_empty() {
        let names: Vec<&str> = wrong.iter().map(String::as_str).collect();
        let next = "mend the policy file there (docs/security.md); it is read again at once";
        let why = "nothing is started, booted or prepared on a machine whose policy is not known";
        return Check::fail("containment", named(&names), Reason { why, next });
    }
    if missing.is_empty() {
        return Check::ok("containment", "tests have users and limits of their own".to_owned());
    }
    let texts: Vec<String> = missing.iter().map(|(what, machines)| format!("{what} ({})", named(machines))).collect();
    Check::ok("containment", texts.join("; "))
}

/// Machines that take part and can not be used.
fn out_of_use(machines: &[v1::MachineStatus]) -> Check {
    let mut troubled = Vec::new();
    let mut usable = 0;
    for record in machines.iter().map(record).filter(takes_part) {
        let is_on_its_way = record.phase() != v1::Phase::Offline && !record.quarantined && !record.down;
        if record.trouble.is_empty() {
            usable += 1;
        } else if !is_on_its_way {
            troubled.push(format!("{}: {}", record.machine, record.trouble));
        }
    }
    if troubled.is_empty() {
        return Check::ok("machines", format!("{usable} are usable"));
    }
    let names: Vec<&str> = troubled.iter().map(String::as_str).collect();
    let reason = Reason {
        why: "nothing is placed on them, and nobody gets them",
        next: "`muster machine show NAME` says what was tried; `muster machine boot`, `power` or `activate` tries again",
    };
    Check::warn("machines", named(&names), reason)
}
