//! Rollouts as tables.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::Phase;
use muster_proto::v1::{self, ReservationState};

use crate::commands::boots::{kernel, verdict};
use crate::commands::reservations::{deadline, end, state};
use crate::output::{Cell, Column, Table};

/// One row for each rollout.
pub(super) fn list(rollouts: &[v1::ReservationRecord]) -> Table {
    let names = [
        "rollout",
        "state",
        "user",
        "kernel",
        "ready",
        "minimum",
        "target",
        "countdown_ends_time",
        "reason",
        "comment",
    ];
    let mut columns: Vec<Column> = names.into_iter().map(Column::new).collect();
    columns.extend(["selector", "machines", "dropped", "end", "queued_time", "deadline_time"].map(Column::programs));
    let mut table = Table::new(columns);
    for record in rollouts {
        let quorum = record.rollout.clone().unwrap_or_default();
        table.push(vec![
            Cell::Integer(record.reservation),
            Cell::text(state(record.state())),
            Cell::text(&record.user),
            Cell::text(&quorum.kernel),
            Cell::Integer(record.ready.len() as u64),
            Cell::Integer(quorum.minimum.into()),
            Cell::Integer(record.count.into()),
            Cell::time_ns(record.countdown_ends_ns),
            Cell::text(&record.reason),
            Cell::text(&record.comment),
            Cell::text(&record.selector),
            Cell::List(record.machines.clone()),
            Cell::List(record.dropped.clone()),
            Cell::text(end(record.end())),
            Cell::time_ns(record.queued_ns),
            deadline(record),
        ]);
    }
    table
}

/// What is known of one rollout, for people.
pub(super) fn summary(record: &v1::ReservationRecord, machines: &[v1::MachineStatus], then: &str) -> Table {
    let quorum = record.rollout.clone().unwrap_or_default();
    let quorum_words = format!("{} ready, minimum {}, target {}", record.ready.len(), quorum.minimum, record.count);
    let ended = match record.state() {
        ReservationState::Ended => format!("{}: {}", end(record.end()), record.reason),
        _ => waits_for(record, &quorum),
    };
    Table::record(vec![
        ("rollout", Cell::Integer(record.reservation)),
        ("state", Cell::text(state(record.state()))),
        ("user", Cell::text(&record.user)),
        ("kernel", Cell::text(&quorum.kernel)),
        ("quorum", Cell::text(quorum_words)),
        ("phases", Cell::text(phases(record, machines))),
        ("countdown_ends_time", Cell::time_ns(record.countdown_ends_ns)),
        ("waits_for", Cell::text(ended)),
        ("went_on_without", Cell::List(record.dropped.clone())),
        ("deadline_time", deadline(record)),
        ("then", Cell::text(then)),
    ])
    .upright()
}

fn waits_for(record: &v1::ReservationRecord, quorum: &v1::Rollout) -> String {
    let ready = record.ready.len() as u64;
    match record.state() {
        ReservationState::Prepared | ReservationState::Ready | ReservationState::Active => {
            "nothing: it is ready".into()
        }
        ReservationState::Queued => record.reason.clone(),
        _ if record.countdown_ends_ns > 0 => {
            format!("{} more, or the end of the countdown", u64::from(record.count).saturating_sub(ready))
        }
        _ => format!("{} more for the minimum", u64::from(quorum.minimum).saturating_sub(ready)),
    }
}

/// The machines of a rollout, and those that it went on without and that are not back yet.
fn members(record: &v1::ReservationRecord) -> BTreeSet<&str> {
    record.machines.iter().chain(&record.returning).map(String::as_str).collect()
}

fn phase(machine: &v1::MachineRecord) -> &'static str {
    machine.phase().known().map_or("unknown", Phase::as_str)
}

/// How many of its machines are in which phase: `2 rebooting, 38 ready`.
fn phases(record: &v1::ReservationRecord, machines: &[v1::MachineStatus]) -> String {
    let members = members(record);
    let records = machines.iter().filter_map(|status| status.record.as_ref());
    let mut counts = BTreeMap::<&str, usize>::new();
    for machine in records.filter(|machine| members.contains(machine.machine.as_str())) {
        *counts.entry(phase(machine)).or_default() += 1;
    }
    counts.iter().map(|(phase, count)| format!("{count} {phase}")).collect::<Vec<_>>().join(", ")
}

/// One row for each machine, those that are not ready first.
pub(super) fn machines(record: &v1::ReservationRecord, machines: &[v1::MachineStatus]) -> Table {
    let names = ["machine", "stands", "phase", "kernel", "verdict", "attempt", "attempts_max", "since_time", "reason"];
    let mut columns: Vec<Column> = names.into_iter().map(Column::new).collect();
    columns.extend(["rollout", "rollout_state"].map(Column::programs));
    let mut table = Table::new(columns);
    let members = members(record);
    let mut found: Vec<_> = machines.iter().filter_map(|status| status.record.as_ref()).collect();
    found.retain(|machine| members.contains(machine.machine.as_str()));
    found.sort_by_key(|machine| (record.ready.contains(&machine.machine), machine.machine.clone()));
    for machine in found {
        let boot = machine.boot.clone().unwrap_or_default();
        let trouble = if boot.reason.is_empty() { &machine.trouble } else { &boot.reason };
        table.push(vec![
            Cell::text(&machine.machine),
            Cell::text(stands(record, &machine.machine)),
            Cell::text(phase(machine)),
            kernel(&boot),
            verdict(&boot),
            Cell::Integer(boot.attempt.into()),
            Cell::Integer(boot.attempts_max.into()),
            Cell::time_ns(boot.since_ns),
            Cell::text(trouble),
            Cell::Integer(record.reservation),
            Cell::text(state(record.state())),
        ]);
    }
    table
}

fn stands(record: &v1::ReservationRecord, machine: &str) -> &'static str {
    let has = |list: &[String]| list.iter().any(|name| name == machine);
    if has(&record.ready) {
        "ready"
    } else if has(&record.returning) {
        "goes back"
    } else {
        "on its way"
    }
}
