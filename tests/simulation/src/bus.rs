//! The bus between the parts: what is said is lost, repeated, late or delivered.

use muster_proto::v1;

use crate::agent::Owner;
use crate::service::{Out, Stream};
use crate::world::{Happening, Phase, World, index};

/// Something on its way.
#[derive(Clone)]
pub(crate) enum Letter {
    Command { to: Stream, user: usize, envelope: v1::Envelope },
    Answer { user: usize, envelope: v1::Envelope },
    Hello { to: Owner, machine: usize, number: u64, envelope: v1::Envelope },
    HelloAnswer { from: Owner, machine: usize, number: u64, envelope: v1::Envelope },
    Heartbeat { to: Owner, machine: usize, envelope: v1::Envelope },
    HeartbeatAnswer { from: Owner, machine: usize, envelope: v1::Envelope },
    Reports { machine: usize, batch: u64, envelope: v1::Envelope },
    Stored { machine: usize, batch: u64 },
    Order { from: Owner, machine: usize, key: String, life: u64, envelope: v1::Envelope },
    OrderAnswer { to: Owner, machine: usize, key: String, life: u64, reply: v1::AgentReply },
}

impl World {
    /// Puts a letter on its way: lost, repeated, late, or simply delivered.
    pub(crate) fn send(&mut self, letter: Letter) {
        let is_rough = self.phase == Phase::Faults;
        let copies = match self.random.below(1000) {
            0..40 if is_rough => 0,
            40..80 if is_rough => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let late = is_rough && self.random.happens(40);
            let delay = if late { self.random.millis(50, 12_000) } else { self.random.millis(1, 30) };
            self.after(delay, Happening::Letter(Box::new(letter.clone())));
        }
    }

    pub(crate) fn say(&mut self, stream: Stream, out: Vec<Out>) {
        let from = if stream == Stream::Machines { Owner::MachineLifecycle } else { Owner::Scheduler };
        for out in out {
            self.send(match out {
                Out::User { user, envelope } => Letter::Answer { user, envelope },
                Out::HelloAnswer { machine, number, envelope } => {
                    Letter::HelloAnswer { from, machine: index(&machine), number, envelope }
                }
                Out::HeartbeatAnswer { machine, envelope } => {
                    Letter::HeartbeatAnswer { from, machine: index(&machine), envelope }
                }
                Out::Order { machine, key, life, envelope } => {
                    Letter::Order { from, machine: index(&machine), key, life, envelope }
                }
            });
        }
    }

    pub(crate) fn deliver(&mut self, letter: Letter) {
        if letter.machine().is_some_and(|machine| self.now < self.cut_until[machine]) {
            return;
        }
        match letter {
            Letter::Command { to, user, envelope } => self.command(to, user, &envelope),
            Letter::Answer { user, envelope } => {
                if self.users[user].asked_id() == Some(envelope.cmd_id.as_ref()) {
                    self.users[user].answered(&envelope);
                }
            }
            Letter::Hello { to, machine, number, envelope } => {
                let name = self.agents[machine].name();
                match to {
                    Owner::MachineLifecycle => self.machines.greeted(&name, number, &envelope, self.now),
                    Owner::Scheduler => self.jobs.greeted(&name, number, &envelope, self.now),
                }
                self.stir(to.log());
            }
            Letter::HelloAnswer { from, machine, number, envelope } => {
                self.with_agent(machine, |agent, ports| agent.answered(number, from, &envelope, ports));
                self.stir_agent(machine);
            }
            Letter::Heartbeat { to, machine, envelope } => self.heartbeat(to, machine, &envelope),
            Letter::HeartbeatAnswer { from, machine, envelope } => {
                self.with_agent(machine, |agent, ports| agent.heartbeat_answered(from, &envelope, ports));
                self.hasten_agent(machine);
            }
            Letter::Reports { machine, batch, envelope } => {
                self.streams.store_report(self.now, &self.agents[machine].name(), &envelope);
                self.appended(Stream::Reports);
                self.send(Letter::Stored { machine, batch });
            }
            Letter::Stored { machine, batch } => {
                self.agents[machine].acknowledged(batch);
                self.stir_agent(machine);
            }
            Letter::Order { from, machine, key, life, envelope } => {
                let mut reply = None;
                self.with_agent(machine, |agent, ports| reply = agent.command(from, &envelope, ports));
                self.stir_agent(machine);
                if let Some(reply) = reply {
                    self.send(Letter::OrderAnswer { to: from, machine, key, life, reply });
                }
            }
            Letter::OrderAnswer { to: Owner::MachineLifecycle, key, life, reply, .. } => {
                self.machines.answered(&key, life, &reply, self.now);
                self.stir(Stream::Machines);
            }
            Letter::OrderAnswer { to: Owner::Scheduler, key, life, reply, .. } => {
                self.jobs.answered(&key, life, &reply, self.now);
                self.stir(Stream::Jobs);
            }
        }
    }

    fn command(&mut self, to: Stream, user: usize, envelope: &v1::Envelope) {
        let mut out = Vec::new();
        match to {
            Stream::Reservations => self.reservations.commanded(user, envelope, self.now, &mut out),
            Stream::Machines => self.machines.commanded(user, envelope, self.now, &mut out),
            Stream::Jobs => self.jobs.commanded(user, envelope, self.now, &mut out),
            Stream::Reports => {}
        }
        self.say(to, out);
        self.stir(to);
    }

    fn heartbeat(&mut self, to: Owner, machine: usize, envelope: &v1::Envelope) {
        let name = self.agents[machine].name();
        let mut out = Vec::new();
        match to {
            Owner::MachineLifecycle => self.machines.heard(&name, envelope, self.now, &mut out),
            Owner::Scheduler => self.jobs.heard(&name, envelope, self.now, &mut out),
        }
        self.say(to.log(), out);
    }
}

impl Letter {
    /// The machine whose connection it needs.
    fn machine(&self) -> Option<usize> {
        match self {
            Self::Command { .. } | Self::Answer { .. } => None,
            Self::Hello { machine, .. }
            | Self::HelloAnswer { machine, .. }
            | Self::Heartbeat { machine, .. }
            | Self::HeartbeatAnswer { machine, .. }
            | Self::Reports { machine, .. }
            | Self::Stored { machine, .. }
            | Self::Order { machine, .. }
            | Self::OrderAnswer { machine, .. } => Some(*machine),
        }
    }
}
