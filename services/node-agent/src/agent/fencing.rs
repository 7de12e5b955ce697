//! The fence, draining, protection and the holder's deadline: what machine-lifecycle wants of this machine, and what this machine
//! does alone when nobody answers any more.

use std::time::{Duration, Instant};

use muster_model::{Epoch, PoolTime, Position, ProcessId};
use muster_proto::v1::{FenceDone, MachineDesired, report};
use tokio::sync::oneshot;

use super::{Agent, Fencing};
use crate::checkout;
use crate::core::authority::Owner;
use crate::core::fence::Told;
use crate::core::life::Event;

/// Processes of an older epoch that are not gone after this can not be ended here.
const FENCE_WARN: Duration = Duration::from_secs(10);

impl Agent {
    /// Returns whether the fence is on the disk.
    pub(super) fn write_fence(&self) -> bool {
        match self.fence_file.write(&self.fence) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "the fence can not be written");
                false
            }
        }
    }

    /// Takes what machine-lifecycle wants; false when it could not be written. `taken` is told when the epoch is fenced.
    pub(super) fn take_machine_desired(
        &mut self,
        desired: &MachineDesired,
        taken: Option<oneshot::Sender<bool>>,
    ) -> bool {
        self.changed = true;
        let before = self.fence.clone();
        self.fence.take(desired, if taken.is_some() { Told::Hello } else { Told::Command });
        if self.fence != before && !self.write_fence() {
            self.fence = before;
            if let Some(taken) = taken {
                let _ = taken.send(false);
            }
            return false;
        }
        if taken.is_some() {
            self.standing.incarnation = Some(self.fence.incarnation());
        }
        self.standing.epoch = self.fence.epoch();
        if self.fence.draining && !before.draining {
            tracing::info!("draining: starts are refused");
        }
        self.stop_on_protected();
        self.begin_fence_if_due(taken);
        true
    }

    /// Protection beats whatever runs there.
    fn stop_on_protected(&mut self) {
        let fence = &self.fence;
        let touches = |process: &super::Process| {
            fence.machine_protected
                || process.intent.resources.iter().any(|resource| fence.protected.contains(resource))
        };
        let touching = self.processes.iter().filter(|(_, process)| !process.life.is_ending() && touches(process));
        let touching: Vec<(ProcessId, u64)> = touching.map(|(id, process)| (*id, process.intent.grace_ms)).collect();
        for (id, grace_ms) in touching {
            self.stop(id, Duration::from_millis(grace_ms), "protected");
        }
    }

    /// Begins to end everything of older epochs, if the newest is not fenced.
    pub(super) fn begin_fence_if_due(&mut self, taken: Option<oneshot::Sender<bool>>) {
        if self.fence.is_closed() {
            if let Some(taken) = taken {
                let _ = taken.send(true);
            }
            return;
        }
        let epoch = self.fence.epoch();
        tracing::info!(%epoch, "the epoch rose: everything older is ended");
        for id in self.older_than(epoch) {
            self.happen(id, Event::Kill(format!("ended: the machine's epoch rose to {epoch}")));
        }
        let since = self.fencing.as_ref().map_or_else(Instant::now, |fencing| fencing.since);
        let taken = taken.or_else(|| self.fencing.take().and_then(|fencing| fencing.taken));
        self.fencing = Some(Fencing { since, warned: false, taken });
    }

    fn older_than(&self, epoch: Epoch) -> Vec<ProcessId> {
        let older =
            self.processes.iter().filter(|(_, process)| process.life.is_live() && process.intent.epoch() < epoch);
        older.map(|(id, _)| *id).collect()
    }

    /// Closes the fence when nothing older lives. What the keeper knows has to be known here first.
    pub(super) fn advance_fence(&mut self) {
        if self.fencing.is_none() || !self.keeping.ready {
            return;
        }
        let epoch = self.fence.epoch();
        let left = self.older_than(epoch);
        if !left.is_empty() {
            self.warn_of_fence(left.len());
            return;
        }
        self.changed = true;
        let before = self.fence.clone();
        self.fence.close();
        if !self.write_fence() {
            self.fence = before;
            return;
        }
        checkout::clear(&self.settings.state);
        tracing::info!(%epoch, "fenced");
        self.reports.say(report::Kind::Fence(FenceDone { epoch: epoch.0 }));
        if let Some(taken) = self.fencing.take().and_then(|fencing| fencing.taken) {
            let _ = taken.send(true);
        }
    }

    fn warn_of_fence(&mut self, left: usize) {
        let Some(fencing) = &mut self.fencing else { return };
        if !fencing.warned && fencing.since.elapsed() > FENCE_WARN {
            fencing.warned = true;
            tracing::error!(
                processes = left,
                "processes of an older epoch can not be ended: the machine has to be rebooted"
            );
        }
    }

    /// The holder's deadline holds even when nobody can say so: cut off, this machine ends what runs, and takes nothing more.
    pub(super) fn enforce_deadline(&mut self) {
        if !self.fence.ends_alone(self.answered.elapsed(), self.connection.clock.now()) {
            return;
        }
        tracing::warn!("the holder's deadline passed and nobody answers: what runs is ended");
        self.fence.acted_alone = true;
        self.write_fence();
        let live = self.live();
        for id in live {
            self.happen(id, Event::Kill("ended: the holder's deadline passed, and no service answers".into()));
        }
    }

    /// A leader answered a heartbeat.
    pub(super) fn heartbeat_answer(
        &mut self,
        owner: Owner,
        term: muster_model::Term,
        answer: &muster_proto::v1::HeartbeatAnswer,
    ) {
        if !self.standing.admits_term(owner, term) {
            self.gate.note(muster_signing::Refused::OldTerm);
            return;
        }
        if owner == Owner::MachineLifecycle {
            self.answered = Instant::now();
            if !answer.hello_again {
                self.hear_deadline(answer.generation.unwrap_or_default().into(), PoolTime(answer.holder_deadline_ns));
            }
        }
        if answer.hello_again {
            self.hello_again(crate::link::HelloTo::Both);
            return;
        }
        let theirs: Position = answer.generation.unwrap_or_default().into();
        if theirs > self.generation_of(owner) {
            self.behind.insert(owner, theirs);
        }
    }

    fn hear_deadline(&mut self, generation: Position, deadline: PoolTime) {
        if self.fence.hear_deadline(generation, deadline) {
            self.write_fence();
        }
    }

    /// Our generation of a service's desired state.
    pub(super) fn generation_of(&self, owner: Owner) -> Position {
        match owner {
            Owner::MachineLifecycle => self.fence.machine_generation(),
            Owner::Scheduler => self.job_generation,
        }
    }
}
