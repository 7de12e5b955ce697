//! What happens when a transfer is wrong, in this order: read it again twice, classify, save expected and actual, report.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use muster_model::{Dpid, JobNumber, ProcessNumber};
use muster_pattern::{Expectation, Finding, Mismatch, SECTOR_BYTES, classify, expected_sector, explain_sector, verify};
use muster_sdk::{Corruption, Session};

use crate::settings::Settings;
use crate::target::Target;
use crate::transfer::Buffer;
use crate::trouble::Trouble;

/// Wrong sectors that are explained word by word; the files hold all.
const EXPLAINED_MAX: usize = 16;

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
    /// Reports it, and gives the trouble that ends the test.
    pub(crate) fn report(&self) -> Trouble {
        let persistence = self.read_again();
        let (sector, expectation) = (self.sector(), self.expectation.advanced(self.mismatch.sector));
        let Some(finding) = classify(sector, &expectation) else {
            return Trouble::Setting("verify and classify disagree: a fault of this test".into());
        };
        let detail = format!(
            "{}; {persistence}; {} of {} sectors of the transfer at {} are wrong; read again: {}",
            finding.summary(),
            self.wrong_sectors().len(),
            self.actual.len() / SECTOR_BYTES,
            self.expectation.offset,
            self.read_command(),
        );
        self.save(&detail);
        self.session.corruption(self.corruption(&finding, persistence, &expectation, &detail));
        let path = self.target.path().display();
        Trouble::Corrupt(format!("corrupt data in {path} at {}: {detail}", self.mismatch.offset))
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
        match (good, same) {
            (2, _) => "TRANSIENT",
            (_, 2) => "STORED",
            _ => "UNSTABLE",
        }
    }

    fn wrong_sectors(&self) -> Vec<usize> {
        let sectors = self.actual.as_chunks::<SECTOR_BYTES>().0.iter().enumerate();
        let wrong = sectors.filter(|(at, sector)| verify(*sector, &self.expectation.advanced(*at)).is_err());
        wrong.map(|(at, _)| at).collect()
    }

    fn read_command(&self) -> String {
        let sector = self.mismatch.offset / SECTOR_BYTES as u64;
        format!("dd if={} bs=512 skip={sector} count=1 iflag=direct | xxd", self.target.path().display())
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
            let name = format!("corruption-{}-{suffix}", self.expectation.offset);
            self.save_one(&self.session.results().join(&name), &name, content);
        }
    }

    fn save_one(&self, path: &Path, name: &str, content: &[u8]) {
        match std::fs::write(path, content) {
            Ok(()) => self.session.artifact(&absolute(path), name),
            Err(error) => self.session.event("evidence_not_saved", &format!("{}: {error}", path.display())),
        }
    }
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
