//! Health, from heartbeats alone, and the brake.

use muster_model::{MachineId, Phase, PoolTime};

use super::limits::{BRAKE_MACHINES_MIN, BRAKE_PERCENT, DOWN_AFTER, LISTEN_BEFORE_VERDICT, SILENT_AFTER};
use super::{Observed, Seen, State};

/// Health of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Nothing heard since this service listens.
    Unknown,
    /// Heartbeats arrive.
    Up,
    /// None for 3 s.
    Silent,
    /// None for 15 s, and this service has listened long enough to be sure that it is not deaf itself.
    Down,
}

impl Health {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Up, Self::Silent, Self::Down];

    /// The word for people and machines alike.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Silent => "silent",
            Self::Down => "down",
        }
    }
}

/// Health of a machine now.
#[must_use]
pub fn health(observed: &Observed, id: &MachineId, now: PoolTime) -> Health {
    health_of(observed.newest(id), may_judge(observed, now), now)
}

/// Health of a machine by its newest heartbeat.
pub(super) fn health_of(newest: Option<&Seen>, may_judge: bool, now: PoolTime) -> Health {
    match newest.map(|seen| now.since(seen.at)) {
        Some(age) if age < SILENT_AFTER => Health::Up,
        Some(age) if age < DOWN_AFTER || !may_judge => Health::Silent,
        Some(_) => Health::Down,
        None if may_judge => Health::Down,
        None => Health::Unknown,
    }
}

/// This service has listened long enough to be sure that it is not deaf itself.
pub(super) fn may_judge(observed: &Observed, now: PoolTime) -> bool {
    observed.listening_since.is_some_and(|since| now.since(since) >= LISTEN_BEFORE_VERDICT)
}

/// So many machines went silent at once that Muster itself is the suspect: no down verdicts until they are heard again, or a person
/// takes them out.
///
/// A silent machine that is not yet logged as down has gone silent within the last [`DOWN_AFTER`], or while the brake was on: that
/// is the window. Before this service may judge there is nothing to brake.
#[must_use]
pub fn brake(state: &State, observed: &Observed, now: PoolTime) -> bool {
    if !may_judge(observed, now) {
        return false;
    }
    let (mut taking_part, mut silent) = (0_usize, 0_usize);
    for (_, machine, newest) in observed.along(state) {
        // Who was told to reboot is silent by order, and who announced it by that.
        let is_expected = machine.phase == Phase::Rebooting || machine.is_awaited(now);
        if !machine.flags.takes_part() || machine.is_new() || is_expected {
            continue;
        }
        taking_part += 1;
        let quiet = matches!(health_of(newest, true, now), Health::Silent | Health::Down);
        silent += usize::from(quiet && !machine.down);
    }
    silent > 0 && silent * 100 > taking_part * BRAKE_PERCENT && (silent >= BRAKE_MACHINES_MIN || silent == taking_part)
}
