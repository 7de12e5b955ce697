//! What happens when a move is wrong, in this order: read it again twice and classify, save expected and actual, report, save the
//! last moves of the process. Its end is the caller's matter.

use std::ops::Range;

use muster_pattern::{Expectation, Mismatch, SECTOR_BYTES, classify, verify};
use muster_sdk::{Corruption, Evidence, Session, persistence};

use crate::area::Area;
use crate::core::Move;
use crate::trouble::Trouble;

/// Most bytes that are looked at and saved around the first wrong sector.
const WINDOW_BYTES_MAX: usize = 64 << 10;

/// A datum that lies wrong where it was moved to.
pub(crate) struct Wrong<'a> {
    pub(crate) session: &'a Session,
    pub(crate) next: Move,
    pub(crate) from: &'a Area,
    /// Where the datum begins in it.
    pub(crate) from_shift: usize,
    pub(crate) to: &'a Area,
    /// Of the whole datum.
    pub(crate) expectation: Expectation,
    pub(crate) mismatch: Mismatch,
    /// What the first reading saw, from the window's beginning on.
    pub(crate) window: Range<usize>,
    pub(crate) actual: &'a [u8],
}

/// The sectors of a datum around a wrong one.
pub(crate) fn window(sector: usize, datum_bytes: usize) -> Range<usize> {
    let begin = (sector * SECTOR_BYTES).saturating_sub(WINDOW_BYTES_MAX / 2) / SECTOR_BYTES * SECTOR_BYTES;
    begin..datum_bytes.min(begin + WINDOW_BYTES_MAX)
}

impl Wrong<'_> {
    /// Reports it, and gives the trouble that it is, which ends the test or not. `history` is the text of the last moves; without it no
    /// files are kept.
    pub(crate) fn report(&self, history: Option<String>) -> Trouble {
        let persistence = self.read_again();
        let expectation = self.expectation.advanced(self.window.start / SECTOR_BYTES);
        let evidence = Evidence { actual: self.actual, expectation };
        let at = self.mismatch.sector - self.window.start / SECTOR_BYTES;
        let Some(finding) = classify(evidence.sector(at), &expectation.advanced(at)) else {
            return Trouble::Setting("verify and classify disagree: a fault of this test".into());
        };
        let target = self.target();
        let Move { datum, way, from, .. } = self.next;
        let summary = format!(
            "{}; {persistence}; {} of {} sectors around it are wrong; datum {datum} was moved from area {from} by {}, where it is {}",
            finding.summary(),
            evidence.wrong_sectors().len(),
            evidence.sectors().len(),
            way.as_str(),
            self.source(),
        );
        let name = Evidence::name(self.mismatch.offset, expectation.sequence);
        let title = |at| format!("sector at {}", expectation.advanced(at).offset);
        if history.is_some() {
            evidence.keep(self.session, &name, &format!("{target}\n{summary}"), title);
        }
        self.session.corruption(Corruption {
            target: target.clone(),
            resource: self.session.resources("cpu").next().map_or_else(String::new, |cpu| cpu.id.clone()),
            persistence: persistence.to_owned(),
            detail: format!("{summary}\n{}", evidence.explanation(at)),
            ..evidence.corruption(at, Some(&finding))
        });
        if let Some(history) = history {
            self.session.keep_result(&format!("{name}-history.csv"), history.as_bytes());
        }
        Trouble::Corrupt(format!("corrupt data in {target}: {summary}"))
    }

    /// The area and where in it: as this process, and where the kernel tells it, as the memory controller sees it.
    fn target(&self) -> String {
        let at = self.next.shift + self.mismatch.sector * SECTOR_BYTES;
        let node = self.to.node().map_or_else(String::new, |node| format!(" on node {node}"));
        let physical = self.to.physical_address(at);
        let physical = physical.map_or_else(String::new, |address| format!(", physical {address:#x}"));
        format!("area {}{node} at {:#x}{physical}", self.next.to, self.to.address(at))
    }

    /// Whether the bytes around the wrong sector are still right where they came from: then the move or its target is at fault.
    fn source(&self) -> &'static str {
        let range = self.from_shift + self.window.start..self.from_shift + self.window.end;
        let expectation = self.expectation.advanced(self.window.start / SECTOR_BYTES);
        if verify(self.from.read(range), &expectation).is_ok() { "still right" } else { "wrong too" }
    }

    fn read_again(&self) -> &'static str {
        let range = self.next.shift + self.window.start..self.next.shift + self.window.end;
        let expectation = self.expectation.advanced(self.window.start / SECTOR_BYTES);
        let (mut good, mut same) = (0, 0);
        for _ in 0..2 {
            self.to.forget_cached(range.clone());
            let again = self.to.read(range.clone());
            good += u32::from(verify(again, &expectation).is_ok());
            same += u32::from(again == self.actual);
        }
        persistence(good, same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_the_wrong_sector_and_never_more_than_the_datum() {
        assert_eq!(window(0, 512), 0..512);
        assert_eq!(window(100, 1 << 20), 18_432..83_968);
        assert_eq!(window(2047, 1 << 20), (1 << 20) - 512 - 32_768..1 << 20);
        for sector in [0, 1, 63, 64, 65, 127, 128, 2047] {
            let window = window(sector, 1 << 20);
            assert!(window.contains(&(sector * SECTOR_BYTES)) && window.len() <= WINDOW_BYTES_MAX);
        }
    }
}
