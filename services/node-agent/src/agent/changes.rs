//! Jobs that change while they run: an order that has other pulses or parameters than a process is told to it, once, and again
//! whenever it connects. Its journal keeps what it was told.

use std::collections::BTreeMap;

use muster_model::ProcessId;
use muster_module_protocol::AgentMessage;
use muster_proto::v1::{KeyValue, StartSpec};

use super::{Agent, pulses};
use crate::disk::intents::Line;

/// What the processes of an order are to have, of what may change while they run.
pub(super) struct Wanted<'a> {
    /// Pulses that gate them.
    pub pulses: Vec<u8>,
    parameters: &'a [KeyValue],
    /// Digest of the parameters.
    pub digest: u64,
}

/// What of it a process has otherwise.
pub(super) struct Change {
    pulses: Option<Vec<u8>>,
    /// All of its parameters, with their digest.
    parameters: Option<(u64, BTreeMap<String, String>)>,
}

impl<'a> Wanted<'a> {
    /// None where the order does not say it, as one that only stops.
    pub(super) fn of(spec: Option<&'a StartSpec>) -> Option<Self> {
        let spec = spec.filter(|spec| spec.module.is_some())?;
        let (pulses, parameters) = (pulses::numbers(&spec.pulses), &spec.parameters[..]);
        Some(Self { pulses, parameters, digest: digest(parameters) })
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        self.parameters.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect()
    }
}

/// A digest of parameters (FNV-1a), the same in every release: journals hold it.
fn digest(parameters: &[KeyValue]) -> u64 {
    let bytes = parameters.iter().flat_map(|pair| [pair.key.as_bytes(), b"=", pair.value.as_bytes(), b"\n"]).flatten();
    bytes.fold(0xCBF2_9CE4_8422_2325, |digest, byte| (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

impl Agent {
    /// What a process that lives here has otherwise; none where nothing is.
    pub(super) fn change_of(&self, id: ProcessId, wanted: &Wanted<'_>) -> Option<Change> {
        let intent = &self.processes.get(&id).filter(|process| process.life.is_live())?.intent;
        let pulses = (intent.pulses != wanted.pulses).then(|| wanted.pulses.clone());
        let has_others = intent.parameters_digest != wanted.digest;
        let parameters = has_others.then(|| (wanted.digest, wanted.parameters()));
        (pulses.is_some() || parameters.is_some()).then_some(Change { pulses, parameters })
    }

    /// Keeps what a process has from here on, and tells it once.
    pub(super) fn change(&mut self, id: ProcessId, change: Change) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        if let Some((digest, parameters)) = change.parameters {
            process.intent.parameters_digest = digest;
            process.intent.parameters.clone_from(&parameters);
            self.intents.write(Line::Parameters(id.into(), digest, parameters));
        }
        if let Some(pulses) = change.pulses {
            process.intent.pulses.clone_from(&pulses);
            process.intent.pulses_changed = true;
            self.intents.write(Line::Pulses(id.into(), pulses));
        }
        self.say_set(id);
        self.open_if_free(id);
    }

    /// Says the pulses and parameters of a process, where they are not those of its context.
    pub(super) fn say_set(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get_mut(&id).filter(|process| process.intent.has_changed()) else { return };
        let (pulses, parameters) = (process.intent.pulses.clone(), process.intent.parameters.clone());
        let message = AgentMessage::Set { pulses, parameters };
        process.set_waits = process.connection.is_some_and(|connection| !self.sockets.say(connection, &message));
    }

    /// A process answers, so it reads: it is told what it had no room for.
    pub(super) fn say_set_that_waits(&mut self, id: ProcessId) {
        if self.processes.get(&id).is_some_and(|process| process.set_waits) {
            self.say_set(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_parameters_apart_and_stays_as_it_is() {
        let pair = |key: &str, value: &str| KeyValue { key: key.into(), value: value.into() };
        let one = digest(&[pair("a", "1"), pair("b", "2")]);
        assert_ne!(one, digest(&[pair("a", "1"), pair("b", "3")]));
        assert_ne!(one, digest(&[pair("a", "1")]));
        assert_eq!(one, 0xE190_6F91_3755_E085);
        assert_eq!(digest(&[]), 0xCBF2_9CE4_8422_2325);
    }
}
