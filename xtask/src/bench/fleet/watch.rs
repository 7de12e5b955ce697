//! What is seen of a pool from the bus: verdicts about machines, heartbeats, and how soon a heartbeat is answered.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::StreamExt;
use muster_bus::{Authority, Bus, BusOptions, StreamReader, streams, subjects};
use muster_model::MachineId;
use muster_proto::v1::{Envelope, Health, Heartbeat, MachineEvent, envelope::Body, machine_event};
use prost::Message;

/// A heartbeat is said this often to time its answer.
const PROBE_EVERY: Duration = Duration::from_millis(20);
/// An answer that takes longer counts as this long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks on.
pub(super) struct Watch {
    bus: Bus,
    downs: Arc<AtomicU64>,
}

impl Watch {
    /// Begins to count verdicts from now on.
    pub(super) fn begin(runtime: &tokio::runtime::Runtime, url: &str) -> anyhow::Result<Self> {
        let bus = runtime.block_on(Bus::connect(&BusOptions::insecure_local(url, "bench")))?;
        let state = runtime.block_on(bus.stream_state(streams::MACHINES))?.context("there is no log of machines")?;
        let downs = Arc::new(AtomicU64::new(0));
        runtime.spawn(count(bus.read(streams::MACHINES, "", state.last + 1), downs.clone()));
        Ok(Self { bus, downs })
    }

    /// Machines that were called down so far.
    pub(super) fn downs(&self) -> u64 {
        self.downs.load(Ordering::Relaxed)
    }

    /// Says heartbeats of a machine that nobody knows, one after the other, and returns how soon machine-lifecycle answered each. It answers
    /// after a look at its state, so whatever a heartbeat waits for is in it.
    pub(super) async fn probe(&self, time: Duration) -> anyhow::Result<Vec<Duration>> {
        let machine = MachineId::new("probe")?;
        let (subject, inbox) = (subjects::heartbeat(&machine), self.bus.new_inbox());
        let mut answers = self.bus.subscribe(&inbox, None).await?;
        let (mut times, begun) = (Vec::new(), Instant::now());
        while begun.elapsed() < time {
            let heartbeat =
                Heartbeat { machine: machine.to_string(), number: times.len() as u64, ..Default::default() };
            let number = heartbeat.number;
            let said = Instant::now();
            let envelope = self.bus.envelope(Body::Heartbeat(heartbeat), Authority::default());
            self.bus.publish_with_reply(&subject, &inbox, &envelope).await?;
            let answered = async {
                while let Some(answer) = answers.next().await {
                    if answer.envelope.is_ok_and(|envelope| answers_from_machine_lifecycle(&envelope, number)) {
                        return;
                    }
                }
            };
            let _ = tokio::time::timeout(ANSWER_TIMEOUT, answered).await;
            times.push(said.elapsed());
            tokio::time::sleep(PROBE_EVERY).await;
        }
        Ok(times)
    }

    /// Listens until so many machines have said a heartbeat, or too long. Returns how many did.
    pub(super) async fn all_heard(&self, machines: usize, patience: Duration) -> anyhow::Result<usize> {
        let mut heartbeats = self.bus.subscribe(subjects::EVERY_HEARTBEAT, None).await?;
        let mut heard = BTreeSet::new();
        let listening = async {
            while heard.len() < machines
                && let Some(heartbeat) = heartbeats.next().await
            {
                heard.extend(subjects::machine_of(&heartbeat.subject));
            }
        };
        let _ = tokio::time::timeout(patience, listening).await;
        Ok(heard.len())
    }
}

fn answers_from_machine_lifecycle(envelope: &Envelope, number: u64) -> bool {
    let is_this = matches!(&envelope.body, Some(Body::HeartbeatAnswer(answer)) if answer.number == number);
    is_this && envelope.source.starts_with(subjects::Service::MachineLifecycle.as_str())
}

async fn count(mut reader: StreamReader, downs: Arc<AtomicU64>) {
    loop {
        let message = reader.next().await;
        let Ok(Envelope { body: Some(Body::Turn(turn)), .. }) = Envelope::decode(message.payload) else { continue };
        let Ok(block) = muster_ledger::open_block(&turn) else { continue };
        let events = block.entries.iter().flat_map(|entry| &entry.events);
        let down = events.filter_map(|event| MachineEvent::decode(&event[..]).ok()).filter(is_down).count();
        downs.fetch_add(down as u64, Ordering::Relaxed);
    }
}

fn is_down(event: &MachineEvent) -> bool {
    matches!(&event.kind, Some(machine_event::Kind::HealthChanged(changed)) if changed.health() == Health::Down)
}
