//! Machine time that users have had: the measure of fair share.
//!
//! Use counts for half after [`USE_HALVES_AFTER`], for a quarter after twice that, and so on. Instead of letting every user's sum decay, a later use
//! weighs more: what was used at `t` weighs 2^(t / half-life), which orders users the same, and no sum changes while nobody uses anything.
//! Weights are integers, so that every replica has the same ones.
//!
//! A grant is charged as a whole, until its deadline; what was not used is given back at its end. So nobody is ahead by asking for much.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_model::PoolTime;

use super::limits::USE_HALVES_AFTER;

/// Steps of a half-life.
const STEPS: u64 = 16;
/// Binary digits behind the point.
const DIGITS: u32 = 32;
/// 2^(1/16), with [`DIGITS`].
const STEP_WEIGHT: u128 = 4_485_121_744;
/// After so many half-lives all sums are divided by 2 to as many: they stay below 2^128.
const REBASE_AFTER: u64 = 40;

/// What users have used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// What is used now weighs 1.
    base: PoolTime,
    /// By user, weighed seconds of machines, with [`DIGITS`].
    users: BTreeMap<String, u128>,
}

/// Machines for some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) machines: usize,
    pub(super) time: Duration,
    /// When it was granted: so much it weighs.
    pub(super) granted: PoolTime,
}

impl Usage {
    /// The sums of a record.
    #[must_use]
    pub fn new(base: PoolTime, users: BTreeMap<String, u128>) -> Self {
        Self { base, users }
    }

    /// When use weighs 1.
    #[must_use]
    pub fn base(&self) -> PoolTime {
        self.base
    }

    /// Weighed use by user.
    pub fn users(&self) -> impl Iterator<Item = (&str, u128)> {
        self.users.iter().map(|(user, used)| (user.as_str(), *used))
    }

    /// What a user has used, weighed: comparable with that of others, and with nothing else. Below a minute of a machine it is nothing.
    pub(super) fn of(&self, user: &str) -> u128 {
        self.users.get(user).map_or(0, |used| (used >> DIGITS) / 60)
    }

    /// What a user has used, in hours of machines as if they were used now.
    #[must_use]
    pub fn machine_hours(&self, user: &str, now: PoolTime) -> f64 {
        let used = self.users.get(user).copied().unwrap_or_default() as f64;
        used / self.weigh(1 << 20, now) as f64 * f64::from(1 << 20) / 3_600.0
    }

    pub(super) fn charge(&mut self, user: &str, used: Use) {
        self.rebase(used.granted);
        let weighed = self.weigh(seconds(used), used.granted);
        if weighed > 0 {
            *self.users.entry(user.to_owned()).or_default() += weighed;
        }
    }

    pub(super) fn give_back(&mut self, user: &str, unused: Use) {
        let weighed = self.weigh(seconds(unused), unused.granted);
        let Some(used) = self.users.get_mut(user) else { return };
        *used = used.saturating_sub(weighed);
        if *used == 0 {
            self.users.remove(user);
        }
    }

    /// Seconds, as they weigh at some time.
    fn weigh(&self, seconds: u128, at: PoolTime) -> u128 {
        let steps_of = |time: Duration| time.as_nanos() * u128::from(STEPS);
        let (half, ahead) = (USE_HALVES_AFTER.as_nanos(), at >= self.base);
        let steps = match ahead {
            true => steps_of(at.since(self.base)) / half,
            false => steps_of(self.base.since(at)).div_ceil(half),
        };
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        // Before the base: so many whole half-lives less, and the rest more.
        let (halves, rest) = match ahead {
            true => (steps / STEPS, steps % STEPS),
            false => (steps.div_ceil(STEPS), (STEPS - steps % STEPS) % STEPS),
        };
        let weight = (0..rest).fold(1_u128 << DIGITS, |weight, _| (weight * STEP_WEIGHT) >> DIGITS);
        let shift = u32::try_from(halves).unwrap_or(u32::MAX);
        if ahead { (seconds * weight) << shift.min(64) } else { (seconds * weight).checked_shr(shift).unwrap_or(0) }
    }

    fn rebase(&mut self, now: PoolTime) {
        if self.users.is_empty() {
            self.base = now;
        }
        let after = USE_HALVES_AFTER * u32::try_from(REBASE_AFTER).unwrap_or(u32::MAX);
        while now >= self.base + after {
            self.base = self.base + after;
            self.users.values_mut().for_each(|used| *used >>= REBASE_AFTER);
            self.users.retain(|_, used| *used > 0);
        }
    }
}

fn seconds(used: Use) -> u128 {
    used.machines as u128 * u128::from(used.time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: PoolTime = PoolTime(1_000_000_000_000);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn used(hours: u32, granted: PoolTime) -> Use {
        Use { machines: 1, time: HOUR * hours, granted }
    }

    #[test]
    fn what_was_used_earlier_counts_for_half_after_each_half_life() {
        let mut usage = Usage::default();
        usage.charge("anna", used(8, START));
        usage.charge("ben", used(4, START + USE_HALVES_AFTER));
        assert_eq!(usage.of("anna"), usage.of("ben"));
        let hours = usage.machine_hours("anna", START + USE_HALVES_AFTER * 2);
        assert!((hours - 2.0).abs() < 0.01, "{hours}");
        usage.charge("cleo", used(5, START + USE_HALVES_AFTER / 2));
        assert!(usage.of("cleo") < usage.of("anna"), "5 of half a half-life later are 7.1 of the beginning");
        usage.charge("dan", used(6, START + USE_HALVES_AFTER / 2));
        assert!(usage.of("dan") > usage.of("anna"));
    }

    #[test]
    fn what_is_given_back_was_never_used_also_after_years() {
        let mut usage = Usage::default();
        usage.charge("anna", used(8, START));
        let later = START + USE_HALVES_AFTER * 39;
        usage.charge("ben", used(3, later));
        usage.charge("ben", used(5, later));
        usage.charge("cleo", used(2, later + USE_HALVES_AFTER * 2));
        usage.give_back("ben", used(5, later));
        let hours = usage.machine_hours("ben", later);
        assert!((hours - 3.0).abs() < 0.01, "{hours}");
        usage.give_back("ben", used(3, later));
        assert!(usage.of("ben") == 0 && usage.of("cleo") > usage.of("anna"));
    }
}
