//! How a test ended: the last message, and the exit code that goes with it.

use std::collections::BTreeMap;
use std::process::ExitCode;

use muster_model::text::cut;
use muster_module_protocol::{ModuleMessage, Outcome, Status};

/// Exit code after pass and after skip: the test process did what it was to do.
pub const EXIT_PASS: u8 = 0;
/// Exit code after fail.
pub const EXIT_FAIL: u8 = 1;
/// Exit code after error, and of an abort.
pub const EXIT_ERROR: u8 = 2;

/// Most bytes of a reason, and of a final report's text: done must fit a line.
const REASON_BYTES_MAX: usize = 2 * 1024;
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// How a test ended. Only the legal pairs of status and result can be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    status: Status,
    result: Outcome,
    reason: String,
    totals: BTreeMap<String, f64>,
    text: String,
}

impl Ending {
    fn new(status: Status, result: Outcome, reason: &str) -> Self {
        let reason = cut(reason, REASON_BYTES_MAX).to_owned();
        Self { status, result, reason, totals: BTreeMap::new(), text: String::new() }
    }

    /// The product did what it should.
    #[must_use]
    pub fn pass() -> Self {
        Self::new(Status::Complete, Outcome::Pass, "")
    }

    /// The product did not.
    #[must_use]
    pub fn fail(reason: &str) -> Self {
        Self::new(Status::Complete, Outcome::Fail, reason)
    }

    /// The test could not be done; this says nothing of the product.
    #[must_use]
    pub fn error(reason: &str) -> Self {
        Self::new(Status::Error, Outcome::Na, reason)
    }

    /// The test does not apply here.
    #[must_use]
    pub fn skip(reason: &str) -> Self {
        Self::new(Status::Skip, Outcome::Na, reason)
    }

    /// Adds a total of the final report; the name carries its unit as suffix.
    #[must_use]
    pub fn total(mut self, name: &str, value: f64) -> Self {
        self.totals.insert(name.to_owned(), value);
        self
    }

    /// Adds totals of the final report, as counters of metrics are given.
    #[must_use]
    pub fn totals(self, totals: &[(&str, f64)]) -> Self {
        totals.iter().fold(self, |ending, (name, value)| ending.total(name, *value))
    }

    /// Sets the text of the final report.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        cut(text, TEXT_BYTES_MAX).clone_into(&mut self.text);
        self
    }

    pub(crate) fn message(&self) -> ModuleMessage {
        ModuleMessage::Done {
            status: self.status,
            result: self.result,
            reason: self.reason.clone(),
            r#final: self.totals.clone(),
            text: self.text.clone(),
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match (self.status, self.result) {
            (Status::Complete, Outcome::Fail) => EXIT_FAIL,
            (Status::Error, _) => EXIT_ERROR,
            (Status::Complete | Status::Skip, _) => EXIT_PASS,
        })
    }
}

#[cfg(test)]
mod tests {
    use muster_module_protocol::encode_line;

    use super::*;

    #[test]
    fn the_longest_ending_fits_a_line() {
        let long = "\u{1}\u{e9}".repeat(100_000);
        assert!(encode_line(&Ending::fail(&long).message()).is_ok());
        let ending = Ending::error(&"e".repeat(100_000)).text(&"\u{1}".repeat(100_000)).total("written_bytes", 1.0);
        assert!(encode_line(&ending.message()).is_ok());
    }
}
