//! Adoption: what an earlier life of this agent wrote down becomes what this one knows. Nothing is started because of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use muster_model::{ProcessId, ProcessState, milliseconds};

use super::{Agent, Announced, Process};
use crate::core::errands::Errands;
use crate::core::life::{Event, Life};
use crate::core::outcome::End;
use crate::core::words::Waiting;
use crate::disk::intents::{Known, Read};
use crate::{checkout, probe, workplace};

impl Agent {
    /// Takes what is known from the disk. Which processes live is said by the keeper.
    pub(super) fn adopt(&mut self, known: BTreeMap<ProcessId, Known>) -> anyhow::Result<()> {
        let count = known.len();
        for (id, known) in known {
            self.adopt_one(id, known);
        }
        if count > 0 {
            tracing::info!(processes = count, "took over what an earlier agent left");
        }
        let boot_id = probe::boot_id();
        if self.fence.boot_id != boot_id {
            self.fence.boot_id = boot_id;
            self.fence_file.write(&self.fence).context("write the fence")?;
        }
        self.begin_fence_if_due(None);
        Ok(())
    }

    /// Writes the journal of intents anew when most of it is of processes that are forgotten.
    pub(super) fn compact_intents(&mut self) {
        if !self.intents.is_wasteful() || !self.ended.is_empty() || !self.keeping.unbegun.is_empty() {
            return;
        }
        let now = self.now();
        let known = self.processes.iter().map(|(id, process)| (*id, known(process, now))).collect();
        let read = Read { known, generation: self.job_generation };
        if let Err(error) = self.intents.compact(&read) {
            tracing::error!(%error, "the journal of intents can not be written anew");
        }
    }

    /// Directories of processes that were forgotten when the last life of this agent ended: it had not removed them yet.
    pub(super) fn remove_unknown_places(&self) {
        if self.intents.was_torn() {
            // Of which of them nothing is known any more, nobody can say: they stay this time, for people.
            return;
        }
        let unknown = |id: &ProcessId| !self.processes.contains_key(id);
        let kept = |id: &ProcessId| checkout::is_kept(&self.settings.state, *id);
        for id in workplace::all(&self.settings.state).filter(|id| unknown(id) && !kept(id)) {
            self.remove_later(workplace::directory_of(&self.settings.state, id));
        }
    }

    /// What processes kept for later attempts, of which nothing is known any more.
    pub(super) fn remove_unknown_kept(&self) {
        if self.intents.was_torn() {
            return;
        }
        let known: BTreeSet<PathBuf> =
            self.processes.keys().map(|id| workplace::kept_of(&self.settings.state, *id)).collect();
        workplace::all_kept(&self.settings.state)
            .filter(|path| !known.contains(path))
            .for_each(|path| self.remove_later(path));
    }

    /// Nobody waits for a directory to be gone.
    pub(super) fn remove_later(&self, directory: PathBuf) {
        if !self.places.leave(directory) {
            tracing::warn!("a directory stays until this agent is started again: too many are to be removed");
        }
    }

    fn adopt_one(&mut self, id: ProcessId, known: Known) {
        let now = self.now();
        let is_gone = known.state == ProcessState::Away
            && known.away.as_ref().is_some_and(|away| away.boot_id != self.inventory.boot_id);
        let life = match (known.state.is_final(), is_gone) {
            (true, _) => Life::ended(known.state),
            (false, true) => Life::gone(),
            (false, false) => Life::adopted(known.state, known.said, now),
        };
        if !life.is_live() && !known.log_kept {
            self.uploads.start_log(id, workplace::log_of(&self.settings.state, id));
        }
        let process = Process {
            intent: known.intent,
            life,
            end: known.end.or_else(|| known.state.is_final().then(|| End::forgotten(known.state))),
            r#final: known.r#final,
            pid: 0,
            connection: None,
            set_waits: false,
            pinged: Instant::now(),
            round_trip_us: 0,
            log_kept: known.log_kept,
            forget: false,
            gang: None,
            waiting: Waiting::default(),
            announced: known.away.as_ref().map(Announced::of_disk),
            expected: None,
            waits_at: None,
            synced: None,
            user: None,
            errands: Errands::default(),
        };
        self.processes.insert(id, process);
        if is_gone {
            return;
        }
        if let Some((grace_ms, reason)) = known.stop {
            // Its grace begins again: how much of it was used is not known.
            self.happen(id, Event::Stop { grace: Duration::from_millis(grace_ms), reason });
        }
    }
}

/// A process as the journal is to know it.
fn known(process: &Process, now: Duration) -> Known {
    let stop = process.life.stop_given(now);
    Known {
        intent: process.intent.clone(),
        state: process.life.state(),
        stop: stop.map(|(grace, reason)| (milliseconds(grace), reason.to_owned())),
        away: process.announced.as_ref().and_then(|announced| announced.granted.clone()),
        said: process.life.said().cloned(),
        end: process.end.clone(),
        r#final: process.r#final.clone(),
        log_kept: process.log_kept,
    }
}
