//! Announced absences: a process says that this machine reboots, shuts down or crashes, is given leave once that is logged, and is not
//! taken for dead when the machine goes.
//!
//! The scheduler decides; what it decided is on the disk before the process is told. A reboot is done here, the rest by the process itself.

use std::time::{Duration, Instant};

use anyhow::Context;
use muster_model::boot::{nonce_in, nonce_word};
use muster_model::{Absence, Attempt, BootDriver, PoolTime, ProcessId, ProcessState, nanoseconds};
use muster_module_protocol::AgentMessage;
use muster_proto::v1::{self, AbsenceAnnounced, report};

use super::Agent;
use crate::boot::{self, Target};
use crate::core::life::Event;
use crate::core::orders::Expected;
use crate::disk::intents::{Away, Line};
use crate::wire;

/// A machine that is still here so long after it was to be back does not go any more; the scheduler's clock may be behind.
const STAYS_AFTER: Duration = Duration::from_secs(2);
/// What does not end in this time ends with the machine.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// A process announced that its machine goes away.
#[derive(Debug, Clone)]
pub(super) struct Announced {
    number: u64,
    absence: Absence,
    within: Duration,
    note: String,
    /// The scheduler hears of it: from its first answered ping on.
    is_said: bool,
    /// It may, and that is on the disk.
    pub granted: Option<Away>,
}

impl Announced {
    /// What an earlier life of the agent wrote down.
    pub(super) fn of_disk(away: &Away) -> Self {
        let absence = Absence::parse(&away.absence).unwrap_or(Absence::Crash);
        let (within, note) = (Duration::ZERO, String::new());
        Self { number: away.number, absence, within, note, is_said: true, granted: Some(away.clone()) }
    }
}

impl Agent {
    /// A process announces that this machine goes away. Said again, it is answered from what is known.
    pub(super) fn expect_said(&mut self, id: ProcessId, number: u64, what: &str, within: Duration, note: &str) {
        let Some(process) = self.processes.get(&id).filter(|process| process.life.is_live()) else { return };
        match &process.announced {
            Some(known) if known.number == number && known.granted.is_some() => {
                return self.send(id, &AgentMessage::Go { n: number });
            }
            Some(known) if known.number == number => return,
            Some(_) => return self.not_expected(id, number, "another announcement of this process holds"),
            None => {}
        }
        let absence = match self.absence_of(id, what) {
            Ok(absence) => absence,
            Err(why) => return self.not_expected(id, number, &why),
        };
        tracing::info!(process = %id, %absence, ?within, note, "a process announces that this machine goes away");
        let (note, is_said) = (wire::cut(note), false);
        let Some(process) = self.processes.get_mut(&id) else { return };
        process.announced = Some(Announced { number, absence, within, note, is_said, granted: None });
        if let Some(expected) = process.expected.clone().filter(|expected| expected.number == number) {
            return self.expected(id, expected);
        }
        self.say_announcements();
    }

    /// Says what was announced of processes that run.
    fn say_announcements(&mut self) {
        let mut new = Vec::new();
        for (id, process) in &mut self.processes {
            let runs = process.life.state() == ProcessState::Running;
            if let Some(announced) = process.announced.as_mut().filter(|announced| runs && !announced.is_said) {
                announced.is_said = true;
                new.push((*id, announced.clone()));
            }
        }
        for (id, announced) in new {
            self.say_announced(id, &announced, false);
        }
    }

    /// How the machine is to go away, where this agent has nothing against it.
    fn absence_of(&self, id: ProcessId, what: &str) -> Result<Absence, String> {
        let absence = Absence::parse(what).ok_or_else(|| format!("`{what}` is none of reboot, shutdown, crash"))?;
        if self.processes.get(&id).is_none_or(|process| process.life.is_ending()) {
            return Err("the process is ending".into());
        }
        if self.fence.machine_protected {
            return Err("the machine is protected".into());
        }
        self.may_reboot().map_err(|error| format!("{error:#}"))?;
        may_go(absence, &self.settings.allow_boot).map(|()| absence).map_err(str::to_owned)
    }

    fn not_expected(&mut self, id: ProcessId, number: u64, why: &str) {
        tracing::info!(process = %id, why, "this machine does not go away");
        self.send(id, &AgentMessage::NotExpected { n: number, why: why.into() });
    }

    fn say_announced(&mut self, id: ProcessId, announced: &Announced, withdrawn: bool) {
        let Some(process) = self.processes.get(&id) else { return };
        let said = AbsenceAnnounced {
            id: Some(id.into()),
            epoch: process.intent.epoch().0,
            number: announced.number,
            absence: v1::Absence::from(announced.absence).into(),
            within_ns: nanoseconds(announced.within),
            note: announced.note.clone(),
            boot_id: self.inventory.boot_id.clone(),
            withdrawn,
            until_ns: 0,
        };
        self.reports.say(report::Kind::AbsenceAnnounced(said));
    }

    /// The machine does not go away by this announcement: nobody waits for it.
    pub(super) fn withdraw(&mut self, id: ProcessId, announced: &Announced) {
        self.say_announced(id, announced, true);
    }

    /// The scheduler has decided about an announcement. Told again, it changes nothing.
    pub(super) fn expected(&mut self, id: ProcessId, expected: Expected) {
        let Some(process) = self.processes.get_mut(&id).filter(|process| process.life.is_live()) else { return };
        process.expected = Some(expected.clone());
        let waits = |announced: &&Announced| announced.number == expected.number && announced.granted.is_none();
        let Some(announced) = process.announced.as_ref().filter(waits).cloned() else { return };
        let decided = expected.decided.and_then(|until| self.let_go(id, &announced, until));
        match decided {
            Ok(()) => self.send(id, &AgentMessage::Go { n: announced.number }),
            Err(why) => {
                if let Some(process) = self.processes.get_mut(&id) {
                    process.announced = None;
                }
                self.withdraw(id, &announced);
                self.not_expected(id, announced.number, &why);
            }
        }
    }

    /// From here on the end of the process is no end of it, and that is on the disk.
    fn let_go(&mut self, id: ProcessId, announced: &Announced, until: PoolTime) -> Result<(), String> {
        let away = Away {
            number: announced.number,
            absence: announced.absence.to_string(),
            until_ns: until.0,
            boot_id: self.inventory.boot_id.clone(),
        };
        let written = self.intents.write_durably(&Line::Away(id.into(), away.clone()));
        written.map_err(|error| format!("that can not be written to the disk: {error}"))?;
        self.happen(id, Event::Away);
        if let Some(known) = self.processes.get_mut(&id).and_then(|process| process.announced.as_mut()) {
            known.granted = Some(away);
        }
        Ok(())
    }

    /// Takes this machine down where all that runs here has announced its reboot; lets those go on whose machine stays.
    pub(super) fn advance_away(&mut self) {
        self.say_announcements();
        self.stay_where_it_is_over();
        let Some(begun) = self.going_down_by_test() else { return };
        let living: Vec<ProcessId> =
            self.processes.iter().filter(|(_, process)| process.life.may_run()).map(|(id, _)| *id).collect();
        if !living.is_empty() && begun.elapsed() < KILL_PATIENCE {
            return self.kill(living);
        }
        self.booting.by_test = None;
        let booted = self.target_of_test().and_then(|(driver, target)| {
            tracing::warn!(?target, "this machine is rebooted, as its test announced");
            boot::driver(driver, &self.settings.boot).boot(&target)
        });
        // An init that is asked again and again gets to nothing else.
        self.booting.test_has_asked = booted.is_ok();
        if let Err(error) = booted {
            tracing::error!(error = format!("{error:#}"), "this machine can not be rebooted");
            self.give_up_reboot(&format!("ended for the reboot of its machine, which failed: {error:#}"));
        }
    }

    /// Since when this machine is going down by a test, where it is.
    fn going_down_by_test(&mut self) -> Option<Instant> {
        if let Some(begun) = self.booting.by_test {
            return Some(begun);
        }
        let reboots = |process: &super::Process| {
            let announced = process.announced.as_ref().filter(|announced| announced.granted.is_some());
            announced.is_some_and(|announced| announced.absence == Absence::Reboot)
        };
        let mut live = self.processes.values().filter(|process| process.life.is_live()).peekable();
        let all = live.peek().is_some() && live.all(reboots);
        match all {
            true if !self.booting.test_has_asked => self.booting.by_test = Some(Instant::now()),
            true => {}
            // Who was to go away went on, or ended: the next announcement is another one.
            false => self.booting.test_has_asked = false,
        }
        self.booting.by_test
    }

    /// Into what this machine is on: the kernel that it was ordered into, or its own one.
    fn target_of_test(&self) -> anyhow::Result<(BootDriver, Target)> {
        let driver = *self.settings.allow_boot.first().context("the agent has no leave to boot this machine")?;
        let line = crate::probe::command_line();
        let target = match nonce_in(&line) {
            None => Target::Stock,
            Some(nonce) => {
                let entry = self.booting.entry().context("the kernel that runs is not known to be installed")?;
                Target::Entry { entry, nonce_word: nonce_word(nonce) }
            }
        };
        Ok((driver, target))
    }

    fn give_up_reboot(&mut self, why: &str) {
        let held: Vec<ProcessId> = self
            .processes
            .iter()
            .filter(|(_, process)| process.life.state() == ProcessState::Away)
            .map(|(id, _)| *id)
            .collect();
        for id in held {
            self.happen(id, Event::Kill(why.to_owned()));
        }
    }

    /// What was to go away and did not goes on, or has ended as it ended.
    fn stay_where_it_is_over(&mut self) {
        let now = self.connection.clock.now();
        let is_over = |away: &Away| (PoolTime(away.until_ns) + STAYS_AFTER).is_due(now);
        let over = self.processes.iter().filter(|(_, process)| {
            let granted = process.announced.as_ref().and_then(|announced| announced.granted.as_ref());
            process.life.is_live() && granted.is_some_and(is_over)
        });
        for id in over.map(|(id, _)| *id).collect::<Vec<_>>() {
            let Some(announced) = self.processes.get_mut(&id).and_then(|process| process.announced.take()) else {
                continue;
            };
            self.booting.by_test = None;
            let why = format!("the announced {} did not happen in time", announced.absence);
            self.intents.write(Line::Back(id.into()));
            self.withdraw(id, &announced);
            self.not_expected(id, announced.number, &why);
            self.happen(id, Event::Back(why));
        }
    }

    /// A newer attempt begins here: what is left of those before it, whose machine went away, is done with.
    pub(super) fn supersede(&mut self, newer: ProcessId) {
        let is_gone = |id: &ProcessId| {
            self.processes
                .get(id)
                .is_some_and(|process| !process.life.is_live() && process.life.state() == ProcessState::Away)
        };
        let gone: Vec<ProcessId> = self.attempts_of(newer).filter(|id| *id < newer && is_gone(id)).collect();
        for id in gone {
            if let Some(process) = self.processes.get_mut(&id) {
                process.forget = true;
            }
            self.forget_if_due(id);
        }
    }

    /// Attempts of a process that are known here.
    pub(super) fn attempts_of(&self, id: ProcessId) -> impl Iterator<Item = ProcessId> + use<'_> {
        let (first, last) = (ProcessId { attempt: Attempt(0), ..id }, ProcessId { attempt: Attempt(u32::MAX), ..id });
        self.processes.range(first..=last).map(|(id, _)| *id)
    }

    /// What was announced of the end of the last boot, for machine-lifecycle.
    pub(super) fn announced_absence(&self) -> Option<AbsenceAnnounced> {
        let gone = self.processes.iter().filter(|(_, process)| !process.life.is_live());
        let granted = gone.filter_map(|(id, process)| Some((*id, process.announced.as_ref()?.granted.as_ref()?)));
        let (id, away) = granted.max_by_key(|(_, away)| away.until_ns)?;
        Some(AbsenceAnnounced {
            id: Some(id.into()),
            number: away.number,
            absence: Absence::parse(&away.absence).map_or(v1::Absence::Unspecified, Into::into).into(),
            boot_id: away.boot_id.clone(),
            until_ns: away.until_ns,
            ..AbsenceAnnounced::default()
        })
    }
}

/// Whether an agent with leave for these drivers lets its machine go so. The host of a lab stays up, whatever its tests say.
fn may_go(absence: Absence, allow_boot: &[BootDriver]) -> Result<(), &'static str> {
    match absence {
        Absence::Reboot if allow_boot.is_empty() => {
            Err("the agent has no leave to boot this machine: start it with --allow-boot DRIVER")
        }
        Absence::Reboot => Ok(()),
        Absence::Shutdown | Absence::Crash if allow_boot.contains(&BootDriver::Simulated) => {
            Err("this agent pretends to boot (--allow-boot simulated), and its host is to stay up")
        }
        Absence::Shutdown | Absence::Crash => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_lab_stays_up_and_nobody_reboots_without_leave() {
        for absence in [Absence::Shutdown, Absence::Crash] {
            may_go(absence, &[BootDriver::Simulated]).unwrap_err();
            may_go(absence, &[BootDriver::Grub, BootDriver::Simulated]).unwrap_err();
            may_go(absence, &[]).unwrap();
            may_go(absence, &[BootDriver::Grub]).unwrap();
        }
        may_go(Absence::Reboot, &[]).unwrap_err();
        may_go(Absence::Reboot, &[BootDriver::Simulated]).unwrap();
    }
}
