//! fio with `--output-format=json`, and with `--status-interval` for samples while it runs.

use serde_json::Value;

use super::json::{Objects, number};
use super::{Parser, Reasons, Said, Sample, Values, Verdict, ended_by};

/// Directions that are reported, and what their totals are called.
const DIRECTIONS: [(&str, &str, &str); 3] =
    [("read", "read_bytes", "reads"), ("write", "written_bytes", "writes"), ("trim", "trimmed_bytes", "trims")];
/// Percentiles of completion latencies.
const PERCENTILES: [(&str, &str); 3] = [("50.000000", "p50"), ("99.000000", "p99"), ("99.900000", "p999")];

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Fio {
    objects: Objects,
    latest: Option<Sample>,
    /// Errors of jobs that say something of the disk, and others.
    failures: Reasons,
    troubles: Reasons,
    /// What it complained of outside of its results.
    complaints: Reasons,
}

impl Parser for Fio {
    fn line(&mut self, line: &str) -> Option<Sample> {
        if line.starts_with("fio: ") || line.contains("verify failed at") {
            self.complaints.add(line.strip_prefix("fio: ").unwrap_or(line));
        }
        let results = self.objects.line(line)?;
        let sample = sample(&results);
        self.latest = Some(sample.clone());
        (self.failures, self.troubles) = errors(&results);
        Some(sample)
    }

    fn finish(&mut self, code: Option<i32>) -> Verdict {
        let said = if self.failures.first.is_empty() { self.said(code) } else { Said::Fail(self.failure()) };
        let totals = self.latest.take().map_or_else(Vec::new, |sample| [sample.counters, sample.gauges].concat());
        Verdict { said, totals, text: self.complaints.text() }
    }
}

impl Fio {
    fn said(&self, code: Option<i32>) -> Said {
        let reason = [self.troubles.text(), self.complaints.text()].into_iter().find(|text| !text.is_empty());
        match (code, &self.latest) {
            (Some(0), Some(_)) if self.troubles.first.is_empty() => Said::Pass,
            (Some(0), None) if self.objects.broken => Said::Error("its results are too long or not JSON".into()),
            (Some(0), None) => Said::Error("it printed no results: give it --output-format=json".into()),
            _ => Said::Error(reason.unwrap_or_else(|| format!("it ended by {} without saying why", ended_by(code)))),
        }
    }

    fn failure(&self) -> String {
        let (failures, complaints) = (self.failures.text(), self.complaints.text());
        if complaints.is_empty() { failures } else { format!("{failures}: {complaints}") }
    }
}

fn jobs(results: &Value) -> impl Iterator<Item = &Value> {
    results.get("jobs").and_then(Value::as_array).into_iter().flatten()
}

/// Totals are added up over the jobs; of rates as well, of latencies the greatest is taken.
fn sample(results: &Value) -> Sample {
    let sum = |path: &[&str]| jobs(results).filter_map(|job| number(job, path)).sum::<f64>();
    let mut sample = Sample::default();
    for (direction, bytes, count) in DIRECTIONS {
        if sum(&[direction, "total_ios"]) == 0.0 {
            continue;
        }
        sample.counters.push((bytes.to_owned(), sum(&[direction, "io_bytes"])));
        sample.counters.push((count.to_owned(), sum(&[direction, "total_ios"])));
        sample.gauges.push((format!("{direction}_iops"), sum(&[direction, "iops"])));
        sample.gauges.push((format!("{direction}_rate_bytes_per_second"), sum(&[direction, "bw_bytes"])));
        sample.gauges.extend(latencies(results, direction));
    }
    sample
}

fn latencies(results: &Value, direction: &str) -> Values {
    let greatest = |path: &[&str]| {
        jobs(results)
            .filter_map(|job| number(job, path))
            .fold(None, |most: Option<f64>, value| Some(most.map_or(value, |most| most.max(value))))
    };
    let percentiles = PERCENTILES.map(|(key, name)| (name, greatest(&[direction, "clat_ns", "percentile", key])));
    let most = [("max", greatest(&[direction, "clat_ns", "max"]))];
    let all = percentiles.into_iter().chain(most);
    let named =
        |(name, value): (&str, Option<f64>)| Some((format!("{direction}_latency_{name}_seconds"), value? / 1e9));
    all.filter_map(named).collect()
}

/// Errors of jobs: those of the disk and of its data, and those that say nothing of it.
fn errors(results: &Value) -> (Reasons, Reasons) {
    let (mut failures, mut troubles) = (Reasons::default(), Reasons::default());
    for job in jobs(results) {
        let name = job.get("jobname").and_then(Value::as_str).unwrap_or_default();
        let Some(error) = job.get("error").and_then(Value::as_i64).filter(|error| *error != 0) else { continue };
        let reason =
            format!("job {name}: error {error}, {}", i32::try_from(error).map_or_else(|_| String::new(), text_of));
        match i32::try_from(error) {
            Ok(libc::EIO | libc::EILSEQ | libc::ENODATA | libc::ETIMEDOUT | libc::EREMOTEIO) => failures.add(&reason),
            Ok(_) | Err(_) => troubles.add(&reason),
        }
    }
    (failures, troubles)
}

/// What fio means by a number: data that do not verify have one that the system has another text for.
fn text_of(error: i32) -> String {
    if error == libc::EILSEQ {
        "data did not verify".into()
    } else {
        std::io::Error::from_raw_os_error(error).to_string()
    }
}
