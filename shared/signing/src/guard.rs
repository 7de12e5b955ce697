//! What a machine lets nobody say who has not signed it: a message is judged, and every refusal counted.

use std::collections::BTreeMap;

use muster_proto::v1::{AgentCommand, Envelope, Signature, agent_command::Kind, envelope::Body};

use crate::seal::content;
use crate::statement;
use crate::window::{Stale, Window};
use crate::{Pins, Signer};

/// When something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion<'a> {
    /// A command: each number counts once.
    Command,
    /// The answer to what the machine said under this id: it counts for that alone.
    Answer(&'a [u8]),
}

/// Why a message counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refused {
    /// It can not be decoded, or is signed where nobody signs.
    Malformed,
    /// It has no signature.
    Unsigned,
    /// Its key is none of the service that may say this.
    UnknownKey,
    /// The signature is not over these bytes, this machine and this service.
    WrongSignature,
    /// It was taken before.
    Replayed,
    /// It answers something else than what was asked.
    OtherQuestion,
    /// A later leader of that service has spoken.
    OldTerm,
    /// It addresses another life of the agent.
    OldIncarnation,
    /// The machine has changed hands since, or has not yet.
    OtherEpoch,
    /// Something newer is known.
    OldGeneration,
}

impl Refused {
    /// Its name in metrics and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unsigned => "unsigned",
            Self::UnknownKey => "unknown_key",
            Self::WrongSignature => "wrong_signature",
            Self::Replayed => "replayed",
            Self::OtherQuestion => "other_question",
            Self::OldTerm => "old_term",
            Self::OldIncarnation => "old_incarnation",
            Self::OtherEpoch => "other_epoch",
            Self::OldGeneration => "old_generation",
        }
    }

    /// Why, for people.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::Malformed => "it can not be decoded, or is signed where nobody signs",
            Self::Unsigned => "it is not signed",
            Self::UnknownKey => "it is signed with no key of the service that may say this",
            Self::WrongSignature => "its signature is not over these words for this machine",
            Self::Replayed => "it was taken before",
            Self::OtherQuestion => "it answers something else than what was asked",
            Self::OldTerm => "a later leader has spoken",
            Self::OldIncarnation => "another life of this agent is addressed",
            Self::OtherEpoch => "it is of another epoch of this machine",
            Self::OldGeneration => "something newer is known",
        }
    }

    /// It can only come of somebody who is not that service, or of a machine that pins other keys than its pool has. The others come
    /// of what was on its way while something changed, too.
    #[must_use]
    pub fn is_forged(self) -> bool {
        !matches!(self, Self::OldTerm | Self::OldIncarnation | Self::OtherEpoch | Self::OldGeneration)
    }
}

/// Judges what a machine is told.
#[derive(Debug, Clone)]
pub struct Guard {
    machine: String,
    pins: Option<Pins>,
    windows: BTreeMap<Signer, Window>,
    refused: BTreeMap<Refused, u64>,
}

impl Guard {
    /// The guard of a machine. Without pins everything is let through: on a bus that nobody else reaches.
    #[must_use]
    pub fn new(machine: &str, pins: Option<Pins>) -> Self {
        Self { machine: machine.to_owned(), pins, windows: BTreeMap::new(), refused: BTreeMap::new() }
    }

    /// Whether signatures are asked for.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.pins.is_some()
    }

    /// Judges what came on a subject of commands. What agents and people ask of each other's agents (words between processes, clocks,
    /// logs) makes a machine do nothing, and is signed by nobody.
    ///
    /// # Errors
    /// As [`Guard::admit`].
    pub fn admit_command<E>(
        &mut self,
        envelope: &Result<Envelope, E>,
        payload: &[u8],
    ) -> Result<Option<&Pins>, Refused> {
        if !self.is_on() {
            return Ok(None);
        }
        match envelope.as_ref().ok().and_then(|envelope| Some((envelope, signers(envelope)?))) {
            Some((envelope, Some(signer))) => self.admit(signer, Occasion::Command, envelope, payload),
            Some((envelope, None)) if envelope.signature.is_none() => Ok(None),
            Some((_, None)) | None => {
                self.note(Refused::Malformed);
                Err(Refused::Malformed)
            }
        }
    }

    /// Judges a message that only `signer` may say. Gives the pins where it changed them: they are to be kept before it is acted upon.
    ///
    /// # Errors
    /// Says why it counts for nothing; that is counted.
    pub fn admit(
        &mut self,
        signer: Signer,
        occasion: Occasion<'_>,
        envelope: &Envelope,
        payload: &[u8],
    ) -> Result<Option<&Pins>, Refused> {
        let judged = match &self.pins {
            None => return Ok(None),
            Some(pins) => judge(&self.machine, pins, signer, envelope, payload),
        };
        let taken = judged.and_then(|(number, changed)| {
            self.take(signer, occasion, envelope, number)?;
            Ok(changed)
        });
        match taken {
            Ok(None) => Ok(None),
            Ok(changed) => {
                self.pins = changed;
                Ok(self.pins.as_ref())
            }
            Err(refused) => {
                self.note(refused);
                Err(refused)
            }
        }
    }

    fn take(
        &mut self,
        signer: Signer,
        occasion: Occasion<'_>,
        envelope: &Envelope,
        number: u64,
    ) -> Result<(), Refused> {
        match occasion {
            Occasion::Answer(id) if envelope.cmd_id == id => Ok(()),
            Occasion::Answer(_) => Err(Refused::OtherQuestion),
            Occasion::Command => {
                let window = self.windows.entry(signer).or_default();
                window.take(envelope.term, number).map_err(|stale| match stale {
                    Stale::OldTerm => Refused::OldTerm,
                    Stale::Taken => Refused::Replayed,
                })
            }
        }
    }

    /// Counts a message that was refused for a reason that others see.
    pub fn note(&mut self, refused: Refused) {
        *self.refused.entry(refused).or_default() += 1;
    }

    /// How many were refused, by reason.
    #[must_use]
    pub fn refused(&self) -> &BTreeMap<Refused, u64> {
        &self.refused
    }
}

/// Who has to sign a command, or that nobody does; none where it is no command that this version knows.
fn signers(envelope: &Envelope) -> Option<Option<Signer>> {
    let Some(Body::AgentCommand(AgentCommand { kind: Some(kind) })) = &envelope.body else { return None };
    Some(match kind {
        Kind::UpdateJobs(_) | Kind::ListKnown(_) => Some(Signer::Scheduler),
        Kind::Machine(_) | Kind::Install(_) | Kind::Reboot(_) | Kind::Prepare(_) => Some(Signer::MachineLifecycle),
        Kind::ReadLog(_) | Kind::Peer(_) | Kind::Clock(_) => None,
    })
}

/// Number of a message, and the pins after it where it changes them.
fn judge(
    machine: &str,
    pins: &Pins,
    signer: Signer,
    envelope: &Envelope,
    payload: &[u8],
) -> Result<(u64, Option<Pins>), Refused> {
    let signature: &Signature = envelope.signature.as_ref().ok_or(Refused::Unsigned)?;
    let content = content(payload, signature).ok_or(Refused::Malformed)?;
    let changed = pins.changed(signer, &signature.changes);
    let keys = changed.as_ref().unwrap_or(pins).of(signer);
    let key = keys.iter().find(|key| key.as_str() == signature.key).ok_or(Refused::UnknownKey)?;
    let statement = statement::message(signer, machine, signature.number, content);
    if !key.has_signed(&statement, &signature.signature) {
        return Err(Refused::WrongSignature);
    }
    Ok((signature.number, changed))
}
