//! Programs of the operator: a PDU's client, a script for a relay, whatever a lab has.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::power::{CommandLine, CommandPower, CommandSnapshot};
use muster_model::{MachineId, PowerAction, PowerSpec, PowerState, SnapshotAction, SnapshotSpec};

use crate::program::Program;
use crate::{Answer, Deadline, Done, DriverError, PowerDriver, SnapshotDriver};

/// What a program ends with where the snapshot is not there.
const EXIT_ABSENT: i32 = 1;

fn program(line: &CommandLine, machine: &MachineId) -> Program {
    Program::owned(line.fill(machine))
}

/// Power by programs.
pub(crate) struct Power {
    able: BTreeSet<PowerAction>,
    programs: BTreeMap<PowerAction, Program>,
    state: Option<Program>,
    state_on: String,
    state_off: String,
}

impl Power {
    pub(crate) fn new(spec: &PowerSpec, command: &CommandPower, machine: &MachineId) -> Self {
        Self {
            able: spec.capabilities(),
            programs: command.programs.iter().map(|(action, line)| (*action, program(line, machine))).collect(),
            state: command.state.as_ref().map(|line| program(line, machine)),
            state_on: command.state_on.clone(),
            state_off: command.state_off.clone(),
        }
    }
}

impl PowerDriver for Power {
    fn capabilities(&self) -> BTreeSet<PowerAction> {
        self.able.clone()
    }

    fn reads_state(&self) -> bool {
        self.state.is_some()
    }

    fn state(&self, deadline: Deadline) -> Answer<'_, PowerState> {
        Box::pin(async move {
            let Some(program) = &self.state else { return Ok(PowerState::Unknown) };
            let said = program.succeed(deadline).await?;
            Ok(judge(&said, &self.state_on, &self.state_off))
        })
    }

    fn act(&self, action: PowerAction, deadline: Deadline) -> Answer<'_, Done> {
        Box::pin(async move {
            let program = self.programs.get(&action);
            let program = program.ok_or_else(|| DriverError::Unable(format!("no program is set for `{action}`")))?;
            program.succeed(deadline).await.map(|_| Done::Done)
        })
    }
}

/// The state that a text tells. One that has both words, or neither, tells none: `on` in `connection refused` is no state.
fn judge(said: &str, on: &str, off: &str) -> PowerState {
    match (has_words(said, on), has_words(said, off)) {
        (true, false) => PowerState::On,
        (false, true) => PowerState::Off,
        (true, true) | (false, false) => PowerState::Unknown,
    }
}

/// Whether words stand in a text, one after another, upper or lower case.
fn has_words(text: &str, words: &str) -> bool {
    let split = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_lowercase).collect()
    };
    let (text, words) = (split(text), split(words));
    !words.is_empty() && text.windows(words.len()).any(|window| window == words)
}

/// Snapshots by programs.
pub(crate) struct Snapshot {
    able: BTreeSet<SnapshotAction>,
    revert: Program,
    take: Option<Program>,
    exists: Option<Program>,
}

impl Snapshot {
    pub(crate) fn new(spec: &SnapshotSpec, command: &CommandSnapshot, machine: &MachineId) -> Self {
        Self {
            able: spec.capabilities(),
            revert: program(&command.revert, machine),
            take: command.take.as_ref().map(|line| program(line, machine)),
            exists: command.exists.as_ref().map(|line| program(line, machine)),
        }
    }
}

impl SnapshotDriver for Snapshot {
    fn capabilities(&self) -> BTreeSet<SnapshotAction> {
        self.able.clone()
    }

    fn exists(&self, deadline: Deadline) -> Answer<'_, Option<bool>> {
        Box::pin(async move {
            let Some(program) = &self.exists else { return Ok(None) };
            let said = program.run(deadline).await?;
            match said.status.code() {
                Some(0) => Ok(Some(true)),
                Some(EXIT_ABSENT) => Ok(Some(false)),
                Some(_) | None => Err(program.failed(&said)),
            }
        })
    }

    fn act(&self, action: SnapshotAction, deadline: Deadline) -> Answer<'_, Done> {
        Box::pin(async move {
            let program = match action {
                SnapshotAction::Revert => Some(&self.revert),
                SnapshotAction::Take => self.take.as_ref(),
            };
            let program = program.ok_or_else(|| DriverError::Unable(format!("no program is set for `{action}`")))?;
            program.succeed(deadline).await.map(|_| Done::Done)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_told_by_words_and_not_by_letters() {
        for (said, expected) in [
            ("ON\n", PowerState::On),
            ("Outlet 7: off", PowerState::Off),
            ("connection refused", PowerState::Unknown),
            ("outlet 6 on, outlet 7 off", PowerState::Unknown),
            ("", PowerState::Unknown),
        ] {
            assert_eq!(judge(said, "on", "off"), expected, "{said}");
        }
        assert_eq!(judge("relay closed (1)", "relay closed", "relay open"), PowerState::On);
        assert_eq!(judge("closed relay", "relay closed", "relay open"), PowerState::Unknown);
    }
}
