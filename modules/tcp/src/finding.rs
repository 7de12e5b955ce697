//! What happens when something is wrong, in this order: classify, save expected and actual, report. A packet passes only once, so
//! it can not be read again.

use muster_pattern::{Mismatch, SECTOR_BYTES, classify, verify};
use muster_sdk::{Corruption, Evidence, OnError, Worth};

use crate::core::Wrong;
use crate::flow::{Flow, name};
use crate::talk::{Failure, Line};

/// What can not be read again has this persistence.
const PASSED: &str = "PASSED";

/// Marks the place of a wrong order among those of wrong packets.
const OF_ORDER: u64 = 1 << 63;

/// Something wrong in a stream, and the packet at which it showed.
pub(crate) struct Found<'f> {
    pub(crate) line: Line<'f>,
    pub(crate) flow: Flow,
    pub(crate) peer: &'f str,
    pub(crate) packet: &'f [u8],
}

impl Found<'_> {
    /// Reports a packet with wrong content; an error where that ends the test.
    pub(crate) fn content(&self, number: u64) -> Result<(), Failure> {
        self.fire();
        let (evidence, expectation) = (self.evidence(number), self.flow.expectation(number));
        let Err(Mismatch { sector, .. }) = verify(self.packet, &expectation) else {
            return Err(Failure::Lost("verify finds right what it found wrong: a fault of this test".into()));
        };
        let Some(finding) = classify(evidence.sector(sector), &expectation.advanced(sector)) else {
            return Err(Failure::Lost("verify and classify disagree: a fault of this test".into()));
        };
        let (wrong, all) = (evidence.wrong_sectors().len(), evidence.sectors().len());
        let detail = format!("{}; {wrong} of {all} sectors of packet {number} are wrong", finding.summary());
        self.tell(number, number, sector, Corruption { detail, ..evidence.corruption(sector, Some(&finding)) })
    }

    /// Reports a wrong order; an error where that ends the test.
    pub(crate) fn disorder(&self, wrong: &Wrong) -> Result<(), Failure> {
        self.fire();
        let (first, last) = (wrong.packets.start, wrong.packets.end - 1);
        let packets = if first == last { format!("packet {first}") } else { format!("packets {first} to {last}") };
        let detail = format!("{}: {packets}; {} was next when that showed", wrong.disorder, wrong.next);
        let class = wrong.disorder.to_string();
        self.tell(first | OF_ORDER, first, 0, Corruption { class, detail, ..self.evidence(first).corruption(0, None) })
    }

    /// Reports what is worth it; an error unless the test goes on.
    fn tell(&self, place: u64, number: u64, sector: usize, wrong: Corruption) -> Result<(), Failure> {
        if self.line.session.on_error() != OnError::Continue {
            return Err(Failure::Corrupt(self.report(number, sector, wrong, true)));
        }
        let worth = self.line.stream.found().take(0, place);
        if matches!(worth, Worth::Files | Worth::Report) {
            let reason = self.report(number, sector, wrong, worth == Worth::Files);
            self.line.stream.found().note(reason);
        }
        Ok(())
    }

    /// Before anything that takes time.
    fn fire(&self) {
        self.line.session.wrong_data(&self.line.settings.triggers);
    }

    /// Reports what is wrong with a sector of the packet that was expected, once what only the stream knows is added.
    fn report(&self, number: u64, sector: usize, wrong: Corruption, keeps: bool) -> String {
        let target = name(self.line.settings.role.other(), self.line.number);
        let offset = self.flow.byte_of(number) + (sector * SECTOR_BYTES) as u64;
        let detail = format!("{}, as {target} of peer {} sent them", wrong.detail, self.peer);
        let name = Evidence::name(offset, self.flow.expectation(number).sequence);
        let name = format!("{name}-line{}", self.line.number);
        if keeps {
            let title = |at| format!("sector {at} of packet {number}");
            self.evidence(number).keep(self.line.session, &name, &detail, title);
        }
        let reason = format!("corrupt data in {target} at {offset}: {detail}");
        self.line.session.corruption(Corruption { target, offset, persistence: PASSED.to_owned(), detail, ..wrong });
        reason
    }

    /// The packet, where this one was expected.
    fn evidence(&self, number: u64) -> Evidence<'_> {
        Evidence { actual: self.packet, expectation: self.flow.expectation(number) }
    }
}
