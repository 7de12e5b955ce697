//! What a job was set to at a moment: parameters and pulses, from its start and every change until then. Pure.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::{PoolTime, Pulse};
use serde_json::Value;

/// Parameters and pulses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Setting {
    /// Its pulses.
    pub(super) pulses: BTreeSet<u8>,
    parameters: BTreeMap<String, String>,
    defaults: BTreeMap<String, String>,
}

impl Setting {
    /// The `StartSpec` of its start, and its `JobChanged`s until then, as protobuf JSON.
    pub(super) fn of(spec: &Value, changes: &Value) -> Self {
        let mut setting = Self {
            pulses: numbers(&spec["pulses"]),
            parameters: pairs(&spec["parameters"], "key", "value"),
            defaults: pairs(&spec["module"]["parameters"], "name", "default"),
        };
        for change in changes.as_array().into_iter().flatten() {
            // Without the list they stay as they are; an empty list takes them away.
            if let Some(pulses) = change.get("pulses") {
                setting.pulses = numbers(&pulses["numbers"]);
            }
            setting.parameters.extend(pairs(&change["parameters"], "key", "value"));
        }
        setting
    }

    /// What it is set to beside the defaults of its module, as it is typed.
    pub(super) fn told(&self) -> String {
        let set = self.parameters.iter().filter(|(name, value)| self.defaults.get(*name) != Some(value));
        set.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    /// Its pulses, as they are typed.
    pub(super) fn pulses_told(&self) -> String {
        self.pulses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// Whether its pulses let it go on; empty where it has none. One that is not defined is free.
    pub(super) fn gate(&self, pulses: &BTreeMap<u8, Pulse>, at: PoolTime) -> &'static str {
        let blocks = |number: &u8| pulses.get(number).is_some_and(|pulse| pulse.blocks(at));
        match (self.pulses.is_empty(), self.pulses.iter().any(blocks)) {
            (true, _) => "",
            (false, true) => "blocked",
            (false, false) => "free",
        }
    }
}

fn numbers(list: &Value) -> BTreeSet<u8> {
    let numbers = list.as_array().into_iter().flatten().filter_map(Value::as_u64);
    numbers.filter_map(|number| u8::try_from(number).ok()).collect()
}

/// Protobuf JSON leaves empty texts out.
fn pairs(list: &Value, key: &str, value: &str) -> BTreeMap<String, String> {
    let text = |item: &Value, name: &str| item[name].as_str().unwrap_or_default().to_owned();
    list.as_array().into_iter().flatten().map(|item| (text(item, key), text(item, value))).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn spec() -> Value {
        json!({
            "pulses": [1, 2],
            "parameters": [{"key": "block_size", "value": "4KiB"}, {"key": "inject"}, {"key": "iops_max", "value": "0"}],
            "module": {"parameters": [
                {"name": "block_size", "default": "64KiB"}, {"name": "inject"}, {"name": "iops_max", "default": "0"}]},
        })
    }

    #[test]
    fn a_job_is_what_it_was_started_with_and_what_it_was_changed_to_since() {
        let started = Setting::of(&spec(), &Value::Null);
        assert_eq!((started.told().as_str(), started.pulses_told().as_str()), ("block_size=4KiB", "1,2"));
        let changes = json!([
            {"job": 1, "parameters": [{"key": "block_size", "value": "4KiB"}, {"key": "iops_max", "value": "100"}]},
            {"job": 1, "pulses": {"numbers": [7]}},
        ]);
        let changed = Setting::of(&spec(), &changes);
        assert_eq!((changed.told().as_str(), changed.pulses_told().as_str()), ("block_size=4KiB iops_max=100", "7"));
        let freed = Setting::of(&spec(), &json!([{"job": 1, "pulses": {}}]));
        assert_eq!(freed.pulses_told(), "");
    }

    #[test]
    fn one_pulse_that_blocks_holds_and_one_that_is_not_defined_does_not() {
        let second = Duration::from_secs(1);
        let pulse = Pulse::new(second, second, Duration::ZERO).expect("a pulse");
        let setting = Setting::of(&spec(), &Value::Null);
        let gate = |pulses: &BTreeMap<u8, Pulse>, ms: i64| setting.gate(pulses, PoolTime(ms * 1_000_000));
        assert_eq!(gate(&BTreeMap::new(), 0), "free");
        let defined = BTreeMap::from([(2, pulse), (9, pulse)]);
        assert_eq!((gate(&defined, 500), gate(&defined, 1_500)), ("blocked", "free"));
        assert_eq!(Setting::default().gate(&defined, PoolTime(0)), "");
    }
}
