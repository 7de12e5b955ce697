//! Parameters of processes that run: an order with others is told to the process, and again whenever it connects.

use std::collections::BTreeMap;

use muster_model::ProcessId;
use muster_proto::v1::{self, KeyValue};

use super::Agent;
use crate::disk::intents::Line;

/// A digest of parameters (FNV-1a), the same in every release: journals of intents hold it.
pub(super) fn digest(parameters: &[KeyValue]) -> u64 {
    let bytes = parameters.iter().flat_map(|pair| [pair.key.as_bytes(), b"=", pair.value.as_bytes(), b"\n"]).flatten();
    bytes.fold(0xCBF2_9CE4_8422_2325, |digest, byte| (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

impl Agent {
    /// The parameters of a known process, where an order has others.
    pub(super) fn other_parameters(
        &self,
        id: ProcessId,
        spec: Option<&v1::StartSpec>,
    ) -> Option<(ProcessId, BTreeMap<String, String>)> {
        let spec = spec.filter(|spec| spec.module.is_some())?;
        let process = self.processes.get(&id).filter(|process| process.life.is_live())?;
        let pairs = || spec.parameters.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect();
        (process.intent.parameters_digest != digest(&spec.parameters)).then(|| (id, pairs()))
    }

    pub(super) fn change_parameters(&mut self, id: ProcessId, parameters: BTreeMap<String, String>) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        let pairs: Vec<KeyValue> =
            parameters.iter().map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() }).collect();
        let digest = digest(&pairs);
        process.intent.parameters_digest = digest;
        process.intent.parameters.clone_from(&parameters);
        self.intents.write(Line::Parameters(id.into(), digest, parameters));
        self.say_set(id);
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
        assert_eq!(digest(&[]), 0xCBF2_9CE4_8422_2325);
    }
}
