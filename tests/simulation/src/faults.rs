//! Everything that goes wrong beside single messages: crashes, reboots, cut connections; and the end of it.

use std::time::Duration;

use muster_model::PoolTime;

use crate::service::Stream;
use crate::world::{Phase, World};

/// A leader that another has taken over from holds its lease for at most so long.
const LEASE_MAX_MS: u64 = 6_000;

impl World {
    /// Lets something go wrong. Gives the time to the next fault.
    pub(crate) fn fault(&mut self) -> Duration {
        let machine = self.random.index(self.options.machines);
        match self.random.below(18) {
            kind @ (0..=2 | 14..=16) => {
                let stream = Stream::LOGS[self.random.index(Stream::LOGS.len())];
                self.service_fault(kind, stream);
            }
            kind => self.machine_fault(kind, machine),
        }
        self.random.millis(300, 9_000)
    }

    fn service_fault(&mut self, kind: u64, stream: Stream) {
        match kind {
            14 => {
                let lease_ends = self.now + self.random.millis(500, LEASE_MAX_MS);
                let overtaken = match stream {
                    Stream::Reservations => self.reservations.overtake(lease_ends),
                    Stream::Machines => self.machines.overtake(lease_ends),
                    Stream::Jobs | Stream::Reports => self.jobs.overtake(lease_ends),
                };
                if overtaken {
                    self.note(format_args!("another takes over {}", stream.name()));
                    self.stir(stream);
                }
            }
            15 => {
                let until = self.now + self.random.millis(500, 25_000);
                self.note(format_args!("{} is cut off", stream.name()));
                match stream {
                    Stream::Reservations => self.reservations.cut_until = until,
                    Stream::Machines => self.machines.cut_until = until,
                    Stream::Jobs | Stream::Reports => self.jobs.cut_until = until,
                }
                self.stir_at(stream, until);
            }
            16 => {
                self.note(format_args!("the clock of {} steps", stream.name()));
                match stream {
                    Stream::Reservations => self.reservations.step_clock(&mut self.random),
                    Stream::Machines => self.machines.step_clock(&mut self.random),
                    Stream::Jobs | Stream::Reports => self.jobs.step_clock(&mut self.random),
                }
                self.stir(stream);
            }
            _ => {
                let until = self.now + self.random.millis(200, 15_000);
                self.note(format_args!("{} crashes", stream.name()));
                match stream {
                    Stream::Reservations => self.reservations.crash(until),
                    Stream::Machines => self.machines.crash(until),
                    Stream::Jobs | Stream::Reports => self.jobs.crash(until),
                }
                self.crashes += 1;
                self.stir_at(stream, until);
            }
        }
    }

    fn machine_fault(&mut self, kind: u64, machine: usize) {
        match kind {
            3..=5 => {
                let until = self.now + self.random.millis(200, 12_000);
                self.note(format_args!("the agent of m{machine} crashes"));
                self.agents[machine].crash(until);
                self.crashes += 1;
            }
            6 | 7 => {
                let until = self.now + self.random.millis(4_000, 40_000);
                self.note(format_args!("m{machine} reboots"));
                self.agents[machine].reboot(until, &mut self.truth);
                self.crashes += 1;
            }
            8..=10 => {
                let until = self.now + self.random.millis(500, 45_000);
                self.note(format_args!("m{machine} is cut off"));
                self.cut_until[machine] = until;
            }
            11 => {
                self.note(format_args!("the spool of m{machine} overflows"));
                self.agents[machine].lose_reports();
            }
            12 => {
                self.note(format_args!("a snapshot is taken of m{machine}"));
                self.agents[machine].take_snapshot();
            }
            17 => {
                self.note(format_args!("the clock of m{machine} steps"));
                self.agents[machine].step_clock(self.options.flaw, &mut self.random);
            }
            _ => {
                let until = self.now + self.random.millis(100, 3_000);
                if self.agents[machine].go_back(until, &mut self.truth) {
                    self.note(format_args!("m{machine} goes back to its snapshot"));
                    self.crashes += 1;
                }
            }
        }
        self.stir_agent(machine);
    }

    /// The end of all faults: what is cut off is connected again, what is down starts soon.
    pub(crate) fn heal(&mut self) {
        self.note(format_args!("everything heals"));
        self.phase = Phase::Calm;
        self.healed = self.now;
        let soon = self.now + Duration::from_millis(500);
        self.reservations.heal(soon);
        self.machines.heal(soon);
        self.jobs.heal(soon);
        for machine in 0..self.options.machines {
            self.agents[machine].down_until = self.agents[machine].down_until.min(soon);
            self.reconnect(machine);
            self.stir_agent(machine);
        }
        Stream::LOGS.into_iter().for_each(|stream| self.stir(stream));
    }

    /// A cut connection of a machine comes back: its agent says hello again.
    pub(crate) fn reconnect(&mut self, machine: usize) {
        if self.cut_until[machine] != PoolTime::NEVER {
            self.cut_until[machine] = PoolTime::NEVER;
            self.agents[machine].reconnected();
        }
    }

    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        self.trace.note(self.now, what);
    }
}
