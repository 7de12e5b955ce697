//! The journal of triggers: arms, firings that were heard, and what began and is not reported yet. A firing is on the disk before
//! anything is done about it, so that neither a restart nor a reboot does it again.

use std::io;
use std::path::Path;

use muster_model::text::hex;
use muster_model::{ArmId, FiringId, PoolTime, Position, ProcessId, TriggerActed};
use muster_proto::v1;
use prost::Message;
use serde::{Deserialize, Serialize};

use super::intents::{Key, pair};
use super::journal::Journal;
use crate::artifacts::unhex;
use crate::core::triggers::{Arm, Triggers};
use crate::wire;

/// The journal is written anew when it is larger.
const SIZE_BYTES_MAX: u64 = 1 << 20;

/// One line. Messages are kept in the form of the wire, in hexadecimal.
#[derive(Debug, Serialize, Deserialize)]
enum Line {
    /// The scheduler's arms: the whole list.
    Arms(Vec<String>),
    /// Arms of processes of this machine: the whole list.
    Own(Vec<(Key, String)>),
    /// Arms that disarmed themselves.
    Used(Vec<((u64, u64), u32)>),
    /// A firing was heard, and this is what comes of it if nothing more is said.
    Begun(String),
    /// A firing that was heard, and when it fired.
    Heard([u8; 16], i64),
    /// What came of a firing is in the spool.
    Reported([u8; 16]),
}

/// The open journal.
#[derive(Debug)]
pub(crate) struct TriggerJournal {
    journal: Journal,
    /// What began and is not reported yet.
    begun: Vec<TriggerActed>,
}

impl TriggerJournal {
    /// Reads the journal: what is known of triggers, and what began in an earlier life and was never reported.
    pub(crate) fn open(state: &Path, now: PoolTime) -> io::Result<(Self, Triggers, Vec<TriggerActed>)> {
        let (journal, lines) = Journal::open(&state.join("triggers"))?;
        let (mut triggers, mut begun) = (Triggers::default(), Vec::<TriggerActed>::new());
        for line in lines {
            match line {
                Line::Arms(arms) => triggers.set_arms(arms.iter().filter_map(|arm| read_arm(arm)).collect()),
                Line::Own(arms) => {
                    for (key, arm) in arms {
                        let Some(arm) = read_arm(&arm) else { continue };
                        // It could be armed then; a person's arm that came later goes first anyway.
                        let _ = triggers.arm_own(key.into(), arm);
                    }
                }
                Line::Used(used) => used.iter().for_each(|((lineage, sequence), index)| {
                    let position = Position::new(*lineage, *sequence);
                    triggers.note_used(Default::default(), Some(ArmId { position, index: *index }));
                }),
                Line::Begun(acted) => {
                    let Some(acted) = read_acted(&acted) else { continue };
                    triggers.note_heard(acted.firing, acted.fired, now);
                    if acted.disarms() {
                        triggers.note_used(acted.number, acted.arm);
                    }
                    begun.push(acted);
                }
                Line::Heard(firing, fired_ns) => triggers.note_heard(FiringId(firing), PoolTime(fired_ns), now),
                Line::Reported(firing) => begun.retain(|acted| acted.firing != FiringId(firing)),
            }
        }
        Ok((Self { journal, begun: begun.clone() }, triggers, begun))
    }

    /// Returns when the arms are on the disk.
    pub(crate) fn write_arms(&mut self, triggers: &Triggers) -> io::Result<()> {
        let used = triggers.used().map(|id| (pair(id.position), id.index)).collect();
        self.journal.append_all(&[arms_line(triggers), Line::Own(own_lines(triggers)), Line::Used(used)])?;
        self.journal.sync()
    }

    /// Returns when it is on the disk that a firing was heard and what comes of it.
    pub(crate) fn begin(&mut self, acted: &TriggerActed) -> io::Result<()> {
        self.journal.append(&Line::Begun(write_acted(acted)))?;
        self.journal.sync()?;
        self.begun.push(acted.clone());
        Ok(())
    }

    /// What came of a firing is in the spool.
    pub(crate) fn reported(&mut self, firing: FiringId, triggers: &Triggers) -> io::Result<()> {
        self.begun.retain(|acted| acted.firing != firing);
        self.journal.append(&Line::Reported(firing.0))?;
        if self.journal.size_bytes() <= SIZE_BYTES_MAX {
            return Ok(());
        }
        let used = triggers.used().map(|id| (pair(id.position), id.index)).collect();
        let mut lines = vec![arms_line(triggers), Line::Own(own_lines(triggers)), Line::Used(used)];
        lines.extend(triggers.heard().map(|(firing, fired)| Line::Heard(firing.0, fired.0)));
        lines.extend(self.begun.iter().map(|acted| Line::Begun(write_acted(acted))));
        self.journal.rewrite(&lines)
    }
}

fn arms_line(triggers: &Triggers) -> Line {
    Line::Arms(triggers.arms().map(write_arm).collect())
}

fn own_lines(triggers: &Triggers) -> Vec<(Key, String)> {
    triggers.own().map(|(process, arm): (&ProcessId, &Arm)| (Key::from(*process), write_arm(arm))).collect()
}

fn write_arm(arm: &Arm) -> String {
    hex(&wire::arm_line(arm).encode_to_vec())
}

fn read_arm(text: &str) -> Option<Arm> {
    wire::arm(&v1::TriggerArm::decode(&*unhex(text)?).ok()?).ok()
}

fn write_acted(acted: &TriggerActed) -> String {
    hex(&v1::TriggerActed::from(acted).encode_to_vec())
}

fn read_acted(text: &str) -> Option<TriggerActed> {
    v1::TriggerActed::decode(&*unhex(text)?).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use muster_model::{Epoch, MachineId, ReservationId, TriggerAction, TriggerNumber, TriggerOutcome};

    use super::*;

    fn acted(number: u8, action: TriggerAction) -> TriggerActed {
        TriggerActed {
            firing: FiringId([number; 16]),
            number: TriggerNumber(number),
            machine: MachineId::new("node-1").unwrap(),
            epoch: Epoch(2),
            action,
            outcome: TriggerOutcome::BrokenOff,
            detail: "why".into(),
            latency: Duration::from_micros(5),
            fired: PoolTime(1_000),
            fired_by: None,
            arm: Some(ArmId { position: Position::new(1, u64::from(number)), index: 1 }),
        }
    }

    fn arm(number: u8, id: Option<ArmId>) -> Arm {
        Arm {
            id,
            number: TriggerNumber(number),
            epoch: Epoch(2),
            reservation: ReservationId(4),
            from_machines: vec![MachineId::new("node-2").unwrap()],
            from_jobs: Vec::new(),
            action: TriggerAction::Sysrq('w'),
        }
    }

    #[test]
    fn what_was_known_is_read_back_also_from_a_journal_that_was_written_anew() {
        let directory = tempfile::tempdir().unwrap();
        let open = || TriggerJournal::open(directory.path(), PoolTime(2_000)).unwrap();
        let (mut journal, mut triggers, begun) = open();
        assert!(begun.is_empty());
        triggers.set_arms(vec![arm(3, acted(3, TriggerAction::Crash).arm), arm(5, acted(5, TriggerAction::Crash).arm)]);
        triggers.arm_own(ProcessId::default(), arm(4, None)).unwrap();
        journal.write_arms(&triggers).unwrap();
        let note = |triggers: &mut Triggers, acted: &TriggerActed| {
            triggers.note_heard(acted.firing, acted.fired, PoolTime(2_000));
            if acted.disarms() {
                triggers.note_used(acted.number, acted.arm);
            }
        };
        let (crash, packet) = (acted(3, TriggerAction::Crash), acted(5, TriggerAction::Packet));
        for begun in [&crash, &packet] {
            journal.begin(begun).unwrap();
            note(&mut triggers, begun);
        }
        journal.reported(packet.firing, &triggers).unwrap();
        let (mut journal, read, begun) = open();
        assert_eq!((&read, &begun), (&triggers, &vec![crash.clone()]));
        // Many reports later.
        for _ in 0..40_000 {
            journal.reported(packet.firing, &read).unwrap();
        }
        assert!(journal.journal.size_bytes() < SIZE_BYTES_MAX);
        let (_, read, begun) = open();
        assert_eq!((read, begun), (triggers, vec![crash]));
    }
}
