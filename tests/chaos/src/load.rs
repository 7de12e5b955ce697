//! What people ask for while everything goes wrong, as a seed gives it.
//!
//! Pure. Responsible for which command is given when, and which earlier one it refers to. Not for its form on the wire (`commands`), nor
//! for giving it (`people`).

use std::time::Duration;

use muster_simulation::Random;

/// Between two new wishes, milliseconds. Two cores run the whole pool.
const PAUSE_MS: (u64, u64) = (200, 1_200);
/// A job without an end of its own lives so long, milliseconds.
const LIFE_MS: (u64, u64) = (3_000, 60_000);
/// A process with an end of its own lives so long, milliseconds: longer than between two looks at the processes.
const RUN_MS: (u64, u64) = (2_000, 15_000);
/// Processes of a job at most.
const PROCESSES_MAX: u64 = 5;
/// Pulses and triggers that are used.
const NUMBERS: u64 = 4;

/// What a job's processes do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Nothing, until they are stopped.
    Idle,
    /// Nothing, for so long.
    Finite(Duration),
    /// Small files on a disk, slowly, until they are stopped.
    Files,
}

/// A command that can not be taken, whatever happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// A start of a module that there is not.
    Module,
    /// A start on a machine that there is not.
    Machine,
    /// A stop of a job that there never was.
    Job,
    /// A check-in of a reservation that there never was.
    Reservation,
}

/// One command. What it refers to is the number of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Start a job, on one machine or on any, in a reservation or not.
    Start {
        /// What it does.
        work: Work,
        /// Its processes.
        processes: u32,
        /// Number of its machine.
        machine: Option<u32>,
        /// The reservation that it is to run in.
        reserved: Option<u32>,
        /// The pulse that gates it.
        pulse: Option<u32>,
    },
    /// Stop a job.
    Stop {
        /// Its start.
        start: u32,
        /// What its processes may take, milliseconds.
        grace_ms: u64,
    },
    /// Set a parameter of a job while it runs.
    Set {
        /// Its start.
        start: u32,
        /// What it does, by which it has other parameters.
        work: Work,
    },
    /// Reserve machines, of all but the first, so that the pool always has one.
    Reserve {
        /// How many.
        machines: u32,
        /// How long.
        lasts: Duration,
    },
    /// Extend a reservation.
    Extend {
        /// What asked for it.
        reserve: u32,
        /// By how much.
        by: Duration,
    },
    /// Give a reservation back.
    CheckIn {
        /// What asked for it.
        reserve: u32,
    },
    /// Define a pulse.
    SetPulse {
        /// Its number.
        number: u32,
        /// Each of its halves, milliseconds.
        half_ms: u64,
    },
    /// Arm all machines for a trigger.
    Arm {
        /// Its number.
        number: u32,
    },
    /// Fire a trigger.
    Fire {
        /// Its number.
        number: u32,
    },
    /// Take a machine out for a while, or back.
    Maintenance {
        /// Which.
        machine: u32,
        /// Out.
        on: bool,
    },
    /// Something that can not be.
    Wrong(Wrong),
}

/// A command and when it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Number of this command, by which later ones refer to it.
    pub number: u32,
    /// When.
    pub at: Duration,
    /// What.
    pub act: Act,
}

/// The commands of `seed` within `duration`, in order.
#[must_use]
pub fn plan(seed: u64, duration: Duration, machines: u32) -> Vec<Planned> {
    let mut plan = Plan { random: Random::new(seed.rotate_left(32) ^ 0x6C6F_6164), machines, planned: Vec::new() };
    plan.setup();
    let mut at = plan.random.millis(PAUSE_MS.0, PAUSE_MS.1);
    while at < duration {
        plan.wish(at);
        at += plan.random.millis(PAUSE_MS.0, PAUSE_MS.1);
    }
    plan.planned.retain(|planned| planned.at < duration);
    plan.planned.sort_by_key(|planned| (planned.at, planned.number));
    plan.planned
}

struct Plan {
    random: Random,
    machines: u32,
    planned: Vec<Planned>,
}

impl Plan {
    fn put(&mut self, at: Duration, act: Act) -> u32 {
        let number = u32::try_from(self.planned.len()).unwrap_or(u32::MAX);
        self.planned.push(Planned { number, at, act });
        number
    }

    /// Pulses have to be there before a job has them.
    fn setup(&mut self) {
        for number in 0..NUMBERS as u32 {
            self.put(Duration::ZERO, Act::SetPulse { number, half_ms: 500 });
        }
    }

    fn machine(&mut self) -> u32 {
        1 + self.random.below(u64::from(self.machines)) as u32
    }

    fn number(&mut self) -> u32 {
        self.random.below(NUMBERS) as u32
    }

    /// Something new, with all that follows from it.
    fn wish(&mut self, at: Duration) {
        match self.random.below(20) {
            0..=9 => self.job(at, None),
            10 => self.reservation(at),
            11 => {
                let act = Act::SetPulse { number: self.number(), half_ms: 100 * (1 + self.random.below(20)) };
                self.put(at, act);
            }
            12 | 13 => {
                let number = self.number();
                self.put(at, Act::Arm { number });
            }
            14..=16 => {
                let number = self.number();
                self.put(at, Act::Fire { number });
            }
            17 => {
                let machine = self.machine();
                self.put(at, Act::Maintenance { machine, on: true });
                let back = at + self.random.millis(2_000, 12_000);
                self.put(back, Act::Maintenance { machine, on: false });
            }
            _ => {
                let wrong = [Wrong::Module, Wrong::Machine, Wrong::Job, Wrong::Reservation][self.random.index(4)];
                self.put(at, Act::Wrong(wrong));
            }
        }
    }

    /// A job, a change of it, and its stop; sometimes that stop is asked for twice.
    fn job(&mut self, at: Duration, reserved: Option<u32>) {
        let work = match self.random.below(5) {
            0 | 1 => Work::Finite(self.random.millis(RUN_MS.0, RUN_MS.1)),
            2 | 3 => Work::Idle,
            _ => Work::Files,
        };
        let processes = 1 + self.random.below(PROCESSES_MAX) as u32;
        let is_anywhere = reserved.is_some() || self.random.happens(600);
        let machine = if is_anywhere { None } else { Some(self.machine()) };
        let pulse = if self.random.happens(200) { Some(self.number()) } else { None };
        let start = self.put(at, Act::Start { work, processes, machine, reserved, pulse });
        let life = self.random.millis(LIFE_MS.0, LIFE_MS.1);
        if self.random.happens(300) {
            self.put(at + life / 2, Act::Set { start, work });
        }
        let grace_ms = self.random.below(6_000);
        self.put(at + life, Act::Stop { start, grace_ms });
        if self.random.happens(200) {
            self.put(at + life + Duration::from_secs(1), Act::Stop { start, grace_ms });
        }
    }

    /// A reservation, a job in it, an extension, and its end: by a check-in, or by its deadline.
    fn reservation(&mut self, at: Duration) {
        let machines = if self.random.happens(300) { 2 } else { 1 };
        let lasts = self.random.millis(5_000, 20_000);
        let reserve = self.put(at, Act::Reserve { machines, lasts });
        let inside = at + self.random.millis(1_500, 5_000);
        self.job(inside, Some(reserve));
        if self.random.happens(400) {
            let by = self.random.millis(1_000, 10_000);
            self.put(at + lasts / 2, Act::Extend { reserve, by });
        }
        if self.random.happens(600) {
            self.put(at + lasts.mul_f64(0.8), Act::CheckIn { reserve });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const FIVE_MINUTES: Duration = Duration::from_secs(300);

    #[test]
    fn a_seed_gives_the_same_commands_again_and_another_seed_others() {
        assert_eq!(plan(7, FIVE_MINUTES, 3), plan(7, FIVE_MINUTES, 3));
        assert_ne!(plan(7, FIVE_MINUTES, 3), plan(8, FIVE_MINUTES, 3));
    }

    #[test]
    fn what_a_command_refers_to_was_given_before() {
        for seed in 0..20 {
            let mut given = BTreeSet::new();
            for planned in plan(seed, FIVE_MINUTES, 3) {
                let of = match planned.act {
                    Act::Stop { start, .. } | Act::Set { start, .. } => Some(start),
                    Act::Extend { reserve, .. } | Act::CheckIn { reserve } => Some(reserve),
                    Act::Start { reserved, .. } => reserved,
                    Act::Reserve { .. }
                    | Act::SetPulse { .. }
                    | Act::Arm { .. }
                    | Act::Fire { .. }
                    | Act::Maintenance { .. }
                    | Act::Wrong(_) => None,
                };
                assert!(of.is_none_or(|number| given.contains(&number)), "{planned:?}");
                given.insert(planned.number);
            }
        }
    }
}
