//! The gate before the agent's loop: what a service did not sign, or did not sign for this machine and now, comes no further. Cheap to
//! clone; those who hear messages ask it beside the loop, so that a flood of forged ones costs the loop little.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use muster_bus::{Answer, Inbound};
use muster_model::MachineId;
use muster_proto::v1::Envelope;
use muster_signing::{Guard, Occasion, Pins, Refused, Signer};

use crate::core::authority::Owner;
use crate::metrics;
use crate::signers::Signers;

/// Forged messages are reported this often at most, with all of them counted.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// A command, and what the gate says of it.
#[derive(Debug)]
pub(crate) struct Heard {
    /// The command.
    pub inbound: Inbound,
    /// Whether it may be looked at.
    pub admitted: Result<(), Refused>,
}

/// The gate.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    guard: Guard,
    signers: Signers,
    /// Forged messages that were reported, and when.
    reported: (u64, Option<Instant>),
}

impl Gate {
    /// The gate of a machine that has pinned these keys.
    pub(crate) fn new(machine: &MachineId, signers: Signers) -> Self {
        let guard = Guard::new(machine.as_str(), signers.pins.clone());
        if !guard.is_on() {
            tracing::warn!("no keys are pinned: whoever reaches the bus commands this machine");
        }
        Self { inner: Arc::new(Mutex::new(Inner { guard, signers, reported: (0, None) })) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of the gate panics")
    }

    /// Judges a command.
    pub(crate) fn command(&self, inbound: Inbound) -> Heard {
        let mut inner = self.inner();
        let Inner { guard, signers, .. } = &mut *inner;
        let judged = guard.admit_command(&inbound.envelope, &inbound.payload);
        Heard { admitted: settled(judged, signers), inbound }
    }

    /// Judges the answer of a service to what this agent said under `question`.
    pub(crate) fn answer(&self, owner: Owner, question: &[u8], answer: &Answer) -> Result<(), Refused> {
        let signer = match owner {
            Owner::MachineLifecycle => Signer::MachineLifecycle,
            Owner::Scheduler => Signer::Scheduler,
        };
        let mut inner = self.inner();
        let Inner { guard, signers, .. } = &mut *inner;
        let Answer { envelope, payload } = answer;
        settled(guard.admit(signer, Occasion::Answer(question), envelope, payload), signers)
    }

    /// Judges what claims to be such an answer, where it is not known to what.
    pub(crate) fn stray(&self) -> Result<(), Refused> {
        if !self.inner().guard.is_on() {
            return Ok(());
        }
        self.note(Refused::OtherQuestion);
        Err(Refused::OtherQuestion)
    }

    /// Judges an answer by whether it was taken before.
    pub(crate) fn once(&self, fresh: bool) -> Result<(), Refused> {
        if fresh || !self.inner().guard.is_on() {
            return Ok(());
        }
        self.note(Refused::Replayed);
        Err(Refused::Replayed)
    }

    /// Counts a message that counts for nothing by what the loop knows.
    pub(crate) fn note(&self, refused: Refused) {
        self.inner().guard.note(refused);
        count(refused);
    }

    /// Messages that counted for nothing since the agent began.
    pub(crate) fn refused(&self) -> u64 {
        self.inner().guard.refused().values().sum()
    }

    /// What is to be reported of forged messages now.
    pub(crate) fn trouble(&self) -> Option<String> {
        let mut inner = self.inner();
        let refused = inner.guard.refused();
        let forged: u64 = refused.iter().filter(|(reason, _)| reason.is_forged()).map(|(_, count)| count).sum();
        let (reported, at) = inner.reported;
        if !inner.guard.is_on() || forged == reported || at.is_some_and(|at| at.elapsed() < REPORT_EVERY) {
            return None;
        }
        let parts: Vec<String> = refused.iter().map(|(reason, count)| format!("{} {count}", reason.as_str())).collect();
        inner.reported = (forged, Some(Instant::now()));
        Some(format!(
            "{forged} messages since the agent began claim to command this machine, and no service has signed them for it: {}",
            parts.join(", ")
        ))
    }
}

/// Keeps pins that a message changed, before it is acted upon, and counts it where it was refused.
fn settled(judged: Result<Option<&Pins>, Refused>, signers: &Signers) -> Result<(), Refused> {
    match judged {
        Ok(None) => Ok(()),
        Ok(Some(pins)) => {
            tracing::info!("a service has other keys from now on, as a key that was pinned says");
            if let Err(error) = signers.keep(pins) {
                tracing::error!(%error, "the pinned keys can not be written: after a restart the former ones count");
            }
            Ok(())
        }
        Err(refused) => {
            count(refused);
            Err(refused)
        }
    }
}

fn count(refused: Refused) {
    ::metrics::counter!(metrics::MESSAGES_REFUSED, "reason" => refused.as_str()).increment(1);
}

/// Number of an answer's signature; 0 where it has none.
pub(crate) fn number(envelope: &Envelope) -> u64 {
    envelope.signature.as_ref().map_or(0, |signature| signature.number)
}
