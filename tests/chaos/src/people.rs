//! People who give commands all the while, and remember what they were told.
//!
//! They speak as `muster` does: one id for all attempts of a command, and an answer within a time-out or none. Their connection is
//! harmed like others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use muster_bus::subjects::{self, Service};
use muster_bus::{Access, Authority, Bus, BusOptions, fresh_id};
use muster_model::{CommandId, Position, TriggerNumber};
use muster_proto::v1::{self, RefusalCode, envelope::Body};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::commands::{self, Command};
use crate::facts::{Answer, Given};
use crate::history::History;
use crate::load::{Act, Planned};

/// One attempt is answered within this, or made again.
const ATTEMPT_MAX: Duration = Duration::from_secs(3);
/// A command is given up after this.
const ASKED_MAX: Duration = Duration::from_secs(20);
/// At the end, when nothing is wrong any more, it may take as long as everything may take to settle.
const ENDING_MAX: Duration = Duration::from_secs(60);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// The first connection may take so long.
const CONNECT_MAX: Duration = Duration::from_secs(20);

/// What is remembered.
#[derive(Debug, Default)]
struct Memory {
    given: Vec<Given>,
    made: BTreeMap<u32, (Act, u64)>,
}

/// All people, on one connection.
#[derive(Debug, Clone)]
pub(crate) struct People {
    bus: Bus,
    history: Arc<History>,
    memory: Arc<Mutex<Memory>>,
}

impl People {
    /// Connects.
    ///
    /// # Errors
    /// When the bus can not be reached.
    pub(crate) async fn connect(url: &str, history: Arc<History>) -> anyhow::Result<Self> {
        let mut options = BusOptions::new(url, "cli/chaos", Access::InsecureLocal);
        (options.actor, options.connect_timeout) = ("user:chaos".into(), CONNECT_MAX);
        let bus = Bus::connect(&options).await.context("connect the people")?;
        Ok(Self { bus, history, memory: Arc::default() })
    }

    /// Gives every command of a plan when its time comes, and returns when each has its answer or was given up.
    pub(crate) async fn work(self, plan: Vec<Planned>) {
        let mut asking = JoinSet::new();
        for planned in plan {
            tokio::time::sleep(planned.at.saturating_sub(self.history.now())).await;
            let people = self.clone();
            asking.spawn(async move { people.give(planned).await });
        }
        while asking.join_next().await.is_some() {}
    }

    async fn give(&self, planned: Planned) {
        let made = self.with(|memory| memory.made.iter().map(|(number, (_, made))| (*number, *made)).collect());
        let Some(command) = commands::command(&planned.act, &made) else { return };
        let (answer, body) = self.ask(command, Some(planned.act), ASKED_MAX).await;
        self.history.note(format!("#{} {:?}: {answer:?}", planned.number, planned.act));
        if let Answer::Acknowledged { made: Some(made), .. } = answer {
            self.with(|memory| memory.made.insert(planned.number, (planned.act, made)));
        }
        if let Some(fired) = body.as_ref().and_then(commands::fired) {
            self.publish(fired.clone()).await;
        }
    }

    /// Asks that everything ends. Gives what was not acknowledged, or refused because it had ended.
    pub(crate) async fn end_everything(&self) -> Vec<String> {
        let commands = self.with(|memory| commands::endings(&memory.made));
        let mut unanswered = Vec::new();
        for command in commands {
            let told = format!("{:?}", command.1);
            if self.ask(command, None, ENDING_MAX).await.0 == Answer::Unknown {
                unanswered.push(format!("no answer to {told}"));
            }
        }
        unanswered
    }

    /// Everything that was given, in order.
    pub(crate) fn given(&self) -> Vec<Given> {
        let mut given = self.with(|memory| memory.given.clone());
        given.sort_by_key(|given| given.at);
        given
    }

    fn with<T>(&self, work: impl FnOnce(&mut Memory) -> T) -> T {
        work(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives a command until it is answered or time is up, and remembers what came of it.
    async fn ask(&self, (service, body): Command, act: Option<Act>, limit: Duration) -> (Answer, Option<Body>) {
        let at = self.history.now();
        let id = CommandId(fresh_id());
        let envelope = self.bus.envelope(body, Authority { command: Some(id), ..Authority::default() });
        let (answer, body) = self.answered(service, &envelope, limit).await;
        self.with(|memory| memory.given.push(Given { at, id, act, answer: answer.clone() }));
        (answer, body)
    }

    async fn answered(&self, service: Service, envelope: &v1::Envelope, limit: Duration) -> (Answer, Option<Body>) {
        let subject = subjects::service(service, "command");
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Ok(told) = self.bus.request(&subject, envelope, ATTEMPT_MAX).await {
                let position = Position::new(told.lineage, told.sequence);
                match told.body {
                    Some(Body::Refusal(refusal)) if refusal.code() == RefusalCode::Unavailable => {}
                    Some(Body::Refusal(refusal)) => return (Answer::Refused(refusal.why), None),
                    Some(body) => {
                        let made = commands::made(&body);
                        return (Answer::Acknowledged { position, made }, Some(body));
                    }
                    None => {}
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        (Answer::Unknown, None)
    }

    /// The log never fires: who fired publishes it.
    async fn publish(&self, fired: v1::TriggerFired) {
        let Some(number) = TriggerNumber::new(fired.number) else { return };
        let envelope = self.bus.envelope(Body::EdgeFired(fired), Authority::default());
        if let Err(error) = self.bus.publish(&subjects::trigger_edge(number, None), &envelope).await {
            self.history.note(format!("a firing was not published: {error}"));
        }
    }
}
