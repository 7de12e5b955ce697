//! Why a reservation waits: what keeps each machine that matches from it, when it is served at the latest, and what would help.

use std::collections::BTreeMap;

use muster_model::{MachineId, PoolTime, ReservationId, quantity};

use super::grants::over_quota;
use super::limits::BACK_WITHIN;
use super::machine::{Machine, Named};
use super::outlook::{Outlook, Promised};
use super::record::Record;
use super::reservation::{Reservation, Stage};
use super::state::State;

/// Machines that are named in one group.
const NAMED_MAX: usize = 5;
/// Groups that are told, the largest first.
const GROUPS_MAX: usize = 30;

/// Why a reservation waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// The reservation.
    pub record: Record,
    /// When it is served at the latest, if nobody extends; none where nobody can tell, or where it waits no longer.
    pub expected: Option<PoolTime>,
    /// How many are before it in line.
    pub before: u32,
    /// The machines that its selector names, by what keeps them.
    pub kept: Vec<Kept>,
    /// The smallest change of the request that would be served now, for people; empty where there is none.
    pub change: String,
    /// The quota that keeps it, for people; empty where none does.
    pub quota: String,
}

/// Machines with what keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What: `free`, `down`, `user:anna has it: reservation 7`.
    pub what: String,
    /// How many.
    pub count: u32,
    /// Some of them.
    pub some: Vec<MachineId>,
    /// Until when at the latest.
    pub until: Option<PoolTime>,
}

/// Explains one.
#[must_use]
pub fn explain(state: &State, reservation: &Reservation, now: PoolTime) -> Explained {
    let record = Record::of(state, reservation);
    if reservation.stage != Stage::Queued {
        let (kept, change, quota) = (Vec::new(), String::new(), String::new());
        return Explained { record, expected: None, before: 0, kept, change, quota };
    }
    let quota = over_quota(state, reservation).unwrap_or_default();
    let before = state.line_with(None).take_while(|id| *id != reservation.id).count();
    let outlook = Outlook::of(state, reservation);
    let expected = outlook.expect(&Promised::new(), now).1.map(|expected| expected.start);
    let change = if quota.is_empty() { change(state, reservation, &outlook, now) } else { String::new() };
    let before = u32::try_from(before).unwrap_or(u32::MAX);
    Explained { record, expected, before, kept: kept(state, reservation), change, quota }
}

/// The machines that a selector names, by what keeps them.
fn kept(state: &State, reservation: &Reservation) -> Vec<Kept> {
    let mut groups: BTreeMap<(String, Option<PoolTime>), Vec<&MachineId>> = BTreeMap::new();
    let named = state.machines().filter(|(id, machine)| reservation.request.selector.matches(&Named(id, machine)));
    for (id, machine) in named {
        groups.entry(keeps(state, reservation, id, machine)).or_default().push(id);
    }
    let group = |((what, until), machines): ((String, _), Vec<&MachineId>)| Kept {
        what,
        count: u32::try_from(machines.len()).unwrap_or(u32::MAX),
        some: machines.into_iter().take(NAMED_MAX).cloned().collect(),
        until,
    };
    let mut kept: Vec<Kept> = groups.into_iter().map(group).collect();
    kept.sort_by_key(|kept| std::cmp::Reverse(kept.count));
    kept.truncate(GROUPS_MAX);
    kept
}

fn keeps(state: &State, waiting: &Reservation, id: &MachineId, machine: &Machine) -> (String, Option<PoolTime>) {
    let words = [
        (machine.retired, "retired"),
        (machine.protected, "protected"),
        (!machine.active, "not active"),
        (machine.maintenance, "in maintenance"),
        (machine.quarantined, "quarantined"),
        (machine.offline, "offline: it was given up"),
        (machine.down, "down"),
        (waiting.request.rollout.is_some() && !machine.bootable, "without a boot driver"),
        (!waiting.request.suits(machine), "without the image"),
        (state.free.contains(id), "free"),
    ];
    if let Some((_, word)) = words.into_iter().find(|(applies, _)| *applies) {
        return (word.to_owned(), None);
    }
    let Some(holder) = state.holder(id).and_then(|holder| state.reservation(holder)) else {
        return ("not ready".to_owned(), None);
    };
    let (user, number) = (&holder.request.user, holder.id);
    match &holder.stage {
        Stage::Preparing(grant) | Stage::Ready(grant) => {
            let until = Some(grant.deadline).filter(|deadline| *deadline != PoolTime::NEVER);
            (format!("{user} has it: reservation {number}"), until)
        }
        Stage::Queued | Stage::Ended(_) => (format!("on its way back from {user}"), None),
    }
}

/// The smallest change that would be served now: fewer machines, a shorter time, or others.
fn change(state: &State, waiting: &Reservation, outlook: &Outlook<'_>, now: PoolTime) -> String {
    let (free, wanted) = (outlook.free(), waiting.count_wanted(now) as usize);
    if free >= wanted {
        return first_in_line(state, now).filter(|(first, _)| *first != waiting.id).map_or_else(
            String::new,
            |(first, start)| {
                let before = waiting.request.drain + waiting.request.preparation_max() + BACK_WITHIN;
                let room = start.since(now).saturating_sub(before).as_secs() / 60 * 60;
                match room {
                    0 => format!("reservation {first} is before it, and could not be served in time after any other"),
                    room => {
                        let room = quantity::print_duration(std::time::Duration::from_secs(room));
                        format!("`--for {room}` or less would fit before reservation {first}")
                    }
                }
            },
        );
    }
    match (free, state.free.len()) {
        (0, 0) => String::new(),
        (0, others) => format!("{others} machines are free that it does not name: widen the selector"),
        (free, _) => format!("`--count {free}` could be served now"),
    }
}

/// The first in line that must wait, and when it is served at the latest.
fn first_in_line(state: &State, now: PoolTime) -> Option<(ReservationId, PoolTime)> {
    let expected = |id| {
        let waiting = state.reservation(id)?;
        let expected = Outlook::of(state, waiting).expect(&Promised::new(), now).1?;
        Some((id, expected.start))
    };
    state.line_with(None).find_map(expected)
}
