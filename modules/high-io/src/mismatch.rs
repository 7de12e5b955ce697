//! What happens when a transfer is wrong, in this order: read it again twice and classify, save expected and actual, report, save
//! the last transfers of the process. Its end is the caller's matter.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use muster_model::{Dpid, JobNumber, ProcessNumber};
use muster_pattern::{Expectation, Finding, Mismatch, SECTOR_BYTES, classify, expected_sector, explain_sector, verify};
use muster_sdk::{Corruption, Session};

use crate::buffer::Buffer;
use crate::settings::Settings;
use crate::target::Target;
use crate::trouble::Trouble;

/// Wrong sectors that are explained word by word; the files hold all.
const EXPLAINED_MAX: usize = 16;
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
        let (sector, expectation) = (self.sector(), self.expectation.advanced(self.mismatch.sector));
        let Some(finding) = classify(sector, &expectation) else {
            return Trouble::Setting("verify and classify disagree: a fault of this test".into());
        };
        let summary = format!(
            "{}; {persistence}; {} of {} sectors of the transfer at {} are wrong; read again: {}",
            finding.summary(),
            self.wrong_sectors().len(),
            self.actual.len() / SECTOR_BYTES,
            self.expectation.offset,
            self.read_command(),
        );
        self.save(&summary);
        let detail = format!("{summary}\n{}", first_lines(&explain_sector(sector, &expectation)));
        self.session.corruption(self.corruption(&finding, persistence, &expectation, &detail));
        self.save_one("history.csv", history().as_bytes());
        let path = self.target.path().display();
        Trouble::Corrupt(format!("corrupt data in {path} at {}: {summary}", self.mismatch.offset))
    }

    fn sector(&self) -> &[u8; SECTOR_BYTES] {
        &self.actual.as_chunks().0[self.mismatch.sector]
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

    fn wrong_sectors(&self) -> Vec<usize> {
        let sectors = self.actual.as_chunks::<SECTOR_BYTES>().0.iter().enumerate();
        let wrong = sectors.filter(|(at, sector)| verify(*sector, &self.expectation.advanced(*at)).is_err());
        wrong.map(|(at, _)| at).collect()
    }

    fn read_command(&self) -> String {
        let sector = self.mismatch.offset / SECTOR_BYTES as u64;
        let direct = if self.target.is_direct() { " iflag=direct" } else { "" };
        format!("dd if={} bs=512 skip={sector} count=1{direct} | xxd", self.target.path().display())
    }

    fn corruption(&self, finding: &Finding, persistence: &str, expectation: &Expectation, detail: &str) -> Corruption {
        let owner = finding.source.and_then(|source| source.owner).filter(|owner| *owner != expectation.owner);
        let dpid = |job, process| Dpid { job: JobNumber(job), process: ProcessNumber(process) }.to_string();
        Corruption {
            target: self.target.path().to_string_lossy().into_owned(),
            resource: self.settings.device.clone(),
            offset: self.mismatch.offset,
            class: finding.class.to_string(),
            persistence: persistence.to_owned(),
            owner_run: owner.map_or(0, |owner| owner.run),
            owner_dpid: owner.map_or_else(String::new, |owner| dpid(owner.job, owner.process)),
            expected: hex(&expected_sector(expectation, self.sector())),
            actual: hex(self.sector()),
            detail: detail.to_owned(),
        }
    }

    /// Saves the whole transfer, as it was expected and as it is, and the explanation.
    fn save(&self, detail: &str) {
        let mut expected = Vec::with_capacity(self.actual.len());
        for (at, sector) in self.actual.as_chunks().0.iter().enumerate() {
            expected.extend_from_slice(&expected_sector(&self.expectation.advanced(at), sector));
        }
        let mut text = format!("{detail}\n");
        for at in self.wrong_sectors().into_iter().take(EXPLAINED_MAX) {
            let expectation = self.expectation.advanced(at);
            let _ = writeln!(text, "\nsector at {}", expectation.offset);
            text.push_str(&explain_sector(&self.actual.as_chunks().0[at], &expectation));
        }
        let files = [("expected.bin", &expected[..]), ("actual.bin", self.actual), ("explained.txt", text.as_bytes())];
        for (suffix, content) in files {
            self.save_one(suffix, content);
        }
    }

    fn save_one(&self, suffix: &str, content: &[u8]) {
        let name = format!("corruption-{}-{suffix}", self.expectation.offset);
        let path = self.session.results().join(&name);
        match std::fs::write(&path, content) {
            Ok(()) => self.session.artifact(&absolute(&path), &name),
            Err(error) => self.session.event("evidence_not_saved", &format!("{}: {error}", path.display())),
        }
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

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
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
