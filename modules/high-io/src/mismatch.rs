//! What happens when a transfer is wrong, in this order: read it again twice and classify, save expected and actual, report, save
//! the last transfers of the process. Its end is the caller's matter.

use muster_pattern::{Expectation, Mismatch, SECTOR_BYTES, classify, verify};
use muster_sdk::{Corruption, Evidence, Session, persistence};

use crate::buffer::Buffer;
use crate::settings::Settings;
use crate::target::Target;
use crate::trouble::Trouble;

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
    /// Reports it, and gives the trouble that it is, which ends the test or not. `history` is the text of the last transfers;
    /// without it no files are kept.
    pub(crate) fn report(&self, history: Option<String>) -> Trouble {
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
        let (name, path) = (Evidence::name(expectation.offset, expectation.sequence), self.target.path());
        let title = |at| format!("sector at {}", self.expectation.advanced(at).offset);
        if history.is_some() {
            evidence.keep(self.session, &name, &summary, title);
        }
        self.session.corruption(Corruption {
            target: path.to_string_lossy().into_owned(),
            resource: self.settings.device.clone(),
            persistence: persistence.to_owned(),
            detail: format!("{summary}\n{}", evidence.explanation(at)),
            ..evidence.corruption(at, Some(&finding))
        });
        if let Some(history) = history {
            self.session.keep_result(&format!("{name}-history.csv"), history.as_bytes());
        }
        Trouble::Corrupt(format!("corrupt data in {} at {}: {summary}", path.display(), self.mismatch.offset))
    }

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
