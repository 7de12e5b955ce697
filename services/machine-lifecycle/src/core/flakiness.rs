//! What came of a machine's last boots and what trouble it made, and whether that is too much to use it.
//!
//! Responsible for what counts. It is derived from the facts of the log, and has none of its own. What people order is no trouble:
//! a machine that they switch, boot or hold for themselves may go down and come up as they like, and so may one whose test announced it. What an
//! order comes to counts.

use std::collections::VecDeque;

use muster_model::{Flag, Occurrence, Phase, PoolTime};

use super::limits::{FLAKY_FAILURES_MIN, FLAKY_KINDS_MIN, RECENT_MAX};
use super::power::PowerOutcome;
use super::{Fact, Holder, Machine};

/// The newest occurrences of a machine, oldest first: at most [`RECENT_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recent(VecDeque<Occurrence>);

impl Recent {
    /// Those of a record.
    #[must_use]
    pub fn new(occurrences: impl IntoIterator<Item = Occurrence>) -> Self {
        let mut recent = Self::default();
        occurrences.into_iter().for_each(|occurrence| recent.push(occurrence));
        recent
    }

    /// All, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Occurrence> {
        self.0.iter().copied()
    }

    /// Says why the machine is too flaky to be used; none where it is not.
    #[must_use]
    pub fn flaky(&self) -> Option<String> {
        let failures = Occurrence::failures(self.iter());
        let count: usize = failures.iter().map(|(_, count)| count).sum();
        if count < FLAKY_FAILURES_MIN || failures.len() < FLAKY_KINDS_MIN {
            return None;
        }
        let kinds: Vec<_> = failures.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        Some(format!("flaky: {} among its last {} boots", kinds.join(", "), self.0.len()))
    }

    fn push(&mut self, occurrence: Occurrence) {
        self.0.push_back(occurrence);
        if self.0.len() > RECENT_MAX {
            self.0.pop_front();
        }
    }
}

/// Remembers what a fact says of a machine as it is before that fact. A person who activates it begins the count anew.
pub(super) fn remember(machine: &mut Machine, fact: &Fact, now: PoolTime) {
    if matches!(fact, Fact::FlagChanged { flag: Flag::Active, value: true }) {
        machine.recent = Recent::default();
    }
    let Some(occurrence) = occurrence(machine, fact, now) else { return };
    let newest = machine.recent.0.back().copied();
    // One incident counts once, as what explains it best.
    let is_explained = match occurrence {
        Occurrence::UnorderedBoot => machine.down && newest == Some(Occurrence::WentDown),
        Occurrence::CrashedBack => newest == Some(Occurrence::UnorderedBoot),
        _ => false,
    };
    if is_explained {
        machine.recent.0.pop_back();
    }
    machine.recent.push(occurrence);
}

fn occurrence(machine: &Machine, fact: &Fact, now: PoolTime) -> Option<Occurrence> {
    match fact {
        Fact::BootJudged { verdict, .. } => Some((*verdict).into()),
        Fact::BootAttempted { .. } => (machine.phase == Phase::Installing).then_some(Occurrence::InstallFailed),
        Fact::PhaseChanged { from: Phase::Installing, to: Phase::Offline, .. } => Some(Occurrence::InstallFailed),
        Fact::PowerEnded { outcome: PowerOutcome::Failed, .. } => Some(Occurrence::PowerFailed),
        Fact::PowerEnded { outcome: PowerOutcome::Unclear, .. } => Some(Occurrence::PowerUnclear),
        Fact::HealthChanged { down: true } => {
            let counts = is_ours(machine) && machine.phase == Phase::Ready && !machine.is_awaited(now);
            counts.then_some(Occurrence::WentDown)
        }
        Fact::BootObserved { .. } => {
            let expected = match machine.phase {
                Phase::Ready | Phase::Installing | Phase::Verifying => was_switched(machine) || machine.is_awaited(now),
                Phase::Dirty | Phase::Reverting | Phase::Settling | Phase::Rebooting | Phase::Offline => true,
            };
            (is_ours(machine) && !expected).then_some(Occurrence::UnorderedBoot)
        }
        _ => None,
    }
}

/// It takes part, and no person has it for themselves.
fn is_ours(machine: &Machine) -> bool {
    machine.flags.takes_part() && machine.tenure.holder == Holder::Pool
}

/// Something was done to its power or its snapshot in the boot that it was in.
fn was_switched(machine: &Machine) -> bool {
    let newest = machine.power.as_ref().filter(|operation| operation.from_boot_id == machine.boot_id);
    newest.is_some_and(|operation| match operation.outcome {
        None | Some(PowerOutcome::Done | PowerOutcome::Unclear) => true,
        Some(PowerOutcome::Failed | PowerOutcome::Dropped) => false,
    })
}
