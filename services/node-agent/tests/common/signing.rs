//! The signing keys of the scripted services, and what was signed with them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use muster_proto::v1::{Envelope, KeyChange};
use muster_signing::{Pins, PublicKey, Seal, Signer, SigningKey, change, seal};
use prost::Message;

/// The keys of both services.
#[derive(Debug)]
pub(crate) struct Keys {
    scheduler: Mutex<SigningKey>,
    machine_lifecycle: SigningKey,
    changes: Mutex<Vec<KeyChange>>,
    next: AtomicU64,
    /// Every command that was sent, with its subject.
    pub(crate) sent: Mutex<Vec<(String, Bytes)>>,
}

impl Keys {
    pub(crate) fn make() -> Self {
        Self {
            scheduler: Mutex::new(SigningKey::make()),
            machine_lifecycle: SigningKey::make(),
            changes: Mutex::default(),
            next: AtomicU64::new(1),
            sent: Mutex::default(),
        }
    }

    pub(crate) fn key(&self, signer: Signer) -> SigningKey {
        match signer {
            Signer::Scheduler => self.scheduler.lock().unwrap().clone(),
            Signer::MachineLifecycle => self.machine_lifecycle.clone(),
        }
    }

    /// What machines pin.
    pub(crate) fn pins(&self) -> Pins {
        let mut pins = Pins::default();
        for signer in Signer::ALL {
            pins.add(signer, PublicKey::parse(self.key(signer).public()).unwrap());
        }
        pins
    }

    /// The scheduler signs with another key from now on, which the former one vouches for.
    pub(crate) fn rotate(&self) {
        let (former, key) = (self.key(Signer::Scheduler), SigningKey::make());
        self.changes.lock().unwrap().push(change(Signer::Scheduler, &former, key.public(), false));
        *self.scheduler.lock().unwrap() = key;
    }

    /// Signs in the name of a service, with its key.
    pub(crate) fn seal(&self, signer: Signer, machine: &str, envelope: &Envelope) -> Bytes {
        self.seal_by(&self.key(signer), signer, machine, envelope)
    }

    /// Signs in the name of a service, with any key.
    pub(crate) fn seal_by(&self, key: &SigningKey, signer: Signer, machine: &str, envelope: &Envelope) -> Bytes {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let changes = self.changes.lock().unwrap().clone();
        let changes = if signer == Signer::Scheduler { changes } else { Vec::new() };
        seal(envelope.encode_to_vec(), Seal { key, signer, changes: &changes, machine, number })
    }
}

/// The bytes of what a scripted service says: signed where it has a key.
pub(crate) fn said(keys: Option<&Keys>, machine: &str, envelope: &Envelope) -> Bytes {
    let signer = Signer::parse(envelope.source.split('/').next().unwrap());
    match (keys, signer) {
        (Some(keys), Some(signer)) => keys.seal(signer, machine, envelope),
        _ => envelope.encode_to_vec().into(),
    }
}
