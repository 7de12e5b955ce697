//! memtester: exit bits 1 (it could not begin), 2 (stuck addresses), 4 (another test).

use super::{Parser, Reasons, Said, Sample, Verdict, ended_by};

const NOT_BEGUN: i32 = 1;
const STUCK_ADDRESS: i32 = 2;
const OTHER_TEST: i32 = 4;

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Memtester {
    loops: u32,
    tests_passed: u32,
    failures: Reasons,
    /// What it said last, for the case that it could not begin.
    last: String,
}

impl Parser for Memtester {
    fn line(&mut self, line: &str) -> Option<Sample> {
        // It shows its progress by backspaces: what comes after the last one counts.
        let end = line.rsplit('\u{8}').next().unwrap_or(line).trim();
        if let Some(failure) = end.find("FAILURE: ").map(|at| &end[at..]) {
            self.failures.add(failure);
        } else if line.starts_with("Loop ") {
            self.loops += 1;
        } else if line.starts_with("  ") && line.contains(':') && (end == "ok" || end.ends_with(": ok")) {
            self.tests_passed += 1;
            return Some(Sample { counters: self.counts(), gauges: Vec::new() });
        } else if !end.is_empty() {
            end.clone_into(&mut self.last);
        }
        None
    }

    fn finish(&mut self, code: Option<i32>) -> Verdict {
        let said = match code {
            Some(0) => Said::Pass,
            Some(code) if code & (STUCK_ADDRESS | OTHER_TEST) != 0 => {
                let which = if code & STUCK_ADDRESS == 0 { "a test of memory" } else { "the test of stuck addresses" };
                Said::Fail(format!("{which} failed: {}", self.failures.text()))
            }
            Some(code) if code & NOT_BEGUN != 0 => Said::Error(format!("it could not test: {}", self.last)),
            _ => Said::Error(format!("it ended by {}: {}", ended_by(code), self.last)),
        };
        Verdict { said, totals: self.counts(), text: format!("{} loops", self.loops) }
    }
}

impl Memtester {
    fn counts(&self) -> super::Values {
        vec![("loops".to_owned(), self.loops.into()), ("tests_passed".to_owned(), self.tests_passed.into())]
    }
}
