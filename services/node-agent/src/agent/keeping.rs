//! What the keeper says, and what becomes of it.

use std::collections::BTreeSet;

use muster_model::ProcessId;

use super::Agent;
use crate::core::life::Event;
use crate::keeper::protocol::{Exit, FromKeeper, Living, ToKeeper};
use crate::metrics;
use crate::names::id_of;

impl Agent {
    pub(super) fn keeper(&mut self, message: FromKeeper) {
        match message {
            FromKeeper::State { living, exits } => self.keeper_state(living, exits),
            FromKeeper::Spawned(living) => {
                ::metrics::counter!(metrics::SPAWNED).increment(1);
                self.spawned(&living);
            }
            FromKeeper::NotSpawned { name, reason } => {
                if let Some(id) = id_of(&name) {
                    self.happen(id, Event::NotStarted(reason));
                }
            }
            FromKeeper::Exited(exit) => self.exited(&exit),
        }
    }

    pub(super) fn keeper_gone(&mut self) {
        self.keeper.connection_gone();
        self.keeper_ready = false;
    }

    /// The whole truth about what lives and what has ended: everything else that the keeper was asked for is nowhere.
    fn keeper_state(&mut self, living: Vec<Living>, exits: Vec<Exit>) {
        self.keeper_ready = true;
        for living in &living {
            self.spawned(living);
        }
        for exit in &exits {
            self.exited(exit);
        }
        let names = living.iter().map(|living| &living.name).chain(exits.iter().map(|exit| &exit.name));
        let known: BTreeSet<ProcessId> = names.filter_map(|name| id_of(name)).collect();
        let nowhere = self.processes.iter().filter(|(id, process)| process.life.may_run() && !known.contains(id));
        let nowhere: Vec<(ProcessId, bool)> = nowhere.map(|(id, process)| (*id, process.life.was_seen())).collect();
        for (id, was_seen) in nowhere {
            let event = if was_seen {
                Event::Exited(None)
            } else {
                Event::NotStarted("its start was interrupted, and it is not known whether it ran".into())
            };
            self.happen(id, event);
        }
        let held_back = std::mem::take(&mut self.held_back);
        self.spawn(held_back);
    }

    /// One that nobody here knows has an end that was said long ago, or none that anybody waits for.
    fn spawned(&mut self, living: &Living) {
        let known =
            id_of(&living.name).filter(|id| self.processes.get(id).is_some_and(|process| process.life.is_live()));
        match known {
            Some(id) => {
                if let Some(process) = self.processes.get_mut(&id) {
                    process.pid = living.pid;
                }
                self.happen(id, Event::Spawned);
            }
            None => {
                tracing::warn!(name = living.name, pid = living.pid, "a process lives that is not known: it is ended");
                self.keeper.say(ToKeeper::Kill { names: vec![living.name.clone()] });
            }
        }
    }

    fn exited(&mut self, exit: &Exit) {
        self.rush.goes_on();
        let known = id_of(&exit.name).filter(|id| self.processes.get(id).is_some_and(|process| process.life.is_live()));
        match known {
            Some(id) => {
                if let Some(process) = self.processes.get_mut(&id) {
                    process.pid = exit.pid;
                }
                self.happen(id, Event::Exited(exit.status));
            }
            None => drop(self.keeper.say(ToKeeper::Acknowledge { names: vec![exit.name.clone()] })),
        }
    }
}
