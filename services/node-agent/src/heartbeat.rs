//! Heartbeats: once a second while there is a connection and hello is done. Every fifth asks for answers: the pool's time, whether
//! to say hello again, the holder's deadline.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt;
use muster_bus::{Inbound, subjects};
use muster_model::PoolTime;
use muster_proto::v1::{Heartbeat, HeartbeatAnswer, envelope::Body};
use tokio::sync::{mpsc, watch};

use crate::agent::Input;
use crate::connection::{Connection, Identity};
use crate::core::authority::Owner;

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

/// Says heartbeats for as long as the agent lives. `up` is true while hello is done and not to be said again.
pub(crate) fn start(
    connection: Connection,
    said: watch::Receiver<Said>,
    up: watch::Receiver<bool>,
    inputs: mpsc::Sender<Input>,
) {
    tokio::spawn(async move {
        loop {
            if let Err(error) = beat(&connection, &said, &up, &inputs).await {
                tracing::warn!(%error, "heartbeats could not be said: trying again");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    });
}

async fn beat(
    connection: &Connection,
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
    let mut asked: BTreeMap<u64, Instant> = BTreeMap::new();
    let mut number = 0;
    loop {
        tokio::select! {
            answer = answers.next() => match answer {
                Some(answer) => take_answer(connection, &asked, answer, inputs).await,
                None => return Ok(()),
            },
            _ = interval.tick() => {
                // Without a connection a heartbeat would be kept, and said when it is no longer true.
                if !*up.borrow() || !bus.is_connected() {
                    continue;
                }
                let envelope = { let said = said.borrow(); envelope(connection, &said, number) };
                if number % ANSWER_EVERY == 0 {
                    asked.insert(number, Instant::now());
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

fn envelope(connection: &Connection, said: &Said, number: u64) -> muster_proto::v1::Envelope {
    let error = connection.clock.error();
    let nanoseconds = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    let heartbeat = Heartbeat {
        number,
        pool_time_ns: error.map_or(0, |_| connection.clock.now().0),
        clock_error_ns: error.map_or(0, nanoseconds),
        load_milli: crate::probe::load_milli(),
        ..said.heartbeat.clone()
    };
    connection.envelope(Body::Heartbeat(heartbeat), said.identity)
}

async fn take_answer(
    connection: &Connection,
    asked: &BTreeMap<u64, Instant>,
    answer: Inbound,
    inputs: &mpsc::Sender<Input>,
) {
    let Ok(envelope) = answer.envelope else { return };
    let Some(owner) = Owner::of_source(&envelope.source) else { return };
    let term = muster_model::Term(envelope.term);
    let Some(Body::HeartbeatAnswer(answer)) = envelope.body else { return };
    if let (Owner::Scheduler, Some(asked)) = (owner, asked.get(&answer.number)) {
        observe(connection, &answer, asked.elapsed());
    }
    // It fails only when the agent ends.
    let _ = inputs.send(Input::Answer { owner, term, answer }).await;
}

fn observe(connection: &Connection, answer: &HeartbeatAnswer, round_trip: Duration) {
    if answer.pool_time_ns != 0 {
        connection.clock.observe(PoolTime(answer.pool_time_ns), round_trip);
    }
}
