//! What pulses that are defined again and again should come to, and how far samples are from it. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_model::pulse::{all_free_from, blocked_from};
use muster_model::{PoolTime, Pulse, PulseNumber};

/// Pulses of the soak.
pub(super) const PULSES: u8 = 8;

/// Definition number `step` of the soak: the pulses in turn, each with other times. The same in every soak.
pub(super) fn definition(step: u32) -> (PulseNumber, Pulse) {
    let within = |salt: u64, least: u64, most: u64| {
        let drawn = muster_pattern::scramble(u64::from(step) * 3 + salt);
        Duration::from_millis(least + drawn % (most - least + 1))
    };
    let number = PulseNumber(u8::try_from(step % u32::from(PULSES)).expect("it is below the number of pulses"));
    let pulse = Pulse::new(within(0, 200, 1_500), within(1, 300, 2_000), within(2, 0, 1_000));
    (number, pulse.expect("its parts are in bounds"))
}

/// Pulses of the job at this place: one, two or three of them.
pub(super) fn pulses_of(place: u8) -> Vec<PulseNumber> {
    let mut numbers: Vec<u8> = (0..=place % 3).map(|more| (place + more) % PULSES).collect();
    numbers.sort_unstable();
    numbers.into_iter().map(PulseNumber).collect()
}

/// Definitions, and since when each holds.
#[derive(Debug, Clone, Default)]
pub(super) struct History(Vec<(PoolTime, PulseNumber, Pulse)>);

impl History {
    /// A pulse is defined otherwise from `since` on, which is not before the last such change.
    pub(super) fn define(&mut self, since: PoolTime, number: PulseNumber, pulse: Pulse) {
        self.0.push((since, number, pulse));
    }

    /// How often pulses were defined.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How long one of these pulses blocks between two times.
    pub(super) fn blocked(&self, numbers: &[PulseNumber], from: PoolTime, to: PoolTime) -> Duration {
        let mut held: BTreeMap<PulseNumber, Pulse> = BTreeMap::new();
        let (mut at, mut sum) = (from, Duration::ZERO);
        let changes = self.0.iter().filter(|(_, number, _)| numbers.contains(number));
        for (since, number, pulse) in changes.take_while(|(since, ..)| *since < to) {
            if *since > at {
                sum += blocked_between(&held, at, *since);
                at = *since;
            }
            held.insert(*number, *pulse);
        }
        sum + blocked_between(&held, at, to)
    }
}

/// How long one of these blocks, while they are as they are.
fn blocked_between(pulses: &BTreeMap<PulseNumber, Pulse>, from: PoolTime, to: PoolTime) -> Duration {
    let pulses: Vec<Pulse> = pulses.values().copied().collect();
    let (mut at, mut sum) = (from, Duration::ZERO);
    while let Some(begin) = blocked_from(&pulses, at).filter(|begin| *begin < to) {
        let end = all_free_from(&pulses, begin).min(to);
        sum += end.since(begin);
        at = end;
    }
    sum
}

/// What a process said of itself at a time: how long pulses have blocked it by then.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) time: PoolTime,
    pub(super) blocked_seconds: f64,
}

/// Parts of the time blocked between two samples, as the definitions say and as the samples do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Duty {
    pub(super) expected: f64,
    pub(super) seen: f64,
}

impl Duty {
    /// How far what was seen is from what the definitions say.
    pub(super) fn deviation(&self) -> f64 {
        (self.seen - self.expected).abs()
    }
}

/// The duty between two samples of a process with these pulses; none where no time lies between them.
pub(super) fn duty(history: &History, numbers: &[PulseNumber], first: Sample, last: Sample) -> Option<Duty> {
    let time = last.time.since(first.time).as_secs_f64();
    let seen = last.blocked_seconds - first.blocked_seconds;
    let expected = history.blocked(numbers, first.time, last.time).as_secs_f64();
    (time > 0.0).then(|| Duty { expected: expected / time, seen: seen / time })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse(block_ms: u64, free_ms: u64) -> Pulse {
        let [block, free] = [block_ms, free_ms].map(Duration::from_millis);
        Pulse::new(block, free, Duration::ZERO).unwrap()
    }

    fn at(ms: i64) -> PoolTime {
        PoolTime(ms * 1_000_000)
    }

    fn history(changes: &[(i64, u8, Pulse)]) -> History {
        let mut history = History::default();
        changes.iter().for_each(|(since, number, pulse)| history.define(at(*since), PulseNumber(*number), *pulse));
        history
    }

    #[test]
    fn blocked_time_is_that_of_the_definitions_while_they_hold() {
        let history = history(&[(0, 1, pulse(300, 700)), (0, 2, pulse(1, 9)), (2_500, 1, pulse(100, 100))]);
        let blocked = |from, to| history.blocked(&[PulseNumber(1)], at(from), at(to)).as_millis();
        assert_eq!(blocked(0, 1_000), 300);
        assert_eq!(blocked(100, 250), 150, "within a block");
        assert_eq!(blocked(400, 900), 0);
        assert_eq!(blocked(0, 2_500), 900);
        assert_eq!(blocked(2_500, 3_500), 500, "100 of each 200 from an edge of the new pulse on");
        assert_eq!(blocked(0, 3_500), 1_400);
        assert_eq!(blocked(0, 0), 0);
    }

    #[test]
    fn a_job_with_several_pulses_is_blocked_while_any_of_them_blocks() {
        let history = history(&[(0, 1, pulse(300, 700)), (0, 2, pulse(100, 100))]);
        let numbers = [PulseNumber(1), PulseNumber(2)];
        // 0 to 300, 400 to 500, 600 to 700, 800 to 900 of each second.
        assert_eq!(history.blocked(&numbers, at(0), at(2_000)).as_millis(), 1_200);
        let free = History::default().blocked(&numbers, at(0), at(2_000));
        assert_eq!(free, Duration::ZERO, "what is not defined is free");
    }

    #[test]
    fn the_duty_between_samples_is_compared_over_the_same_time() {
        let history = history(&[(0, 1, pulse(300, 700))]);
        let sample = |ms, blocked_seconds| Sample { time: at(ms), blocked_seconds };
        let duty = |first, last| duty(&history, &[PulseNumber(1)], first, last);
        let found = duty(sample(1_000, 7.0), sample(3_000, 7.5)).unwrap();
        assert_eq!(found, Duty { expected: 0.3, seen: 0.25 });
        assert!((found.deviation() - 0.05).abs() < 1e-9);
        assert_eq!(duty(sample(1_000, 7.0), sample(1_000, 7.0)), None);
    }

    #[test]
    fn definitions_differ_and_so_do_jobs() {
        let mut seen: Vec<(u8, Duration)> = Vec::new();
        for step in 0..48 {
            let (number, pulse) = definition(step);
            assert_eq!(u32::from(number.0), step % 8);
            assert!((0.09..0.84).contains(&pulse.duty()), "{pulse:?}");
            seen.push((number.0, pulse.block()));
        }
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > 44, "each definition is another");
        assert_eq!(pulses_of(0), [PulseNumber(0)]);
        assert_eq!(pulses_of(7), [PulseNumber(0), PulseNumber(7)]);
        assert_eq!(pulses_of(5), [PulseNumber(5), PulseNumber(6), PulseNumber(7)]);
    }
}
