//! stress-ng with `--metrics-brief`: exit codes 1 (wrong options or no resources), 2 (a stressor failed), 3 (no resources for a
//! stressor), 4 (not for this machine), 5 (a stressor was killed), 6 (a stressor ended unexpectedly), 7 (metrics untrustworthy).

use super::names::metric_name;
use super::{Parser, Reasons, Said, Sample, Values, Verdict, ended_by};

/// Most stressors whose metrics are kept.
const STRESSORS_MAX: usize = 64;

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct StressNg {
    totals: Values,
    failures: Reasons,
    skips: Reasons,
    /// What it said last without its own prefix, for the case that it did not begin.
    last: String,
}

impl Parser for StressNg {
    fn line(&mut self, line: &str) -> Option<Sample> {
        let Some((kind, text)) = message(line) else {
            line.trim().clone_into(&mut self.last);
            return None;
        };
        match kind {
            "metrc" => {
                let free = 2 * STRESSORS_MAX - self.totals.len().min(2 * STRESSORS_MAX);
                self.totals.extend(metrics(text).into_iter().flatten().take(free));
            }
            "fail" => self.failures.add(text),
            "error" => text.clone_into(&mut self.last),
            "info" | "warn" if text.contains("skip") => self.skips.add(text),
            _ => {}
        }
        None
    }

    fn finish(&mut self, code: Option<i32>) -> Verdict {
        let failed = |what: &str| Said::Fail(format!("{what}: {}", self.failures.text()));
        let said = match code {
            Some(0 | 7) => Said::Pass,
            Some(2) => failed("a stressor failed"),
            Some(3) => Said::Skip(format!("no resources for a stressor: {}", self.skips.text())),
            Some(4) => Said::Skip(format!("a stressor is not for this machine: {}", self.skips.text())),
            Some(5) => failed("a stressor was killed"),
            Some(6) => Said::Error("a stressor ended unexpectedly".into()),
            _ => Said::Error(format!("it ended by {}: {}", ended_by(code), self.last)),
        };
        let untrustworthy = code == Some(7);
        let totals = if untrustworthy { Vec::new() } else { std::mem::take(&mut self.totals) };
        let text = if untrustworthy { "its metrics are untrustworthy, it says, and left out" } else { "" };
        Verdict { said, totals, text: text.to_owned() }
    }
}

/// `stress-ng: info:  [123] text`: kind and text.
fn message(line: &str) -> Option<(&str, &str)> {
    let (kind, rest) = line.strip_prefix("stress-ng: ")?.split_once(':')?;
    let text = rest.trim_start().strip_prefix('[')?.split_once(']')?.1;
    Some((kind.trim(), text.trim()))
}

/// `cpu  486  1.00  0.23  0.00  485.48  2048.48`: what a stressor did, and how much of it a second.
fn metrics(text: &str) -> Option<[(String, f64); 2]> {
    let mut fields = text.split_ascii_whitespace();
    let name = metric_name(fields.next()?);
    let numbers: Vec<f64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    let (count, rate) = (*numbers.first()?, *numbers.get(4)?);
    (count.is_finite() && rate.is_finite())
        .then(|| [(format!("{name}_operations"), count), (format!("{name}_operations_per_second"), rate)])
}
