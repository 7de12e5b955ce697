//! Exits in a file: written before the agent is told, kept until it has them. They survive any end of the agent and of the keeper.
//! The end of the machine makes them void: what ran before it is lost, whatever its status was.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::protocol::{Exit, Living, Name};
use crate::disk::journal::Journal;

/// The journal is emptied when it is larger than this and nothing in it is needed.
const COMPACT_BYTES: u64 = 1 << 20;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// It was started.
    Spawned(Living),
    /// It is gone.
    Exited(Exit),
    /// The agent has its exit.
    Acknowledged(Vec<Name>),
}

/// The journal, and what the agent does not have yet.
#[derive(Debug)]
pub(crate) struct Exits {
    journal: Journal,
    waiting: BTreeMap<Name, Exit>,
    living: usize,
}

impl Exits {
    /// Opens the journal; gives the processes that an earlier keeper started and did not see the end of.
    pub(crate) fn open(directory: &Path) -> io::Result<(Self, Vec<Living>)> {
        let (journal, lines) = Journal::open::<Line>(&directory.join("exits.jsonl"))?;
        let (mut waiting, mut living) = (BTreeMap::new(), BTreeMap::new());
        for line in lines {
            match line {
                Line::Spawned(process) => drop(living.insert(process.name.clone(), process)),
                Line::Exited(exit) => {
                    living.remove(&exit.name);
                    waiting.insert(exit.name.clone(), exit);
                }
                Line::Acknowledged(names) => names.iter().for_each(|name| drop(waiting.remove(name))),
            }
        }
        let living: Vec<Living> = living.into_values().collect();
        Ok((Self { journal, waiting, living: living.len() }, living))
    }

    /// Processes were started. Survives the end of the keeper; the end of the machine ends the processes too.
    pub(crate) fn spawned(&mut self, living: &[Living]) -> io::Result<()> {
        self.living += living.len();
        let lines: Vec<Line> = living.iter().cloned().map(Line::Spawned).collect();
        self.journal.append_all(&lines)
    }

    /// Processes are gone.
    pub(crate) fn exited(&mut self, exits: &[Exit]) -> io::Result<()> {
        let lines: Vec<Line> = exits.iter().cloned().map(Line::Exited).collect();
        self.living = self.living.saturating_sub(exits.len());
        self.waiting.extend(exits.iter().map(|exit| (exit.name.clone(), exit.clone())));
        self.journal.append_all(&lines)
    }

    /// The agent has these.
    pub(crate) fn acknowledge(&mut self, names: Vec<Name>) -> io::Result<()> {
        names.iter().for_each(|name| drop(self.waiting.remove(name)));
        if self.journal.size_bytes() > COMPACT_BYTES && self.waiting.is_empty() && self.living == 0 {
            return self.journal.rewrite::<Line>(&[]);
        }
        self.journal.append(&Line::Acknowledged(names))
    }

    /// What the agent does not have yet.
    pub(crate) fn waiting(&self) -> Vec<Exit> {
        self.waiting.values().cloned().collect()
    }

    /// The exit of this process waits for the agent.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.waiting.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_kept_until_it_is_acknowledged() {
        let directory = tempfile::tempdir().unwrap();
        let (mut exits, _) = Exits::open(directory.path()).unwrap();
        for (name, pid) in [("a", 1), ("b", 2), ("c", 3)] {
            exits.spawned(&[Living { name: name.into(), pid }]).unwrap();
        }
        let exit = |name: &str, pid| Exit { name: name.into(), pid, status: Some(256) };
        exits.exited(&[exit("a", 1), exit("b", 2)]).unwrap();
        exits.acknowledge(vec!["a".into()]).unwrap();
        let (exits, unknown) = Exits::open(directory.path()).unwrap();
        assert_eq!(exits.waiting(), [exit("b", 2)]);
        assert_eq!(unknown, [Living { name: "c".into(), pid: 3 }]);
    }
}
