//! Which interactive command center gives the commands of job control: one is master, the others are read-only.
//!
//! Responsible for taking, releasing and losing the mastership, and for what a read-only center is refused. Not for what is given
//! outside of centers: scripts, tests and single commands are never blocked.

use std::collections::BTreeSet;
use std::fmt;

use muster_ledger::Decision;
use muster_model::quantity::print_duration;
use muster_model::{PoolTime, Refusal, RefusalCode};

use super::JobCore;
use super::event::Event;
use super::input::Reply;
use super::limits::{CENTER_LOOK_MAX, CENTER_TEXT_MAX, MASTER_LAPSES_AFTER};
use super::state::State;

/// An interactive command center.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CenterId(String);

impl CenterId {
    /// Reads an id: 1 to 64 letters, digits, `.`, `_` and `-`.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        ((1..=CENTER_TEXT_MAX).contains(&text.len()) && text.bytes().all(legal)).then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CenterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The center that is master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Master {
    /// Its id.
    pub center: CenterId,
    /// Who sits there.
    pub actor: String,
    /// Name of the machine that it runs on, for people.
    pub machine: String,
    /// Since when.
    pub since: PoolTime,
}

/// Another center is master, or none is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterChanged {
    /// The new master.
    pub master: Option<Master>,
    /// Why.
    pub reason: MasterReason,
}

/// Why the mastership changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MasterReason {
    /// There was none.
    Taken,
    /// From another center.
    TakenOver,
    /// It ended, or gave it up.
    Released,
    /// It was not heard for too long.
    Lapsed,
}

impl MasterReason {
    /// All reasons.
    pub const ALL: [Self; 4] = [Self::Taken, Self::TakenOver, Self::Released, Self::Lapsed];

    /// The word for people and machines alike.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::TakenOver => "taken-over",
            Self::Released => "released",
            Self::Lapsed => "lapsed",
        }
    }
}

/// What a center wants of the mastership.
#[derive(Debug, Clone)]
pub struct ChangeMaster {
    /// Which center.
    pub center: CenterId,
    /// Who sits there.
    pub actor: String,
    /// Name of the machine that it runs on, for people.
    pub machine: String,
    /// What.
    pub wish: MasterWish,
}

/// What a center wants of the mastership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MasterWish {
    /// To have it, if nobody has.
    Take,
    /// To have it, whoever has it.
    TakeOver,
    /// To give it up.
    Release,
}

/// Takes or releases the mastership. Said twice, it changes nothing.
pub(super) fn change(state: &State, change: &ChangeMaster, now: PoolTime) -> Result<Decision<JobCore>, Refusal> {
    let mine = state.master.as_ref().is_some_and(|master| master.center == change.center);
    let next = Master {
        center: change.center.clone(),
        actor: change.actor.clone(),
        machine: change.machine.clone(),
        since: now,
    };
    let (event, master) = match (change.wish, &state.master) {
        (MasterWish::Take | MasterWish::TakeOver, Some(master)) if mine => (None, Some(master.clone())),
        (MasterWish::Take | MasterWish::TakeOver, None) => (Some(MasterReason::Taken), Some(next)),
        (MasterWish::TakeOver, Some(_)) => (Some(MasterReason::TakenOver), Some(next)),
        (MasterWish::Take, Some(master)) => {
            let next = "`muster master take --take-over` takes it from there";
            return Err(Refusal::new(RefusalCode::Refused, "take the mastership", describe(master, now), next));
        }
        (MasterWish::Release, Some(_)) if mine => (Some(MasterReason::Released), None),
        (MasterWish::Release, other) => {
            let why = other.as_ref().map_or_else(|| "no command center is master".into(), |m| describe(m, now));
            return Err(Refusal::new(RefusalCode::Refused, "release the mastership", why, "nothing was changed"));
        }
    };
    let events = event.map(|reason| Event::MasterChanged(MasterChanged { master: master.clone(), reason }));
    Ok(Decision { events: events.into_iter().collect(), reply: Some(Reply::Master(master)) })
}

/// Whether a center may give a command of job control.
///
/// # Errors
/// Says who is master, when it is another center.
pub(super) fn check(state: &State, center: &CenterId, what: &str, now: PoolTime) -> Result<(), Refusal> {
    match &state.master {
        Some(master) if master.center != *center => {
            let why = format!("this command center is read-only: {}", describe(master, now));
            let next = "`master take --take-over` makes this one master; outside of command centers nothing is blocked";
            Err(Refusal::new(RefusalCode::Refused, what, why, next))
        }
        Some(_) | None => Ok(()),
    }
}

fn describe(master: &Master, now: PoolTime) -> String {
    let who = master.actor.strip_prefix("user:").unwrap_or(&master.actor);
    let whole = std::time::Duration::from_secs(now.since(master.since).as_secs());
    format!("{who} on {} is master for {} (center {})", master.machine, print_duration(whole), master.center)
}

/// What was heard of the master's center.
#[derive(Debug, Default)]
pub struct MasterHeard {
    center: Option<CenterId>,
    heard: PoolTime,
    looked: PoolTime,
}

impl MasterHeard {
    /// Takes the centers that were heard since it was looked last. Where we did not look for a while ourselves, nobody is blamed for
    /// the silence.
    pub(super) fn take(&mut self, state: &State, beats: &BTreeSet<CenterId>, now: PoolTime) {
        let paused = now.since(self.looked) > CENTER_LOOK_MAX;
        self.looked = now;
        let master = state.master.as_ref().map(|master| &master.center);
        if paused || self.center.as_ref() != master || master.is_some_and(|center| beats.contains(center)) {
            self.heard = now;
            self.center = master.cloned();
        }
    }

    /// The master was not heard for too long.
    pub(super) fn lapsed(&self, state: &State, now: PoolTime) -> Option<Event> {
        let master = state.master.as_ref()?;
        let known = self.center.as_ref() == Some(&master.center) && now.since(self.looked) <= CENTER_LOOK_MAX;
        let lapsed = known && now.since(self.heard) > MASTER_LAPSES_AFTER;
        lapsed.then_some(Event::MasterChanged(MasterChanged { master: None, reason: MasterReason::Lapsed }))
    }
}
