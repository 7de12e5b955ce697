//! Commands: who may give them, and their answers. A command without the present authority has no effect.

use std::fs::File;

use muster_model::{Epoch, Incarnation, Position, ProcessId, Term};
use muster_proto::v1::{
    AgentCommand, AgentRefusal, AgentReply, Envelope, ErrorReport, KnownProcess, MachineDesired, ReadLog, UpdateJobs,
    agent_command, envelope::Body, report,
};
use muster_signing::Refused;

use super::Agent;
use crate::core::authority::{Denied, Fit, Given, Owner, fit};
use crate::core::orders::Way;
use crate::gate::Heard;
use crate::link::HelloTo;
use crate::{beneath, logs, metrics, wire, workplace};

impl Agent {
    /// Takes a command and answers it, once what it changed is on the disk.
    pub(super) fn command(&mut self, heard: Heard) {
        let Heard { inbound, admitted } = heard;
        let reply_to = inbound.reply.clone();
        if let Err(refused) = admitted {
            return self.answer(reply_to, refuse(AgentRefusal::NotSigned, refused.why()));
        }
        let envelope = match inbound.envelope {
            Ok(envelope) => envelope,
            Err(error) => return self.answer(reply_to, refuse(AgentRefusal::Invalid, &error)),
        };
        let given = Given {
            term: Term(envelope.term),
            epoch: Epoch(envelope.epoch),
            incarnation: Incarnation(envelope.incarnation),
        };
        let kind = match envelope.body {
            Some(Body::AgentCommand(AgentCommand { kind: Some(kind) })) => kind,
            _ => return self.answer(reply_to, refuse(AgentRefusal::Invalid, "it is no command that this agent knows")),
        };
        match kind {
            agent_command::Kind::UpdateJobs(update) => {
                let reply = self.admitted(Owner::Scheduler, given).unwrap_or_else(|| self.update_jobs(&update));
                self.answer(reply_to, AgentReply { generation: Some(self.job_generation.into()), ..reply });
            }
            agent_command::Kind::Machine(desired) => {
                let reply =
                    self.admitted(Owner::MachineLifecycle, given).unwrap_or_else(|| self.machine_command(&desired));
                self.answer(reply_to, AgentReply { generation: Some(self.fence.machine_generation().into()), ..reply });
            }
            agent_command::Kind::ListKnown(_) => {
                let processes = self.known_processes();
                let (generation, last_batch) = (Some(self.job_generation.into()), self.reports.last_batch());
                self.answer(reply_to, AgentReply { processes, generation, last_batch, ..AgentReply::default() });
            }
            agent_command::Kind::ReadLog(read) => self.read_log(reply_to, &read),
            agent_command::Kind::Install(order) => {
                let denied = self.admitted(Owner::MachineLifecycle, given);
                let reply = denied.unwrap_or_else(|| self.install_kernel(&order));
                self.answer(reply_to, reply);
            }
            agent_command::Kind::Reboot(order) => {
                let denied = self.admitted(Owner::MachineLifecycle, given);
                let reply = denied.unwrap_or_else(|| self.reboot_machine(&order));
                self.answer(reply_to, reply);
            }
            agent_command::Kind::Prepare(order) => {
                let denied = self.admitted(Owner::MachineLifecycle, given);
                let reply = denied.unwrap_or_else(|| self.prepare_resource(&order));
                self.answer(reply_to, reply);
            }
            agent_command::Kind::Clock(_) => {
                let reply = self.clock_command(&envelope.source, given.term);
                self.answer(reply_to, reply);
            }
            agent_command::Kind::Peer(word) => {
                let reply = self.peer_command(&envelope.source, given.term, word);
                self.answer(reply_to, reply);
            }
        }
    }

    /// None when the command may act; else its refusal. A higher term is on the disk before anything is done under it.
    fn admitted(&mut self, owner: Owner, given: Given) -> Option<AgentReply> {
        if let Err(denied) = self.standing.admit(owner, given) {
            ::metrics::counter!(metrics::DENIED).increment(1);
            self.gate.note(match denied {
                Denied::OldIncarnation => Refused::OldIncarnation,
                Denied::OldTerm => Refused::OldTerm,
                Denied::OldEpoch | Denied::UnknownEpoch => Refused::OtherEpoch,
            });
            tracing::warn!(service = owner.as_str(), ?denied, term = %given.term, epoch = %given.epoch, "a command has no effect");
            if denied == Denied::UnknownEpoch {
                self.hello_again(HelloTo::Both);
            }
            return Some(match denied {
                Denied::OldIncarnation => {
                    refuse(AgentRefusal::OldIncarnation, "another life of this agent is addressed")
                }
                Denied::OldTerm => refuse(AgentRefusal::OldTerm, "a later leader has spoken"),
                Denied::OldEpoch => refuse(AgentRefusal::OldEpoch, "the machine has changed hands since"),
                Denied::UnknownEpoch => refuse(AgentRefusal::Draining, "its epoch is not known here yet"),
            });
        }
        if !self.heard_term(owner, given.term) {
            return Some(refuse(AgentRefusal::Invalid, "the fence can not be written to the disk"));
        }
        None
    }

    /// Takes note of a term; false when it could not be written.
    pub(super) fn heard_term(&mut self, owner: Owner, term: Term) -> bool {
        if !self.fence.raise_term(owner, term) {
            return true;
        }
        self.standing.terms = self.fence.terms();
        self.write_fence()
    }

    fn update_jobs(&mut self, update: &UpdateJobs) -> AgentReply {
        let builds_on: Position = update.builds_on.unwrap_or_default().into();
        let generation: Position = update.generation.unwrap_or_default().into();
        match fit(self.job_generation, builds_on, generation) {
            // The same generation may still carry strays and what is to be forgotten.
            Fit::Repeated if generation < self.job_generation => {
                self.gate.note(Refused::OldGeneration);
                AgentReply::default()
            }
            Fit::Next | Fit::Repeated => match self.take_arms(&update.arms) {
                Ok(()) => {
                    self.take_pulses(&update.pulses);
                    self.take_orders(&update.jobs, &update.forget, generation, Way::Update)
                }
                Err(error) => refuse(AgentRefusal::Invalid, &format!("arms can not be written to the disk: {error}")),
            },
            Fit::Gap => {
                self.hello_again(HelloTo::Scheduler);
                refuse(AgentRefusal::OtherGeneration, "something between is missing: the whole is being fetched")
            }
        }
    }

    fn machine_command(&mut self, desired: &MachineDesired) -> AgentReply {
        if self.fence.knows_newer(desired) {
            self.gate.note(Refused::OldGeneration);
            return AgentReply::default();
        }
        if self.take_machine_desired(desired, None) {
            AgentReply::default()
        } else {
            refuse(AgentRefusal::Invalid, "the fence can not be written to the disk")
        }
    }

    /// Every process that has an intent and is not forgotten, as the batches on the disk have it: what waits is written first, and
    /// an end that the disk does not take is not said yet.
    pub(super) fn known_processes(&mut self) -> Vec<KnownProcess> {
        self.keep_done();
        if self.reports.flush(self.identity()) {
            self.note_ended();
        }
        let known = |(id, process): (&ProcessId, &super::Process)| {
            let is_written = self.ended.iter().all(|(ended, _)| ended != id);
            wire::known(
                *id,
                process.intent.epoch(),
                &process.life,
                process.end.as_ref().filter(|_| is_written),
                process.pid,
            )
        };
        self.processes.iter().map(known).collect()
    }

    fn read_log(&mut self, reply_to: Option<String>, read: &ReadLog) {
        let (path, file, complete) = match read.id {
            Some(id) => {
                let id: ProcessId = id.into();
                let complete = self.processes.get(&id).is_none_or(|process| !process.life.is_live());
                let path = workplace::log_of(&self.settings.state, id);
                let file = beneath::open_log(&path);
                (path, file, complete)
            }
            None => match &self.settings.log_file {
                Some(path) => (path.clone(), File::open(path), false),
                None => {
                    return self.answer(
                        reply_to,
                        refuse(AgentRefusal::Invalid, "this agent's log goes to no file that it knows"),
                    );
                }
            },
        };
        let part = file.and_then(|file| logs::read_part(file, read.from, read.limit, complete));
        let reply = match part {
            Ok(log) => AgentReply { log: Some(log), ..AgentReply::default() },
            Err(error) => refuse(AgentRefusal::Invalid, &format!("read {}: {error}", path.display())),
        };
        self.answer(reply_to, reply);
    }

    /// Says what was refused because nobody who may command this machine has signed it, now and then.
    pub(super) fn say_refused(&mut self) {
        if let Some(message) = self.gate.trouble() {
            tracing::warn!(message, "forged messages count for nothing");
            self.reports.say(report::Kind::Error(ErrorReport { id: None, message }));
        }
    }

    fn answer(&self, reply_to: Option<String>, reply: AgentReply) {
        if let Some(subject) = reply_to {
            let envelope: Envelope = self.connection.envelope(Body::AgentReply(reply), self.identity());
            self.publisher.publish(subject, envelope);
        }
    }
}

pub(super) fn refuse(refusal: AgentRefusal, detail: &str) -> AgentReply {
    AgentReply { refusal: refusal.into(), detail: detail.into(), ..AgentReply::default() }
}
