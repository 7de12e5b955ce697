//! Heartbeats: once a second while there is a connection and hello is done. Every fifth asks for answers: the pool's time, whether
//! to say hello again, the holder's deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use muster_bus::{Answer, Inbound, subjects};
use muster_model::{PoolTime, Term};
use muster_proto::v1::{Heartbeat, HeartbeatAnswer, envelope::Body};
use tokio::sync::{mpsc, watch};

use crate::agent::Input;
use crate::connection::{Connection, Identity};
use crate::core::authority::Owner;
use crate::gate::{self, Gate};

/// Heartbeats are this far apart.
const INTERVAL: Duration = Duration::from_secs(1);
/// Each of so many asks for an answer.
const ANSWER_EVERY: u64 = 5;
/// Heartbeats whose answers may still come.
const ASKED_MAX: usize = 8;

/// What heartbeats say, as the agent knows it now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    /// Everything but number and times.
    pub heartbeat: Heartbeat,
    /// Who says it.
    pub identity: Identity,
}

/// A heartbeat that asked for answers.
#[derive(Debug)]
struct Asked {
    at: Instant,
    /// Id of its message.
    id: Bytes,
    /// Answers that were taken, by service, term and number.
    taken: BTreeSet<(Owner, Term, u64)>,
}

/// Says heartbeats for as long as the agent lives. `up` is true while hello is done and not to be said again.
pub(crate) fn start(
    (connection, gate): (Connection, Gate),
    said: watch::Receiver<Said>,
    up: watch::Receiver<bool>,
    inputs: mpsc::Sender<Input>,
) {
    tokio::spawn(async move {
        loop {
            if let Err(error) = beat((&connection, &gate), &said, &up, &inputs).await {
                tracing::warn!(%error, "heartbeats could not be said: trying again");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    });
}

async fn beat(
    (connection, gate): (&Connection, &Gate),
    said: &watch::Receiver<Said>,
    up: &watch::Receiver<bool>,
    inputs: &mpsc::Sender<Input>,
) -> Result<(), muster_bus::BusError> {
    let bus = connection.bus().await;
    let inbox = bus.new_inbox();
    let mut answers = bus.subscribe(&inbox, None).await?;
    let subject = subjects::heartbeat(&connection.machine);
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut asked: BTreeMap<u64, Asked> = BTreeMap::new();
    let mut number = 0;
    loop {
        tokio::select! {
            answer = answers.next() => match answer {
                Some(answer) => take_answer((connection, gate), &mut asked, answer, inputs).await,
                None => return Ok(()),
            },
            _ = interval.tick() => {
                // Without a connection a heartbeat would be kept, and said when it is no longer true.
                if !*up.borrow() || !bus.is_connected() {
                    continue;
                }
                let envelope = { let said = said.borrow(); envelope(connection, &said, number, gate.refused()) };
                if number % ANSWER_EVERY == 0 {
                    let (at, id) = (Instant::now(), envelope.id.clone());
                    asked.insert(number, Asked { at, id, taken: BTreeSet::new() });
                    if asked.len() > ASKED_MAX {
                        asked.pop_first();
                    }
                    bus.publish_with_reply(&subject, &inbox, &envelope).await?;
                } else {
                    bus.publish(&subject, &envelope).await?;
                }
                number += 1;
            }
        }
    }
}

fn envelope(connection: &Connection, said: &Said, number: u64, messages_refused: u64) -> muster_proto::v1::Envelope {
    let error = connection.clock.error();
    let nanoseconds = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    let heartbeat = Heartbeat {
        number,
        pool_time_ns: error.map_or(0, |_| connection.clock.now().0),
        clock_error_ns: error.map_or(0, nanoseconds),
        load_milli: crate::probe::load_milli(),
        messages_refused,
        ..said.heartbeat.clone()
    };
    connection.envelope(Body::Heartbeat(heartbeat), said.identity)
}

async fn take_answer(
    (connection, gate): (&Connection, &Gate),
    asked: &mut BTreeMap<u64, Asked>,
    inbound: Inbound,
    inputs: &mpsc::Sender<Input>,
) {
    let Ok(envelope) = inbound.envelope else { return };
    let Some(owner) = Owner::of_source(&envelope.source) else { return };
    let term = Term(envelope.term);
    let Some(Body::HeartbeatAnswer(said)) = envelope.body.clone() else { return };
    let asked = asked.get_mut(&said.number);
    let admitted = match &asked {
        Some(asked) => gate.answer(owner, &asked.id, &Answer { envelope: envelope.clone(), payload: inbound.payload }),
        None => gate.stray(),
    };
    if let Some(asked) = asked
        && admitted.is_ok()
    {
        if gate.once(asked.taken.insert((owner, term, gate::number(&envelope)))).is_err() {
            return;
        }
        if owner == Owner::Scheduler {
            observe(connection, &said, asked.at.elapsed());
        }
    }
    if admitted.is_ok() {
        // It fails only when the agent ends.
        let _ = inputs.send(Input::Answer { owner, term, answer: said }).await;
    }
}

fn observe(connection: &Connection, answer: &HeartbeatAnswer, round_trip: Duration) {
    if answer.pool_time_ns != 0 {
        connection.clock.observe(PoolTime(answer.pool_time_ns), round_trip);
    }
}
