//! What is said in a hello, and what its answers change.

use muster_model::Position;
use muster_proto::v1::{Hello, Inventory, envelope::Body, hello_answer};

use muster_signing::Refused;

use super::Agent;
use crate::core::authority::Owner;
use crate::core::orders::Way;
use crate::link::{HelloTo, LinkInput};

impl Agent {
    pub(super) fn link(&mut self, input: LinkInput) {
        match input {
            LinkInput::Words { owner, answer } => {
                let words = self.hello_words(owner);
                let envelope = self.connection.envelope(Body::Hello(words), self.identity());
                // It fails when the link has given up waiting.
                let _ = answer.send(envelope);
            }
            LinkInput::Answered { owner, term, kind, taken } => {
                if !self.standing.admits_term(owner, term) || !self.heard_term(owner, term) {
                    self.gate.note(Refused::OldTerm);
                    let _ = taken.send(false);
                    return;
                }
                self.hello_answered(owner, *kind, taken);
            }
            LinkInput::Down => self.behind.clear(),
        }
    }

    fn hello_words(&mut self, owner: Owner) -> Hello {
        let to_machine_lifecycle = owner == Owner::MachineLifecycle;
        let processes = if to_machine_lifecycle { Vec::new() } else { self.known_processes() };
        if !to_machine_lifecycle {
            self.keeping.unbegun.values_mut().for_each(|said| *said = true);
        }
        Hello {
            machine: self.settings.machine.to_string(),
            agent_version: env!("CARGO_PKG_VERSION").into(),
            boot_id: self.inventory.boot_id.clone(),
            fenced_epoch: self.fence.fenced_epoch().0,
            last_incarnation: self.fence.incarnation().0,
            inventory: to_machine_lifecycle.then(|| Inventory::clone(&self.inventory)),
            command_line: if to_machine_lifecycle { crate::probe::command_line() } else { String::new() },
            processes,
            last_batch: self.reports.last_batch(),
            // A clock that never heard the pool's time says nothing of it.
            announced: if to_machine_lifecycle { self.announced_absence() } else { None },
            pool_time_ns: self.connection.clock.error().map_or(0, |_| self.connection.clock.now().0),
        }
    }

    fn hello_answered(&mut self, owner: Owner, kind: hello_answer::Kind, taken: tokio::sync::oneshot::Sender<bool>) {
        match (owner, kind) {
            (Owner::MachineLifecycle, hello_answer::Kind::Machine(desired)) => {
                self.answered = std::time::Instant::now();
                self.take_machine_desired(&desired, Some(taken));
            }
            (Owner::Scheduler, hello_answer::Kind::Job(desired)) => {
                let generation: Position = desired.generation.unwrap_or_default().into();
                if let Err(error) = self.take_arms(&desired.arms) {
                    tracing::error!(%error, "arms can not be written to the disk");
                    let _ = taken.send(false);
                    return;
                }
                self.take_pulses(&desired.pulses);
                let reply = self.take_orders(&desired.jobs, &desired.forget, generation, Way::Hello);
                if reply.refusal == 0 {
                    self.forget_unbegun();
                }
                let _ = taken.send(reply.refusal == 0);
            }
            (owner, _) => {
                tracing::warn!(service = owner.as_str(), "hello was answered by what another service says");
                let _ = taken.send(false);
            }
        }
    }

    /// Asks the link to say hello again; several wishes are one.
    pub(super) fn hello_again(&self, to: HelloTo) {
        let _ = self.again.try_send(to);
    }
}
