//! The journal of intents: what this agent is about to start, is running, and has ended. An intent is on the disk before its
//! process can exist, so after any crash every process that may live is known, and none is started twice.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use muster_model::{Attempt, Dpid, Epoch, JobNumber, Position, ProcessId, ProcessNumber, ProcessState, RunId, Verdict};
use serde::{Deserialize, Serialize};

use super::journal::{Journal, Syncing};
use crate::core::outcome::{End, Said};
use crate::keeper::protocol::KeeperLife;

/// The journal is rewritten when it is larger than this and mostly of forgotten processes.
const COMPACT_BYTES: u64 = 4 << 20;

/// Lines that wait in memory at most, where the disk does not take them.
const WAITING_MAX: usize = 100_000;

/// Identity of a process as it is written: `run`, `job`, `process`, `attempt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Key(u32, u32, u32, u32);

impl From<ProcessId> for Key {
    fn from(id: ProcessId) -> Self {
        Self(id.run.0, id.dpid.job.0, id.dpid.process.0, id.attempt.0)
    }
}

impl From<Key> for ProcessId {
    fn from(key: Key) -> Self {
        let dpid = Dpid { job: JobNumber(key.1), process: ProcessNumber(key.2) };
        Self { run: RunId(key.0), dpid, attempt: Attempt(key.3) }
    }
}

/// What is needed of a process after a crash. Not what is needed to start it: where it was surely never begun, it is ordered again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// Its identity.
    pub key: Key,
    /// Epoch that it belongs to.
    pub epoch: u64,
    /// Module name.
    pub module: String,
    /// Module version.
    pub version: String,
    /// Resources that it was placed on.
    pub resources: Vec<String>,
    /// Grace of a stop that nobody gave one for, milliseconds.
    pub grace_ms: u64,
    /// Pulses that gate it.
    #[serde(default)]
    pub pulses: Vec<u8>,
    /// They are not those that it was started with.
    #[serde(default)]
    pub pulses_changed: bool,
    /// It may announce that this machine goes away, and keeps something for its next attempt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reboots: bool,
    /// The keeper that lived when this was written.
    #[serde(default, skip_serializing_if = "KeeperLife::is_unknown")]
    pub keeper: KeeperLife,
    /// Digest of the parameters that it has.
    #[serde(default)]
    pub parameters_digest: u64,
    /// All of its parameters, where they are not those that it was started with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

impl Intent {
    /// Its identity.
    pub(crate) fn id(&self) -> ProcessId {
        self.key.into()
    }

    /// Its pulses or parameters are not those that it was started with.
    pub(crate) fn has_changed(&self) -> bool {
        self.pulses_changed || !self.parameters.is_empty()
    }

    /// Epoch that it belongs to.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// Processes that may be started from now on, and the scheduler's generation that orders them.
    Intents {
        /// The processes.
        intents: Vec<Intent>,
        /// Lineage and sequence.
        generation: (u64, u64),
    },
    /// It has other pulses from here on.
    Pulses(Key, Vec<u8>),
    /// It has other parameters from here on: all of them, with their digest.
    Parameters(Key, u64, BTreeMap<String, String>),
    /// The state that was reported.
    State(Key, u8),
    /// It was told to stop.
    Stop {
        /// Which.
        key: Key,
        /// Its grace, milliseconds.
        grace_ms: u64,
        /// Why.
        reason: String,
    },
    /// It is logged that its machine goes away.
    Away(Key, Away),
    /// Its machine did not go away.
    Back(Key),
    /// It said how it ended.
    Said {
        /// Which.
        key: Key,
        /// What it says of the product.
        verdict: u8,
        /// Why.
        reason: String,
        /// Totals of its final report.
        totals: BTreeMap<String, Bits>,
        /// Text of its final report.
        text: String,
    },
    /// How it ended; its state is said by `Ended`.
    End {
        /// Which.
        key: Key,
        /// What it says of the product.
        verdict: u8,
        /// Status as wait(2) gives it.
        status: Option<i32>,
        /// Why.
        reason: String,
    },
    /// Its end is in the spool.
    Ended(Key, u8),
    /// Its log is in the object store, or could not be put there.
    LogKept(Key),
    /// The scheduler knows its end: nothing is kept of it.
    Forgotten(Vec<Key>),
}

/// A double by its bits, so that lines can be compared and no value is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bits(u64);

impl From<f64> for Bits {
    fn from(value: f64) -> Self {
        Self(value.to_bits())
    }
}

impl From<Bits> for f64 {
    fn from(bits: Bits) -> Self {
        f64::from_bits(bits.0)
    }
}

/// What a process said at its end.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Final {
    /// Totals.
    pub totals: BTreeMap<String, f64>,
    /// For people.
    pub text: String,
}

/// What was announced of a machine's absence, and is logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Away {
    /// Number of the announcement.
    pub number: u64,
    /// How the machine goes away, by its word.
    pub absence: String,
    /// Pool time until which it is awaited, nanoseconds.
    pub until_ns: i64,
    /// Boot that is to end.
    pub boot_id: String,
}

/// A process as the journal knows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    /// What was written before it was started.
    pub intent: Intent,
    /// State that was reported last.
    pub state: ProcessState,
    /// Stop that it was given: grace and reason.
    pub stop: Option<(u64, String)>,
    /// Its machine goes away, or went.
    pub away: Option<Away>,
    /// What it said.
    pub said: Option<Said>,
    /// Its final report.
    pub r#final: Final,
    /// How it ended, with a final state.
    pub end: Option<End>,
    /// Its log needs nothing more.
    pub log_kept: bool,
}

/// The journal, open.
#[derive(Debug)]
pub(crate) struct Intents {
    journal: Journal,
    /// Lines of this turn that are not written yet: they go in one write.
    waiting: Vec<Line>,
    /// Its size when it held only what is needed.
    needed_bytes: u64,
}

/// What was read from it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Read {
    /// Processes that are not forgotten.
    pub known: BTreeMap<ProcessId, Known>,
    /// The scheduler's generation.
    pub generation: Position,
}

impl Intents {
    /// Opens the journal and reads what is in it.
    pub(crate) fn open(state: &Path) -> io::Result<(Self, Read)> {
        let (journal, lines) = Journal::open::<Line>(&state.join("intents.jsonl"))?;
        let mut read = Read::default();
        for line in lines {
            read.take(line);
        }
        let mut intents = Self { journal, waiting: Vec::new(), needed_bytes: 0 };
        if intents.is_wasteful() {
            intents.compact(&read)?;
        }
        Ok((intents, read))
    }

    /// Returns when the line is on the disk, and everything before it. A line that could not be written is not kept.
    pub(crate) fn write_durably(&mut self, line: &Line) -> io::Result<()> {
        self.write_now(line)?;
        self.journal.sync()
    }

    /// Returns when the line is written, and everything before it: it survives the end of this process, not of the machine. A line
    /// that could not be written is not kept.
    pub(crate) fn write_now(&mut self, line: &Line) -> io::Result<()> {
        self.flush()?;
        self.journal.append(line)
    }

    /// Takes a line that is written by the next [`Intents::flush`].
    pub(crate) fn write(&mut self, line: Line) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push(line);
        } else {
            tracing::error!("a line of the journal of intents is lost: the disk takes none, and too many wait");
        }
    }

    /// Writes what was taken, or keeps it for the next time. It survives the end of this process, not of the machine.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if !self.waiting.is_empty() {
            self.journal.append_all(&self.waiting)?;
            self.waiting.clear();
        }
        Ok(())
    }

    /// Writes what was taken; gives what brings it to the disk, for a thread that may wait for that.
    pub(crate) fn syncing(&mut self) -> io::Result<Syncing> {
        self.flush()?;
        self.journal.syncing()
    }

    /// Something of it could not be read: there may have been processes that nothing is known of.
    pub(crate) fn was_torn(&self) -> bool {
        self.journal.was_torn()
    }

    /// Most of the journal is of processes that are forgotten.
    pub(crate) fn is_wasteful(&self) -> bool {
        self.journal.size_bytes() > COMPACT_BYTES && self.journal.size_bytes() / 2 > self.needed_bytes
    }

    /// Writes the journal anew, with what is needed and nothing else.
    pub(crate) fn compact(&mut self, read: &Read) -> io::Result<()> {
        let mut lines = vec![Line::Intents { intents: Vec::new(), generation: pair(read.generation) }];
        lines.extend(read.known.values().flat_map(|known| known.lines(pair(read.generation))));
        self.flush()?;
        self.journal.rewrite(&lines)?;
        self.needed_bytes = self.journal.size_bytes();
        Ok(())
    }
}

/// A position as it is written.
pub(crate) fn pair(position: Position) -> (u64, u64) {
    (position.lineage.0, position.sequence.0)
}

impl Known {
    fn lines(&self, generation: (u64, u64)) -> Vec<Line> {
        let key = self.intent.key;
        let mut lines = vec![Line::Intents { intents: vec![self.intent.clone()], generation }];
        if let Some((grace_ms, reason)) = &self.stop {
            lines.push(Line::Stop { key, grace_ms: *grace_ms, reason: reason.clone() });
        }
        lines.extend(self.away.iter().map(|away| Line::Away(key, away.clone())));
        if let Some(said) = &self.said {
            lines.push(said_line(key, said, &self.r#final));
        }
        lines.extend(self.end.as_ref().map(|end| end_line(key, end)));
        lines.push(Line::State(key, state_number(self.state)));
        if self.log_kept {
            lines.push(Line::LogKept(key));
        }
        lines
    }
}

/// The line of how a process ended.
pub(crate) fn end_line(key: Key, end: &End) -> Line {
    let End { verdict, status, reason, .. } = end.clone();
    Line::End { key, verdict: verdict_number(verdict), status, reason }
}

/// The line of what a process said.
pub(crate) fn said_line(key: Key, said: &Said, r#final: &Final) -> Line {
    Line::Said {
        key,
        verdict: verdict_number(said.verdict),
        reason: said.reason.clone(),
        totals: r#final.totals.iter().map(|(name, value)| (name.clone(), (*value).into())).collect(),
        text: r#final.text.clone(),
    }
}

fn verdict_number(verdict: Verdict) -> u8 {
    let place = Verdict::ALL.iter().position(|known| *known == verdict).unwrap_or_default();
    u8::try_from(place).unwrap_or_default()
}

fn verdict_of(number: u8) -> Verdict {
    Verdict::ALL.get(usize::from(number)).copied().unwrap_or_default()
}

/// A state as it is written.
pub(crate) fn state_number(state: ProcessState) -> u8 {
    let place = ProcessState::ALL.iter().position(|known| *known == state).unwrap_or_default();
    u8::try_from(place).unwrap_or_default()
}

fn state_of(number: u8) -> ProcessState {
    ProcessState::ALL.get(usize::from(number)).copied().unwrap_or(ProcessState::Dead)
}

impl Read {
    fn take(&mut self, line: Line) {
        match line {
            Line::Intents { intents, generation } => {
                self.generation = Position::new(generation.0, generation.1);
                for intent in intents {
                    self.known.entry(intent.id()).or_insert_with(|| Known {
                        intent,
                        state: ProcessState::Starting,
                        stop: None,
                        away: None,
                        said: None,
                        r#final: Final::default(),
                        end: None,
                        log_kept: false,
                    });
                }
            }
            Line::Pulses(key, pulses) => self.change(key, |known| {
                (known.intent.pulses, known.intent.pulses_changed) = (pulses, true);
            }),
            Line::Parameters(key, digest, parameters) => self.change(key, |known| {
                (known.intent.parameters_digest, known.intent.parameters) = (digest, parameters);
            }),
            Line::State(key, state) | Line::Ended(key, state) => self.change(key, |known| {
                known.state = state_of(state);
                known.end.iter_mut().for_each(|end| end.state = known.state);
            }),
            Line::End { key, verdict, status, reason } => self.change(key, |known| {
                known.end = Some(End { state: known.state, verdict: verdict_of(verdict), status, reason });
            }),
            Line::Stop { key, grace_ms, reason } => self.change(key, |known| known.stop = Some((grace_ms, reason))),
            Line::Away(key, away) => self.change(key, |known| {
                (known.state, known.away) = (ProcessState::Away, Some(away));
            }),
            Line::Back(key) => self.change(key, |known| {
                known.away = None;
                if known.state == ProcessState::Away {
                    known.state = ProcessState::Running;
                }
            }),
            Line::Said { key, verdict, reason, totals, text } => self.change(key, |known| {
                known.said = Some(Said { verdict: verdict_of(verdict), reason });
                let totals = totals.into_iter().map(|(name, bits)| (name, bits.into())).collect();
                known.r#final = Final { totals, text };
            }),
            Line::LogKept(key) => self.change(key, |known| known.log_kept = true),
            Line::Forgotten(keys) => {
                for key in keys {
                    self.known.remove(&key.into());
                }
            }
        }
    }

    fn change(&mut self, key: Key, change: impl FnOnce(&mut Known)) {
        if let Some(known) = self.known.get_mut(&key.into()) {
            change(known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent(process: u32) -> Intent {
        Intent {
            key: Key(1, 1, process, 1),
            epoch: 3,
            module: "high-io".into(),
            version: "1".into(),
            resources: vec!["disk-a".into()],
            grace_ms: 1_000,
            pulses: vec![3],
            pulses_changed: false,
            reboots: false,
            keeper: KeeperLife::default(),
            parameters_digest: 7,
            parameters: BTreeMap::new(),
        }
    }

    fn away() -> Away {
        Away { number: 1, absence: "reboot".into(), until_ns: 7, boot_id: "boot-1".into() }
    }

    fn write_all(path: &Path) -> Read {
        let (mut intents, _) = Intents::open(path).unwrap();
        let both = vec![intent(1), intent(2)];
        intents.write_durably(&Line::Intents { intents: both, generation: (1, 9) }).unwrap();
        intents.write(Line::State(Key(1, 1, 1, 1), state_number(ProcessState::Running)));
        intents.write(Line::Pulses(Key(1, 1, 1, 1), vec![5]));
        intents.write(Line::Parameters(Key(1, 1, 1, 1), 9, [("rate".to_owned(), "2".to_owned())].into()));
        let said = Said { verdict: Verdict::Fail, reason: "bad data".into() };
        let r#final = Final { totals: [("read_bytes".to_owned(), 0.1)].into(), text: "text".into() };
        let end = End {
            state: ProcessState::Dead,
            verdict: Verdict::Fail,
            status: Some(256),
            reason: "exited with 1".into(),
        };
        intents.write(end_line(Key(1, 1, 1, 1), &end));
        intents.write(Line::Away(Key(1, 1, 2, 1), away()));
        intents.write_durably(&said_line(Key(1, 1, 1, 1), &said, &r#final)).unwrap();
        Intents::open(path).unwrap().1
    }

    #[test]
    fn what_was_written_is_known_after_a_crash() {
        let directory = tempfile::tempdir().unwrap();
        let read = write_all(directory.path());
        assert_eq!((read.known.len(), read.generation), (2, Position::new(1, 9)));
        let first = read.known.values().next().unwrap();
        assert_eq!(first.state, ProcessState::Running);
        assert_eq!((&first.intent.pulses[..], first.intent.pulses_changed), (&[5][..], true));
        assert_eq!((first.intent.parameters_digest, first.intent.parameters["rate"].as_str()), (9, "2"));
        let second = read.known.values().nth(1).unwrap();
        assert_eq!((second.state, &second.away), (ProcessState::Away, &Some(away())));
        assert!(second.intent.parameters_digest == 7 && second.intent.parameters.is_empty());
        assert_eq!((&second.intent.pulses[..], second.intent.pulses_changed), (&[3][..], false));
        assert_eq!(first.said.as_ref().unwrap().verdict, Verdict::Fail);
        assert_eq!(first.r#final.totals["read_bytes"], 0.1);
        let end = first.end.as_ref().unwrap();
        assert_eq!((end.verdict, end.status, end.reason.as_str()), (Verdict::Fail, Some(256), "exited with 1"));
    }

    #[test]
    fn a_rewritten_journal_says_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let read = write_all(directory.path());
        let lines: Vec<Line> = read.known.values().flat_map(|known| known.lines(pair(read.generation))).collect();
        let mut again = Read::default();
        lines.into_iter().for_each(|line| again.take(line));
        assert_eq!(again, read);
    }

    #[test]
    fn a_journal_is_written_anew_with_the_same_content() {
        let directory = tempfile::tempdir().unwrap();
        let read = write_all(directory.path());
        let (mut intents, _) = Intents::open(directory.path()).unwrap();
        assert!(!intents.is_wasteful());
        intents.compact(&read).unwrap();
        assert_eq!(Intents::open(directory.path()).unwrap().1, read);
    }

    #[test]
    fn a_process_whose_machine_stayed_runs_again() {
        let directory = tempfile::tempdir().unwrap();
        write_all(directory.path());
        let (mut intents, _) = Intents::open(directory.path()).unwrap();
        intents.write(Line::Back(Key(1, 1, 2, 1)));
        intents.flush().unwrap();
        let read = Intents::open(directory.path()).unwrap().1;
        let second = read.known.values().nth(1).unwrap();
        assert_eq!((second.state, &second.away), (ProcessState::Running, &None));
    }

    #[test]
    fn what_is_forgotten_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        write_all(directory.path());
        let (mut intents, _) = Intents::open(directory.path()).unwrap();
        intents.write(Line::Forgotten(vec![Key(1, 1, 1, 1)]));
        intents.flush().unwrap();
        assert_eq!(Intents::open(directory.path()).unwrap().1.known.len(), 1);
    }
}
