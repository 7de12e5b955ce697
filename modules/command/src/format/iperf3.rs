//! iperf3 with `-J`.

use serde_json::Value;

use super::json::{Objects, number};
use super::{Parser, Said, Sample, Verdict, ended_by};

/// What is reported, and where it is said. UDP has one sum, TCP one for each end.
const VALUES: [(&str, &[&str], f64); 9] = [
    ("sent_bytes", &["end", "sum_sent", "bytes"], 1.0),
    ("received_bytes", &["end", "sum_received", "bytes"], 1.0),
    ("sent_rate_bytes_per_second", &["end", "sum_sent", "bits_per_second"], 0.125),
    ("received_rate_bytes_per_second", &["end", "sum_received", "bits_per_second"], 0.125),
    ("retransmits", &["end", "sum_sent", "retransmits"], 1.0),
    ("lost_packets", &["end", "sum", "lost_packets"], 1.0),
    ("jitter_seconds", &["end", "sum", "jitter_ms"], 0.001),
    ("cpu_local_percent", &["end", "cpu_utilization_percent", "host_total"], 1.0),
    ("cpu_remote_percent", &["end", "cpu_utilization_percent", "remote_total"], 1.0),
];

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Iperf3 {
    objects: Objects,
    results: Option<Value>,
    complaint: String,
}

impl Parser for Iperf3 {
    fn line(&mut self, line: &str) -> Option<Sample> {
        if let Some(complaint) = line.strip_prefix("iperf3: ") {
            complaint.clone_into(&mut self.complaint);
        }
        self.results = self.objects.line(line).or_else(|| self.results.take());
        None
    }

    fn finish(&mut self, code: Option<i32>) -> Verdict {
        let results = self.results.take().unwrap_or(Value::Null);
        let value =
            |(name, path, factor): (&str, &[&str], f64)| Some((name.to_owned(), number(&results, path)? * factor));
        let totals: Vec<(String, f64)> = VALUES.into_iter().filter_map(value).collect();
        let error = results.get("error").and_then(Value::as_str);
        // Whatever keeps it from its end is the network's or the peer's absence: nothing that was measured was wrong.
        let said = match (error, code) {
            (Some(error), _) => Said::Error(error.to_owned()),
            (None, Some(0)) if !totals.is_empty() => Said::Pass,
            (None, Some(0)) => Said::Error("it printed no results: give it -J".into()),
            (None, _) if self.complaint.is_empty() => Said::Error(format!("it ended by {}", ended_by(code))),
            (None, _) => Said::Error(self.complaint.clone()),
        };
        Verdict { said, totals, text: String::new() }
    }
}
