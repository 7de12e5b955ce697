//! The last transfers of this process, in fixed memory: what one wants to see when data are wrong.

use std::fmt::Write as _;
use std::io;
use std::time::Instant;

use muster_sdk::Recent;

use crate::clock::Clock;
use crate::engine::Kind;
use crate::queue::{Flight, Transfer};

/// Transfers that are kept.
pub(crate) const TRANSFERS_MAX: usize = 1024;

#[derive(Debug, Clone, Copy)]
struct Entry {
    kind: Kind,
    offset: u64,
    bytes: usize,
    pass: u64,
    begun: Instant,
    ended: Instant,
    /// Number of the error; none where it went well.
    error: Option<i32>,
}

/// The last transfers that ended.
#[derive(Debug)]
pub(crate) struct History(Recent<Entry, TRANSFERS_MAX>);

impl History {
    pub(crate) fn new() -> Self {
        Self(Recent::new())
    }

    /// Records a transfer that has ended.
    pub(crate) fn record(
        &mut self,
        transfer: &Transfer,
        bytes: usize,
        begun: Instant,
        ended: Instant,
        result: &io::Result<()>,
    ) {
        let Transfer { kind, expectation, .. } = transfer;
        let error = result.as_ref().err().map(|error| error.raw_os_error().unwrap_or(0));
        let (offset, pass) = (expectation.offset, expectation.sequence);
        self.0.record(Entry { kind: *kind, offset, bytes, pass, begun, ended, error });
    }

    /// All of it as comma-separated values, oldest first, and then what is under way.
    pub(crate) fn text<'a>(&self, clock: &Clock, bytes: usize, flights: impl Iterator<Item = &'a Flight>) -> String {
        let mut text = String::from("number,kind,offset,bytes,pass,begun_unix_ns,took_ns,result\n");
        for (number, entry) in self.0.iter() {
            let Entry { offset, bytes, pass, .. } = entry;
            let (kind, begun) = (entry.kind.as_str(), clock.wall(entry.begun));
            let took = entry.ended.saturating_duration_since(entry.begun).as_nanos();
            let _ = write!(text, "{number},{kind},{offset},{bytes},{pass},{begun},{took},");
            let _ = match entry.error {
                None => writeln!(text, "done"),
                Some(number) => writeln!(text, "error {number}"),
            };
        }
        for flight in flights {
            let Transfer { kind, expectation, .. } = flight.transfer;
            let (offset, pass, begun) = (expectation.offset, expectation.sequence, clock.wall(flight.begun));
            let _ = writeln!(text, ",{},{offset},{bytes},{pass},{begun},,under way", kind.as_str());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use muster_pattern::Expectation;

    use super::*;

    #[test]
    fn the_last_transfers_are_kept_oldest_first_and_the_rest_forgotten() {
        let (clock, mut history) = (Clock::new(), History::new());
        for offset in 0..2 * TRANSFERS_MAX as u64 + 3 {
            let expectation = Expectation { offset: offset * 512, sequence: 7, ..Expectation::default() };
            let transfer = Transfer { kind: Kind::Write, place: offset, expectation };
            let result = if offset == 0 { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) };
            history.record(&transfer, 512, clock.now(), clock.now(), &result);
            if offset == 0 {
                let text = history.text(&clock, 512, std::iter::empty());
                assert!(text.contains("0,write,0,512,7,") && text.ends_with("error 5\n"), "{text}");
            }
        }
        let text = history.text(&clock, 512, std::iter::empty());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + TRANSFERS_MAX);
        let first = TRANSFERS_MAX + 3;
        assert!(lines[1].starts_with(&format!("{first},write,{},512,7,", first * 512)), "{}", lines[1]);
        assert!(lines[TRANSFERS_MAX].starts_with(&format!("{},write", first + TRANSFERS_MAX - 1)));
    }
}
