//! Evidence of wrong data: what every test of the data pattern tells and keeps of a transfer that is not what was expected. How
//! it was found, and whether it can be read again, is the test's matter.

use std::fmt::Write as _;

use muster_model::text::hex;
use muster_model::{Dpid, JobNumber, ProcessNumber};
use muster_module_protocol::Corruption;
use muster_pattern::{Expectation, Finding, Owner, SECTOR_BYTES, expected_sector, explain_sector, verify};

use crate::session::Session;

/// Wrong sectors that are explained word by word; the files hold all.
const EXPLAINED_MAX: usize = 16;

/// Wrong words of the first wrong sector in the report itself.
const REPORTED_WORDS_MAX: usize = 12;

/// A transfer that is wrong.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// What it is: whole sectors.
    pub actual: &'a [u8],
    /// What it was to be, from its first sector on.
    pub expectation: Expectation,
}

impl Evidence<'_> {
    /// A sector of it.
    ///
    /// # Panics
    /// When it has no such sector: a mistake of the caller.
    #[must_use]
    pub fn sector(&self, at: usize) -> &[u8; SECTOR_BYTES] {
        &self.sectors()[at]
    }

    /// Its sectors.
    #[must_use]
    pub fn sectors(&self) -> &[[u8; SECTOR_BYTES]] {
        self.actual.as_chunks().0
    }

    /// The sectors that are wrong, from 0.
    #[must_use]
    pub fn wrong_sectors(&self) -> Vec<usize> {
        let is_wrong = |at: &usize| verify(self.sector(*at), &self.expectation.advanced(*at)).is_err();
        (0..self.sectors().len()).filter(is_wrong).collect()
    }

    /// How the names of the files of a wrong sector begin: reports find them by its offset and its pass.
    #[must_use]
    pub fn name(offset: u64, pass: u64) -> String {
        format!("corruption-{offset}-{pass}")
    }

    /// The first wrong words of a sector, for the report itself.
    #[must_use]
    pub fn explanation(&self, at: usize) -> String {
        first_lines(&explain_sector(self.sector(at), &self.expectation.advanced(at)))
    }

    /// The report of a sector: what was expected, what is there, and whose that is, where it is another's. The rest is the
    /// caller's to say.
    #[must_use]
    pub fn corruption(&self, at: usize, finding: Option<&Finding>) -> Corruption {
        let expectation = self.expectation.advanced(at);
        let owner = finding.and_then(|finding| finding.source).and_then(|source| source.owner);
        let owner = owner.filter(|owner| *owner != expectation.owner);
        Corruption {
            target: String::new(),
            resource: String::new(),
            offset: expectation.offset,
            class: finding.map_or_else(String::new, |finding| finding.class.to_string()),
            persistence: String::new(),
            owner_run: owner.map_or(0, |owner| owner.run),
            owner_dpid: owner.map_or_else(String::new, dpid),
            expected: hex(&expected_sector(&expectation, self.sector(at))),
            actual: hex(self.sector(at)),
            detail: String::new(),
        }
    }

    /// Keeps the whole transfer as it was expected and as it is, and the explanation of its wrong sectors, as results whose names
    /// begin so; `title` says in a line of its own which sector of the transfer is explained.
    pub fn keep(&self, session: &Session, name: &str, detail: &str, title: impl Fn(usize) -> String) {
        let mut expected = Vec::with_capacity(self.actual.len());
        for (at, sector) in self.sectors().iter().enumerate() {
            expected.extend_from_slice(&expected_sector(&self.expectation.advanced(at), sector));
        }
        let mut text = format!("{detail}\n");
        for at in self.wrong_sectors().into_iter().take(EXPLAINED_MAX) {
            let _ = writeln!(text, "\n{}", title(at));
            text.push_str(&explain_sector(self.sector(at), &self.expectation.advanced(at)));
        }
        let files = [("expected.bin", &expected[..]), ("actual.bin", self.actual), ("explained.txt", text.as_bytes())];
        for (suffix, content) in files {
            session.keep_result(&format!("{name}-{suffix}"), content);
        }
    }
}

/// By how many of two more readings were good, and how many brought the same wrong bytes. TRANSIENT: both were good. STORED: both
/// were the same. UNSTABLE: anything else, a read error included.
#[must_use]
pub fn persistence(good: u32, same: u32) -> &'static str {
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

fn dpid(owner: Owner) -> String {
    Dpid { job: JobNumber(owner.job), process: ProcessNumber(owner.process) }.to_string()
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
