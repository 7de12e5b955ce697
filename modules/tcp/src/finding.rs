//! What happens when something is wrong, in this order: classify, save expected and actual, report. A packet passes only once, so
//! it can not be read again.

use std::fmt::Write as _;

use muster_model::{Dpid, JobNumber, ProcessNumber};
use muster_pattern::{Owner, SECTOR_BYTES, classify, expected_sector, explain_sector, verify};
use muster_sdk::Corruption;

use crate::core::Wrong;
use crate::flow::{Flow, name};
use crate::talk::{Failure, Line};

/// Wrong sectors that are explained word by word; the files hold all.
const EXPLAINED_MAX: usize = 16;
/// What can not be read again has this persistence.
const PASSED: &str = "PASSED";

/// Something wrong in a stream, and the packet at which it showed.
pub(crate) struct Found<'f> {
    pub(crate) line: Line<'f>,
    pub(crate) flow: Flow,
    pub(crate) peer: &'f str,
    pub(crate) packet: &'f [u8],
}

/// What is wrong, for a report.
struct Report {
    class: String,
    /// The packet that was expected.
    number: u64,
    /// Sector of it.
    sector: usize,
    /// Who wrote it, where that is another one.
    owner: Option<Owner>,
    detail: String,
}

impl Found<'_> {
    /// Reports a packet with wrong content, and gives the failure that ends the test.
    pub(crate) fn content(&self, number: u64) -> Failure {
        let expectation = self.flow.expectation(number);
        let Err(mismatch) = verify(self.packet, &expectation) else {
            return Failure::Lost("verify finds right what it found wrong: a fault of this test".into());
        };
        let (actual, expectation) = (self.sector(mismatch.sector), expectation.advanced(mismatch.sector));
        let Some(finding) = classify(actual, &expectation) else {
            return Failure::Lost("verify and classify disagree: a fault of this test".into());
        };
        let wrong = self.wrong_sectors(number).len();
        let detail =
            format!("{}; {wrong} of {} sectors of packet {number} are wrong", finding.summary(), self.sectors());
        self.report(&Report {
            class: finding.class.to_string(),
            number,
            sector: mismatch.sector,
            owner: finding.source.and_then(|source| source.owner).filter(|owner| *owner != expectation.owner),
            detail,
        })
    }

    /// Reports a wrong order.
    pub(crate) fn disorder(&self, wrong: &Wrong) -> Failure {
        let (first, last) = (wrong.packets.start, wrong.packets.end - 1);
        let packets = if first == last { format!("packet {first}") } else { format!("packets {first} to {last}") };
        self.report(&Report {
            class: wrong.disorder.to_string(),
            number: first,
            sector: 0,
            owner: None,
            detail: format!("{}: {packets}; {} was next when that showed", wrong.disorder, wrong.next),
        })
    }

    fn report(&self, report: &Report) -> Failure {
        let target = name(self.line.settings.role.other(), self.line.number);
        let offset = self.flow.byte_of(report.number) + (report.sector * SECTOR_BYTES) as u64;
        let detail = format!("{}, as {target} of peer {} sent them", report.detail, self.peer);
        self.save(report.number, offset, &detail);
        let expectation = self.flow.expectation(report.number).advanced(report.sector);
        let actual = self.sector(report.sector);
        self.line.session.corruption(Corruption {
            target: target.clone(),
            resource: String::new(),
            offset,
            class: report.class.clone(),
            persistence: PASSED.to_owned(),
            owner_run: report.owner.map_or(0, |owner| owner.run),
            owner_dpid: report.owner.map_or_else(String::new, dpid),
            expected: hex(&expected_sector(&expectation, actual)),
            actual: hex(actual),
            detail: detail.clone(),
        });
        Failure::Corrupt(format!("corrupt data in {target} at {offset}: {detail}"))
    }

    fn sectors(&self) -> usize {
        self.packet.len() / SECTOR_BYTES
    }

    fn sector(&self, at: usize) -> &[u8; SECTOR_BYTES] {
        &self.packet.as_chunks().0[at]
    }

    fn wrong_sectors(&self, number: u64) -> Vec<usize> {
        let expectation = self.flow.expectation(number);
        let wrong = |at: &usize| verify(self.sector(*at), &expectation.advanced(*at)).is_err();
        (0..self.sectors()).filter(wrong).collect()
    }

    /// Saves the packet, as it was expected and as it is, and the explanation.
    fn save(&self, number: u64, offset: u64, detail: &str) {
        let expectation = self.flow.expectation(number);
        let mut expected = Vec::with_capacity(self.packet.len());
        for at in 0..self.sectors() {
            expected.extend_from_slice(&expected_sector(&expectation.advanced(at), self.sector(at)));
        }
        let mut text = format!("{detail}\n");
        for at in self.wrong_sectors(number).into_iter().take(EXPLAINED_MAX) {
            let _ = writeln!(text, "\nsector {at} of packet {number}");
            text.push_str(&explain_sector(self.sector(at), &expectation.advanced(at)));
        }
        let files = [("expected.bin", &expected[..]), ("actual.bin", self.packet), ("explained.txt", text.as_bytes())];
        for (suffix, content) in files {
            let name = format!("corruption-{}-{offset}-{suffix}", self.line.number);
            self.line.session.keep_result(&name, content);
        }
    }
}

fn dpid(owner: Owner) -> String {
    Dpid { job: JobNumber(owner.job), process: ProcessNumber(owner.process) }.to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
