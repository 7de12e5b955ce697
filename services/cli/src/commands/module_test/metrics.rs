//! Whether what a module says of its measurements is what the protocol says: names with their units, numbers, counters that rise.

use std::collections::BTreeMap;

/// Longest name.
const NAME_BYTES_MAX: usize = 100;
/// Endings that name no unit of ours, and what is written in their place.
const WRONG_UNITS: [(&str, &str); 10] = [
    ("_ms", "seconds"),
    ("_us", "seconds"),
    ("_ns", "seconds"),
    ("_sec", "seconds"),
    ("_milliseconds", "seconds"),
    ("_kb", "bytes"),
    ("_mb", "bytes"),
    ("_kib", "bytes"),
    ("_mib", "bytes"),
    ("_gb", "bytes"),
];

/// What was measured so far.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    /// Greatest value of each counter, by device and name.
    counters: BTreeMap<(String, String), f64>,
    /// Messages.
    pub(super) count: usize,
    /// The first thing that is wrong.
    pub(super) wrong: Option<String>,
}

impl Metrics {
    /// Takes one message in.
    pub(super) fn add(&mut self, device: &str, counters: &BTreeMap<String, f64>, gauges: &BTreeMap<String, f64>) {
        self.count += 1;
        for (name, value) in counters {
            let known = self.counters.entry((device.to_owned(), name.clone())).or_insert(*value);
            let fell = *value < *known;
            let before = std::mem::replace(known, *value);
            if fell {
                self.break_it(format!("counter {name} fell from {before} to {value}"));
            }
        }
        for name in counters.keys().chain(gauges.keys()) {
            if let Some(wrong) = wrong_name(name) {
                self.break_it(wrong);
            }
        }
    }

    /// Names of the totals of a final report.
    pub(super) fn add_totals(&mut self, totals: &BTreeMap<String, f64>) {
        for wrong in totals.keys().filter_map(|name| wrong_name(name)) {
            self.break_it(wrong);
        }
    }

    fn break_it(&mut self, wrong: String) {
        self.wrong.get_or_insert(wrong);
    }
}

fn wrong_name(name: &str) -> Option<String> {
    let is_right = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(is_right) {
        return Some(format!("`{name}` is no name of a metric: a-z, 0-9 and _, at most {NAME_BYTES_MAX}"));
    }
    let (_, unit) = WRONG_UNITS.iter().find(|(ending, _)| name.ends_with(ending))?;
    Some(format!("`{name}` is not in our units: say {unit}, and end its name in _{unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(counters: &[&[(&str, f64)]]) -> Option<String> {
        let mut metrics = Metrics::default();
        for values in counters {
            let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
            metrics.add("d", &values, &BTreeMap::new());
        }
        metrics.wrong
    }

    #[test]
    fn counters_rise_and_names_end_in_our_units() {
        assert_eq!(wrong(&[&[("written_bytes", 1.0), ("writes", 2.0)], &[("written_bytes", 1.0)]]), None);
        assert_eq!(wrong(&[&[("reads", 2.0)], &[("reads", 1.0)]]).unwrap(), "counter reads fell from 2 to 1");
        assert!(wrong(&[&[("latency_ms", 2.0)]]).unwrap().contains("say seconds"));
        assert!(wrong(&[&[("Latency", 2.0)]]).unwrap().contains("no name of a metric"));
    }
}
