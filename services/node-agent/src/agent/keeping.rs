//! What the keeper says, and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::ProcessId;

use super::{Agent, Process};
use crate::core::life::Event;
use crate::disk::intents::Line;
use crate::keeper::protocol::{Exit, FromKeeper, KeeperLife, Living, ToKeeper};
use crate::link::HelloTo;
use crate::names::id_of;
use crate::{checkout, metrics, workplace};

/// What is known of the keeper.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    /// It has said what it knows, and what it is told now acts.
    pub ready: bool,
    /// Which keeper it is, or was.
    pub life: KeeperLife,
    /// Processes that were surely never begun, and whether a hello was said since without them: its answer tells if they are still wanted.
    pub unbegun: BTreeMap<ProcessId, bool>,
}

impl Agent {
    pub(super) fn keeper(&mut self, message: FromKeeper) {
        match message {
            FromKeeper::State { living, exits, life, controllers } => {
                self.keeper_limits_by(controllers);
                self.keeper_state(living, exits, life);
            }
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
        self.keeping.ready = false;
    }

    /// The whole truth about what lives and what has ended: everything else that the keeper was asked for is nowhere.
    fn keeper_state(&mut self, living: Vec<Living>, exits: Vec<Exit>, life: KeeperLife) {
        if !self.keeper_confines() && living.is_empty() {
            tracing::warn!("the keeper is of an older version, and nothing lives: it is replaced");
            self.keeper.say(ToKeeper::Shutdown);
        }
        (self.keeping.ready, self.keeping.life) = (true, life);
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
            if !was_seen && self.was_never_begun(id) {
                self.processes.remove(&id);
                self.keeping.unbegun.insert(id, false);
                continue;
            }
            let event = if was_seen {
                Event::Exited(None)
            } else {
                Event::NotStarted("its start was interrupted, and it is not known whether it ran".into())
            };
            self.happen(id, event);
        }
        let held_back = std::mem::take(&mut self.held_back);
        self.spawn(held_back);
        if !self.keeping.unbegun.is_empty() {
            tracing::info!(
                processes = self.keeping.unbegun.len(),
                "processes were never begun: the scheduler is asked again"
            );
            self.changed = true;
            self.hello_again(HelloTo::Scheduler);
        }
    }

    /// The keeper that lived when its intent was written lives still, and knows nothing of it: it was not asked. Nor was a person, who
    /// may have started what was left for them.
    fn was_never_begun(&self, id: ProcessId) -> bool {
        let asked =
            |process: &Process| process.intent.keeper.is_unknown() || process.intent.keeper != self.keeping.life;
        let known = self.processes.get(&id);
        known.is_some_and(|process| !asked(process) && process.life.said().is_none())
            && !checkout::is_kept(&self.settings.state, id)
    }

    /// The scheduler has told what it wants of this machine: what was never begun and is not among that leaves nothing here.
    pub(super) fn forget_unbegun(&mut self) {
        let told: Vec<ProcessId> = self.keeping.unbegun.extract_if(.., |_, said| *said).map(|(id, _)| id).collect();
        for id in told {
            if !self.processes.contains_key(&id) {
                self.intents.write(Line::Forgotten(vec![id.into()]));
                self.remove_later(workplace::directory_of(&self.settings.state, id));
            }
        }
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
