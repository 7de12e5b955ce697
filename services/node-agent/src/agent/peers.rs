//! Words between the members of a gang, from agent to agent. They are carried and not kept: who says them says them again until
//! they are answered. Such a command comes from another agent and moves nothing but words, to a live process whose gang names
//! their sender.

use std::time::Duration;

use muster_bus::subjects;
use muster_model::{Attempt, ProcessId, Term};
use muster_module_protocol::{AgentMessage, PEER_WORDS_MAX_BYTES};
use muster_proto::v1::{AgentCommand, AgentRefusal, AgentReply, PeerWord, agent_command, envelope::Body};

use super::commands::refuse;
use super::{Agent, Input};
use crate::core::gang::agent_of_source;
use crate::core::words::{Fate, Heard, Pair};

/// The other agent answers within this, or is asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

impl Agent {
    /// A process says something to members of its gang.
    pub(super) fn peer_said(&mut self, from: ProcessId, role: &str, data: &str) {
        if data.len() > PEER_WORDS_MAX_BYTES {
            tracing::warn!(process = %from, bytes = data.len(), "words to a gang are too long: they are not carried");
            return;
        }
        let now = self.now();
        let gang = self.processes.get(&from).and_then(|process| process.gang.as_ref());
        let to: Vec<ProcessId> =
            gang.iter().flat_map(|gang| gang.addressed(from, role)).map(|member| member.id).collect();
        if to.is_empty() {
            tracing::debug!(process = %from, role, "words to a gang have nobody to go to");
        }
        for to in to {
            // The same pair, whatever attempt the receiver is in.
            let to = ProcessId { attempt: Attempt::default(), ..to };
            if !self.outgoing.say(Pair { from, to }, data.to_owned(), now) {
                tracing::warn!(process = %from, "words to a gang are lost: too many are on their way");
            }
        }
    }

    /// Sends what is due. Words to a process of this machine arrive at once, by the same rules.
    pub(super) fn carry(&mut self) {
        let now = self.now();
        for (pair, data) in self.outgoing.take_due(now) {
            let gang = self.processes.get(&pair.from).and_then(|process| process.gang.as_ref());
            let machine = gang.and_then(|gang| gang.member(pair.to)).map(|member| member.machine.clone());
            match machine {
                None => self.carried(pair, Fate::Never),
                Some(machine) if machine == self.settings.machine => {
                    let fate = if self.hear(machine.as_str(), pair, data) { Fate::Taken } else { Fate::NotYet };
                    self.carried(pair, fate);
                }
                Some(machine) => {
                    let word = PeerWord { from: Some(pair.from.into()), to: Some(pair.to.into()), data };
                    self.ask_agent(subjects::command(&machine, "peer"), pair, word);
                }
            }
        }
    }

    fn ask_agent(&self, subject: String, pair: Pair, word: PeerWord) {
        let body = Body::AgentCommand(AgentCommand { kind: Some(agent_command::Kind::Peer(word)) });
        let envelope = self.connection.envelope(body, self.identity());
        let (connection, inputs) = (self.connection.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let ask = async { connection.bus().await.request(&subject, &envelope, ANSWER_TIMEOUT).await };
            let fate = match tokio::time::timeout(ANSWER_TIMEOUT, ask).await {
                Ok(Ok(answer)) => fate(answer.body),
                Ok(Err(_)) | Err(_) => Fate::NotYet,
            };
            // It fails only when the agent ends.
            let _ = inputs.send(Input::Carried { pair, fate }).await;
        });
    }

    /// What became of words that were sent.
    pub(super) fn carried(&mut self, pair: Pair, fate: Fate) {
        if let Some(tried) = self.outgoing.answered(pair, fate, self.now()) {
            tracing::warn!(process = %pair.from, to = %pair.to.dpid, tried_ms = tried.as_millis(), "words to a gang were not taken");
        }
    }

    /// Another agent brings words.
    pub(super) fn peer_command(&mut self, source: &str, term: Term, word: PeerWord) -> AgentReply {
        let Some(machine) = agent_of_source(source).filter(|_| term == Term::default()) else {
            return refuse(AgentRefusal::Invalid, "only agents carry words between processes");
        };
        if word.data.len() > PEER_WORDS_MAX_BYTES {
            return refuse(AgentRefusal::Invalid, "the words are too long");
        }
        let (Some(from), Some(to)) = (word.from, word.to) else {
            return refuse(AgentRefusal::Invalid, "it does not say from whom, or to whom");
        };
        if self.hear(machine, Pair { from: from.into(), to: to.into() }, word.data) {
            AgentReply::default()
        } else {
            let detail = "nobody lives here who knows the sender and takes its words now";
            refuse(AgentRefusal::NoMember, detail)
        }
    }

    /// Hands words to the process that they go to, or keeps them until it is connected; false when it does not live here, does not
    /// know the sender, or takes no more now.
    fn hear(&mut self, machine: &str, pair: Pair, data: String) -> bool {
        let attempts =
            ProcessId { attempt: Attempt(0), ..pair.to }..=ProcessId { attempt: Attempt(u32::MAX), ..pair.to };
        let live = self.processes.range_mut(attempts).rev().find(|(_, process)| process.life.is_live());
        let Some((_, process)) = live else { return false };
        let Some(sender) = process.gang.as_ref().and_then(|gang| gang.sender(pair.from, machine)) else {
            return false;
        };
        let heard = Heard { from: pair.from, role: sender.role.clone(), data };
        match process.connection {
            Some(connection) => self.sockets.say(connection, &message(heard)),
            None => {
                process.waiting.keep(heard);
                true
            }
        }
    }

    /// A process is connected: what waited for it is said.
    pub(super) fn say_waiting(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        if let Some(connection) = process.connection {
            for heard in process.waiting.take() {
                // The connection is new, and has room for more than waits.
                self.sockets.say(connection, &message(heard));
            }
        }
    }
}

fn message(heard: Heard) -> AgentMessage {
    AgentMessage::Peer { from: heard.role, dpid: heard.from.dpid.to_string(), data: heard.data }
}

/// What an agent's answer says of words that were sent to it.
fn fate(answer: Option<Body>) -> Fate {
    match answer {
        Some(Body::AgentReply(reply)) => match reply.refusal() {
            AgentRefusal::Unspecified => Fate::Taken,
            AgentRefusal::Invalid => Fate::Never,
            _ => Fate::NotYet,
        },
        _ => Fate::NotYet,
    }
}
