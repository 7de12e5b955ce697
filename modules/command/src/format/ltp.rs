//! A test of the Linux Test Project: exit bits 1 (failed), 2 (broken), 4 (warning), 32 (not configured).

use super::{Parser, Reasons, Said, Sample, Values, Verdict, Warnings, ended_by};

const FAILED: i32 = 1;
const BROKEN: i32 = 2;
const WARNING: i32 = 4;
const NOT_CONFIGURED: i32 = 32;
/// Words that results begin with, and what their counts are called.
const RESULTS: [(&str, &str); 5] = [
    ("TPASS", "tests_passed"),
    ("TFAIL", "tests_failed"),
    ("TBROK", "tests_broken"),
    ("TWARN", "tests_warned"),
    ("TCONF", "tests_skipped"),
];

/// What was said so far.
#[derive(Debug)]
pub(super) struct Ltp {
    warnings: Warnings,
    counts: [u32; RESULTS.len()],
    /// What was said beside passes, by result.
    reasons: [Reasons; RESULTS.len()],
}

impl Ltp {
    pub(super) fn new(warnings: Warnings) -> Self {
        Self { warnings, counts: [0; RESULTS.len()], reasons: Default::default() }
    }

    fn values(&self) -> Values {
        RESULTS.iter().zip(self.counts).map(|((_, name), count)| ((*name).to_owned(), count.into())).collect()
    }

    /// What was said of a result.
    fn reason(&self, word: &str) -> String {
        let reasons = RESULTS.iter().zip(&self.reasons).find(|((name, _), _)| *name == word);
        reasons.map_or_else(String::new, |(_, reasons)| reasons.text())
    }
}

impl Parser for Ltp {
    fn line(&mut self, line: &str) -> Option<Sample> {
        let found = RESULTS.iter().position(|(word, _)| line.split([' ', ':', '\t']).any(|part| part == *word));
        let at = found?;
        self.counts[at] += 1;
        let (word, _) = RESULTS[at];
        let text = line.split_once(word).map_or("", |(_, text)| text.trim_start_matches([':', ' ']));
        if word != "TPASS" {
            self.reasons[at].add(text);
        }
        Some(Sample { counters: self.values(), gauges: Vec::new() })
    }

    fn finish(&mut self, code: Option<i32>) -> Verdict {
        let said = match code {
            Some(0) => Said::Pass,
            Some(code) if code & FAILED != 0 => Said::Fail(format!("failed: {}", self.reason("TFAIL"))),
            Some(code) if code & BROKEN != 0 => Said::Error(format!("broken: {}", self.reason("TBROK"))),
            Some(code) if code & WARNING != 0 => match self.warnings {
                Warnings::Fail => Said::Fail(format!("warned: {}", self.reason("TWARN"))),
                Warnings::Pass => Said::Pass,
            },
            Some(code) if code & NOT_CONFIGURED != 0 => {
                Said::Skip(format!("not for this machine: {}", self.reason("TCONF")))
            }
            _ => Said::Error(format!("no test of LTP ends by {}", ended_by(code))),
        };
        Verdict { said, totals: self.values(), text: String::new() }
    }
}
