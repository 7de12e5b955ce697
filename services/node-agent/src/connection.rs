//! The agent's connection to the bus, which may not be there yet: what runs goes on without it.

use std::sync::Arc;
use std::time::Duration;

use muster_bus::{Bus, BusOptions, Clock};
use muster_model::{Epoch, Incarnation, MachineId};
use muster_proto::v1::{Envelope, envelope::Body};
use tokio::sync::{mpsc, watch};

use crate::admission::Admission;
use crate::metrics;

/// Messages that wait for the bus at most; more are dropped, and asked for again by who wants them.
const OUTBOX_MAX: usize = 4_096;
/// Before the first connection is tried again.
const CONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Who this agent is to others, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The newest epoch heard of.
    pub epoch: Epoch,
    /// The newest incarnation granted.
    pub incarnation: Incarnation,
}

/// The connection; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    bus: watch::Receiver<Option<Bus>>,
    /// The pool clock, which goes on without a connection.
    pub clock: Arc<Clock>,
    /// This machine.
    pub machine: MachineId,
}

impl Connection {
    /// Connects in the background, and tries for as long as it takes.
    pub(crate) fn start(nats: &str, admission: Admission, machine: &MachineId, clock: Clock) -> Self {
        let (sender, bus) = watch::channel(None);
        let (nats, of) = (nats.to_owned(), machine.clone());
        tokio::spawn(async move {
            let access = admission.access(&nats, &of).await;
            let options = BusOptions::new(&nats, &format!("agent/{of}"), access);
            loop {
                match Bus::connect(&options).await {
                    Ok(bus) => {
                        let _ = sender.send(Some(bus));
                        sender.closed().await;
                        return;
                    }
                    Err(error) => {
                        let error = error.to_string();
                        tracing::warn!(error, "the bus can not be reached: trying again");
                        tokio::time::sleep(CONNECT_PAUSE).await;
                    }
                }
            }
        });
        Self { bus, clock: Arc::new(clock), machine: machine.clone() }
    }

    /// The bus, once it was reached for the first time.
    pub(crate) async fn bus(&self) -> Bus {
        let mut bus = self.bus.clone();
        loop {
            if let Some(bus) = bus.borrow_and_update().clone() {
                return bus;
            }
            if bus.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// There is a connection now.
    pub(crate) fn is_connected(&self) -> bool {
        self.bus.borrow().as_ref().is_some_and(Bus::is_connected)
    }

    /// An envelope of this agent.
    pub(crate) fn envelope(&self, body: Body, identity: Identity) -> Envelope {
        Envelope {
            id: bytes::Bytes::copy_from_slice(uuid::Uuid::now_v7().as_bytes()),
            source: format!("agent/{}", self.machine),
            time_ns: self.clock.now().0,
            epoch: identity.epoch.0,
            incarnation: identity.incarnation.0,
            body: Some(body),
            ..Envelope::default()
        }
    }

    /// A way to publish that never waits.
    pub(crate) fn publisher(&self) -> Publisher {
        let (sender, mut waiting) = mpsc::channel::<(String, Envelope)>(OUTBOX_MAX);
        let connection = self.clone();
        tokio::spawn(async move {
            while let Some((subject, envelope)) = waiting.recv().await {
                let bus = connection.bus().await;
                // What is said while there is no connection is old when there is one: it is not kept.
                if bus.is_connected()
                    && let Err(error) = bus.publish(&subject, &envelope).await
                {
                    tracing::warn!(%error, "a message could not be published");
                }
            }
        });
        Publisher { sender }
    }
}

/// Publishes without waiting.
#[derive(Debug, Clone)]
pub(crate) struct Publisher {
    sender: mpsc::Sender<(String, Envelope)>,
}

impl Publisher {
    /// Publishes, or drops the message when too many wait.
    pub(crate) fn publish(&self, subject: String, envelope: Envelope) {
        if self.sender.try_send((subject, envelope)).is_err() {
            ::metrics::counter!(metrics::PUBLISH_DROPPED).increment(1);
        }
    }
}
