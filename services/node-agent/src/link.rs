//! Hello: to machine-lifecycle first, then to the scheduler, after every connection and whenever one of them asks for it. Nothing
//! else is said before both are answered and the epoch is fenced.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use muster_bus::{Answer, Bus, subjects};
use muster_proto::v1::{Envelope, HelloAnswer, RefusalCode, envelope::Body, hello_answer};
use tokio::sync::{mpsc, oneshot, watch};

use crate::agent::Input;
use crate::connection::Connection;
use crate::core::authority::Owner;
use crate::gate::Gate;

/// An answer is waited for so long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Least pause before hello is said again to who did not answer.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// Greatest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often the connection is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// A fence is waited for so long before the scheduler is asked in spite of it: what can not be killed is machine-lifecycle's case.
const FENCE_TIMEOUT: Duration = Duration::from_secs(12);

/// To whom hello is to be said again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HelloTo {
    /// To both, from the beginning.
    Both,
    /// To the scheduler alone.
    Scheduler,
}

/// What came of saying hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Greeting {
    /// It is answered, and the answer is taken.
    Taken,
    /// It is to be said again, in the same words.
    Again,
    /// It is to be said from the beginning: another incarnation was granted than the one that speaks. A hello that was held back on an
    /// older connection does that, when it arrives behind the one that was answered.
    Anew,
}

/// What the link asks the agent.
#[derive(Debug)]
pub(crate) enum LinkInput {
    /// What is to be said in a hello.
    Words {
        /// To whom.
        owner: Owner,
        /// Where to answer.
        answer: oneshot::Sender<Envelope>,
    },
    /// What was answered. The agent says `taken` once it is on the disk and acted upon; a fence may take its time.
    Answered {
        /// By whom, with term.
        owner: Owner,
        /// The answer's envelope, without its body.
        term: muster_model::Term,
        /// The answer.
        kind: Box<hello_answer::Kind>,
        /// Where to say so; false when the answer was refused.
        taken: oneshot::Sender<bool>,
    },
    /// There is a connection, and hello is to be said: nothing is current until then.
    Down,
}

/// Says hello for as long as the agent lives, and hears commands.
pub(crate) fn start(
    connection: Connection,
    gate: Gate,
    inputs: mpsc::Sender<Input>,
    again: mpsc::Receiver<HelloTo>,
    up: watch::Sender<bool>,
) {
    tokio::spawn(async move {
        let bus = connection.bus().await;
        hear_commands(&connection, &bus, &gate, &inputs).await;
        let link = Link { connection, bus, gate, inputs, up };
        link.run(again).await;
    });
}

/// Subscribes before the first hello, so that nothing that follows from it is missed. The client renews it after every reconnect.
async fn hear_commands(connection: &Connection, bus: &Bus, gate: &Gate, inputs: &mpsc::Sender<Input>) {
    let subject = subjects::commands_of(&connection.machine);
    loop {
        match bus.subscribe(&subject, None).await {
            Ok(mut commands) => {
                let (gate, inputs) = (gate.clone(), inputs.clone());
                tokio::spawn(async move {
                    while let Some(command) = commands.next().await {
                        if inputs.send(Input::Command(Box::new(gate.command(command)))).await.is_err() {
                            return;
                        }
                    }
                });
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "commands can not be heard: trying again");
                tokio::time::sleep(PAUSE_MAX).await;
            }
        }
    }
}

struct Link {
    connection: Connection,
    bus: Bus,
    gate: Gate,
    inputs: mpsc::Sender<Input>,
    up: watch::Sender<bool>,
}

impl Link {
    async fn run(&self, mut again: mpsc::Receiver<HelloTo>) {
        let mut greeted = None;
        loop {
            let wanted = tokio::select! {
                () = self.connection_to_greet(greeted) => HelloTo::Both,
                wanted = again.recv() => match wanted {
                    Some(wanted) => wanted,
                    None => return,
                },
            };
            let wanted = drain(&mut again, wanted);
            let connection = self.bus.connections();
            if wanted == HelloTo::Both {
                self.up.send_replace(false);
                if self.inputs.send(Input::Link(LinkInput::Down)).await.is_err() {
                    return;
                }
                if !self.greet(Owner::MachineLifecycle, connection).await {
                    continue;
                }
            }
            if self.greet(Owner::Scheduler, connection).await {
                greeted = Some(connection);
                if !self.up.send_replace(true) {
                    tracing::info!(connection, "hello is done");
                    muster_chassis::set_ready(true);
                }
            } else {
                greeted = None;
            }
        }
    }

    /// Returns when there is a connection that no hello was said on. It is counted a moment after it is made.
    async fn connection_to_greet(&self, greeted: Option<u64>) {
        while !self.bus.is_connected() || self.bus.connections() == 0 || greeted == Some(self.bus.connections()) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Says hello until it is answered and the answer is taken; false when the connection is not the same any more, or all of it is to
    /// be said anew.
    async fn greet(&self, owner: Owner, connection: u64) -> bool {
        let mut pause = PAUSE_MIN;
        loop {
            if !self.bus.is_connected() || self.bus.connections() != connection {
                return false;
            }
            let greeting = self.greet_once(owner).await;
            if greeting == Greeting::Taken {
                return true;
            }
            tokio::time::sleep(pause).await;
            if greeting == Greeting::Anew {
                return false;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn greet_once(&self, owner: Owner) -> Greeting {
        let (answer, words) = oneshot::channel();
        if self.inputs.send(Input::Link(LinkInput::Words { owner, answer })).await.is_err() {
            return Greeting::Again;
        }
        let Ok(words) = words.await else { return Greeting::Again };
        let subject = subjects::hello(&self.connection.machine, service_of(owner));
        match self.bus.request_whole(&subject, &words, ANSWER_TIMEOUT).await {
            Ok(answer) => self.answered(owner, &words.id, answer).await,
            Err(error) => {
                tracing::debug!(%error, service = owner.as_str(), "hello was not answered");
                Greeting::Again
            }
        }
    }

    async fn answered(&self, owner: Owner, question: &Bytes, answer: Answer) -> Greeting {
        if let Err(refused) = self.gate.answer(owner, question, &answer) {
            tracing::debug!(service = owner.as_str(), why = refused.why(), "an answer to hello counts for nothing");
            return Greeting::Again;
        }
        let envelope = answer.envelope;
        let term = muster_model::Term(envelope.term);
        let kind = match envelope.body {
            Some(Body::HelloAnswer(HelloAnswer { kind: Some(kind) })) => Box::new(kind),
            Some(Body::Refusal(refusal)) if refusal.code() == RefusalCode::Unavailable => {
                tracing::debug!(service = owner.as_str(), why = refusal.why, "hello can not be taken yet");
                return Greeting::Again;
            }
            Some(Body::Refusal(refusal)) => {
                tracing::warn!(service = owner.as_str(), why = refusal.why, next = refusal.next, "hello was refused");
                // machine-lifecycle has nobody before it to begin with.
                return if owner == Owner::Scheduler { Greeting::Anew } else { Greeting::Again };
            }
            _ => return Greeting::Again,
        };
        let (taken, done) = oneshot::channel();
        let input = Input::Link(LinkInput::Answered { owner, term, kind, taken });
        if self.inputs.send(input).await.is_err() {
            return Greeting::Again;
        }
        match tokio::time::timeout(FENCE_TIMEOUT, done).await {
            Ok(Ok(true)) => Greeting::Taken,
            Ok(Ok(false) | Err(_)) => Greeting::Again,
            Err(_) => {
                tracing::error!("processes of an older epoch can not be ended: the machine has to be rebooted");
                Greeting::Taken
            }
        }
    }
}

/// Several wishes at once are one.
fn drain(again: &mut mpsc::Receiver<HelloTo>, first: HelloTo) -> HelloTo {
    let mut wanted = first;
    while let Ok(next) = again.try_recv() {
        if next == HelloTo::Both {
            wanted = next;
        }
    }
    wanted
}

fn service_of(owner: Owner) -> subjects::Service {
    match owner {
        Owner::MachineLifecycle => subjects::Service::MachineLifecycle,
        Owner::Scheduler => subjects::Service::Scheduler,
    }
}
