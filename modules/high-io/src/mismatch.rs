//! What happens when a transfer is wrong, in this order: read it again twice and classify, save expected and actual, report, save
//! the last transfers of the process. Its end is the caller's matter.

use std::fmt::Write as _;

use muster_pattern::{Expectation, Mismatch, SECTOR_BYTES, classify, explain_sector, verify};
use muster_sdk::{Corruption, Evidence, Session};

use crate::buffer::Buffer;
use crate::settings::Settings;
use crate::target::Target;
use crate::trouble::Trouble;

/// Wrong words of the first wrong sector in the report itself.
const REPORTED_WORDS_MAX: usize = 12;

/// A wrong transfer.
pub(crate) struct Wrong<'a> {
    pub(crate) session: &'a Session,
    pub(crate) settings: &'a Settings,
    pub(crate) target: &'a Target,
    pub(crate) actual: &'a [u8],
    /// Of the whole transfer.
    pub(crate) expectation: Expectation,
    pub(crate) mismatch: Mismatch,
}

impl Wrong<'_> {
    /// Reports it, and gives the trouble that ends the test. `history` is the text of the last transfers.
    pub(crate) fn report(&self, history: impl FnOnce() -> String) -> Trouble {
        let persistence = self.read_again();
        let evidence = Evidence { actual: self.actual, expectation: self.expectation };
        let at = self.mismatch.sector;
        let (sector, expectation) = (evidence.sector(at), self.expectation.advanced(at));
        let Some(finding) = classify(sector, &expectation) else {
            return Trouble::Setting("verify and classify disagree: a fault of this test".into());
        };
        let summary = format!(
            "{}; {persistence}; {} of {} sectors of the transfer at {} are wrong; read again: {}",
            finding.summary(),
            evidence.wrong_sectors().len(),
            evidence.sectors().len(),
            self.expectation.offset,
            self.read_command(),
        );
        let (name, path) = (format!("corruption-{}", self.expectation.offset), self.target.path());
        let title = |at| format!("sector at {}", self.expectation.advanced(at).offset);
        evidence.keep(self.session, &name, &summary, title);
        self.session.corruption(Corruption {
            target: path.to_string_lossy().into_owned(),
            resource: self.settings.device.clone(),
            persistence: persistence.to_owned(),
            detail: format!("{summary}\n{}", first_lines(&explain_sector(sector, &expectation))),
            ..evidence.corruption(at, Some(&finding))
        });
        self.session.keep_result(&format!("{name}-history.csv"), history().as_bytes());
        Trouble::Corrupt(format!("corrupt data in {} at {}: {summary}", path.display(), self.mismatch.offset))
    }

    /// TRANSIENT: good when read again, twice. STORED: the same bytes each time. UNSTABLE: anything else, a read error included.
    fn read_again(&self) -> &'static str {
        let mut again = Buffer::new(self.actual.len());
        let (mut good, mut same) = (0, 0);
        for _ in 0..2 {
            if self.target.forget_cached().is_ok() && self.target.read(&mut again, self.expectation.offset).is_ok() {
                good += u32::from(verify(&again, &self.expectation).is_ok());
                same += u32::from(again[..] == *self.actual);
            }
        }
        persistence(good, same)
    }

    fn read_command(&self) -> String {
        let sector = self.mismatch.offset / SECTOR_BYTES as u64;
        let direct = if self.target.is_direct() { " iflag=direct" } else { "" };
        format!("dd if={} bs=512 skip={sector} count=1{direct} | xxd", self.target.path().display())
    }
}

/// By how many of two readings were good, and how many brought the same wrong bytes.
fn persistence(good: u32, same: u32) -> &'static str {
    match (good, same) {
        (2, _) => "TRANSIENT",
        (_, 2) => "STORED",
        _ => "UNSTABLE",
    }
}

/// The head of an explanation and its first words, and how many more there are.
fn first_lines(explanation: &str) -> String {
    const HEAD_LINES: usize = 2;
    let (lines, shown) = (explanation.lines().count(), HEAD_LINES + REPORTED_WORDS_MAX);
    let mut text = explanation.lines().take(shown).collect::<Vec<_>>().join("\n");
    if lines > shown {
        let _ = write!(text, "\nand {} more words: see the artifact explained.txt", lines - shown);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_good_twice_is_transient_and_only_what_is_the_same_twice_is_stored() {
        let all = [(2, 0), (0, 2), (1, 1), (0, 1), (1, 0), (0, 0)].map(|(good, same)| persistence(good, same));
        assert_eq!(all, ["TRANSIENT", "STORED", "UNSTABLE", "UNSTABLE", "UNSTABLE", "UNSTABLE"]);
    }
}
