//! Faults, and the schedule of them that a seed gives.
//!
//! Pure. Responsible for what goes wrong, where, when and for how long. Not for doing it (`harm`).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use muster_simulation::Random;

use crate::part::Part;

/// Between two faults, milliseconds.
const PAUSE_MS: (u64, u64) = (400, 3_500);
/// A part that was killed stays away, milliseconds: a moment, or until others notice.
const AWAY_MS: (u64, u64) = (50, 6_000);
/// A part that was stopped stands still, milliseconds.
const STILL_MS: (u64, u64) = (1_000, 10_000);
/// A connection is harmed, milliseconds: until it is noticed, and longer.
const CUT_MS: (u64, u64) = (1_000, 20_000);
/// What a slow connection adds to each message, milliseconds.
const DELAY_MS: (u64, u64) = (20, 400);
/// Between the end of a fault of a part and its next one.
const REST: Duration = Duration::from_secs(3);
/// A part that can not be harmed now is another one, at most so often.
const CHOICES_MAX: usize = 20;

/// What happens on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Everything passes.
    Whole,
    /// Everything passes later.
    Slow(Duration),
    /// It breaks, and no new one is made.
    Cut,
    /// It breaks with a reset, and so does every new one.
    Reset,
    /// It stays, and takes what is said, and nobody hears it: half-open.
    HalfOpen,
    /// What the server says is held back; what the part says passes.
    Deaf,
    /// What the part says is held back; what the server says passes.
    Mute,
    /// Nothing passes in either direction, and nobody is told: a partition.
    Partition,
}

/// What is done to a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Killed with -9, and started again at the end.
    Kill,
    /// Stopped, and continued at the end.
    Stop,
    /// Its connection to nats-server is harmed.
    Line(Line),
    /// One of the test processes of the machine is killed with -9; which one by this number.
    KillTest(u64),
    /// The keeper of the machine is killed with -9; its agent starts another one.
    KillKeeper,
}

/// A fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// When it begins.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What is done.
    pub harm: Harm,
    /// To whom.
    pub parts: Vec<Part>,
}

impl Fault {
    /// When it ends.
    #[must_use]
    pub fn ends(&self) -> Duration {
        self.at + self.lasts
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.parts.iter().map(Part::to_string).collect();
        let parts = parts.join(", ");
        let lasts = self.lasts;
        match self.harm {
            Harm::Kill => write!(f, "kill -9 of {parts}, back after {lasts:?}"),
            Harm::Stop => write!(f, "{parts} stands still for {lasts:?}"),
            Harm::Line(line) => write!(f, "the connection of {parts} is {line:?} for {lasts:?}"),
            Harm::KillTest(_) => write!(f, "kill -9 of a test process on {parts}"),
            Harm::KillKeeper => write!(f, "kill -9 of the keeper on {parts}"),
        }
    }
}

/// The faults of `seed`, in order: within `duration`, and none that lasts beyond it.
#[must_use]
pub fn schedule(seed: u64, duration: Duration, machines: u32) -> Vec<Fault> {
    let mut random = Random::new(seed);
    let mut faults = Vec::new();
    let mut busy_until: BTreeMap<Part, Duration> = BTreeMap::new();
    let mut at = random.millis(PAUSE_MS.0, PAUSE_MS.1);
    while at < duration {
        for _ in 0..CHOICES_MAX {
            let fault = draw(at, machines, &mut random);
            let is_free = fault.parts.iter().all(|part| busy_until.get(part).is_none_or(|until| *until <= at));
            if is_free && fault.ends() <= duration {
                busy_until.extend(fault.parts.iter().map(|part| (*part, fault.ends() + REST)));
                faults.push(fault);
                break;
            }
        }
        at += random.millis(PAUSE_MS.0, PAUSE_MS.1);
    }
    faults
}

fn draw(at: Duration, machines: u32, random: &mut Random) -> Fault {
    let any = |random: &mut Random, parts: Vec<Part>| vec![parts[random.index(parts.len())]];
    let agent = |random: &mut Random| vec![Part::Agent(1 + random.below(u64::from(machines)) as u32)];
    match random.below(22) {
        0..=4 => Fault { at, lasts: time(AWAY_MS, random), harm: Harm::Kill, parts: any(random, killable(machines)) },
        5..=8 => Fault { at, lasts: time(STILL_MS, random), harm: Harm::Stop, parts: any(random, killable(machines)) },
        9 => Fault { at, lasts: time(AWAY_MS, random), harm: Harm::Kill, parts: vec![Part::Nats] },
        10 => Fault { at, lasts: time(STILL_MS, random), harm: Harm::Stop, parts: vec![Part::Nats] },
        11 => Fault { at, lasts: time(AWAY_MS, random), harm: Harm::Kill, parts: vec![Part::Postgres] },
        12 => Fault { at, lasts: time(STILL_MS, random), harm: Harm::Stop, parts: vec![Part::Postgres] },
        13 => {
            let harm = Harm::KillTest(random.below(1 << 32));
            Fault { at, lasts: Duration::ZERO, harm, parts: agent(random) }
        }
        14 => Fault { at, lasts: Duration::ZERO, harm: Harm::KillKeeper, parts: agent(random) },
        15 => {
            let parts = Part::agents(machines).collect();
            Fault { at, lasts: time(CUT_MS, random), harm: Harm::Line(line(random)), parts }
        }
        16 => {
            let pairs: Vec<Vec<Part>> = Part::pairs().collect();
            let parts = pairs[random.index(pairs.len())].clone();
            let (harm, lasts) = match random.below(3) {
                0 => (Harm::Kill, time(AWAY_MS, random)),
                1 => (Harm::Stop, time(STILL_MS, random)),
                _ => (Harm::Line(line(random)), time(CUT_MS, random)),
            };
            Fault { at, lasts, harm, parts }
        }
        _ => {
            let parts = any(random, Part::connected(machines));
            Fault { at, lasts: time(CUT_MS, random), harm: Harm::Line(line(random)), parts }
        }
    }
}

/// Services and agents; the servers are drawn by themselves.
fn killable(machines: u32) -> Vec<Part> {
    Part::services().chain(Part::agents(machines)).collect()
}

fn line(random: &mut Random) -> Line {
    match random.below(7) {
        0 => Line::Slow(time(DELAY_MS, random)),
        1 => Line::Cut,
        2 => Line::Reset,
        3 => Line::HalfOpen,
        4 => Line::Deaf,
        5 => Line::Mute,
        _ => Line::Partition,
    }
}

fn time((from, to): (u64, u64), random: &mut Random) -> Duration {
    random.millis(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_MINUTES: Duration = Duration::from_secs(600);

    #[test]
    fn a_seed_gives_the_same_faults_again_and_another_seed_others() {
        let faults = schedule(7, TEN_MINUTES, 3);
        assert_eq!(faults, schedule(7, TEN_MINUTES, 3));
        assert_ne!(faults, schedule(8, TEN_MINUTES, 3));
    }

    #[test]
    fn a_part_has_one_fault_at_a_time_and_all_of_them_end() {
        for seed in 0..50 {
            let mut until: BTreeMap<Part, Duration> = BTreeMap::new();
            for fault in schedule(seed, TEN_MINUTES, 3) {
                assert!(fault.ends() <= TEN_MINUTES);
                for part in &fault.parts {
                    let before = until.insert(*part, fault.ends());
                    assert!(before.is_none_or(|before| before + REST <= fault.at), "{fault} begins before {before:?}");
                }
            }
        }
    }

    #[test]
    fn ten_minutes_harm_every_part_in_every_way() {
        let faults: Vec<Fault> = (0..20).flat_map(|seed| schedule(seed, TEN_MINUTES, 3)).collect();
        for part in killable(3).into_iter().chain([Part::Nats, Part::Postgres]) {
            for harm in [Harm::Kill, Harm::Stop] {
                assert!(faults.iter().any(|fault| fault.harm == harm && fault.parts == [part]), "{harm:?} of {part}");
            }
        }
        for pair in Part::pairs() {
            for harm in [Harm::Kill, Harm::Stop, Harm::Line(Line::Partition)] {
                assert!(faults.iter().any(|fault| fault.harm == harm && fault.parts == pair), "{harm:?} of {pair:?}");
            }
        }
        for line in [Line::Cut, Line::Reset, Line::HalfOpen, Line::Deaf, Line::Mute, Line::Partition] {
            let harm = Harm::Line(line);
            assert!(faults.iter().any(|fault| fault.harm == harm && fault.parts.len() == 3), "all agents: {line:?}");
            for part in Part::connected(3) {
                assert!(faults.iter().any(|fault| fault.harm == harm && fault.parts == [part]), "{part}: {line:?}");
            }
        }
    }
}
