//! The last moves of this process, in fixed memory: what one wants to see when data are wrong.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use muster_sdk::Recent;

use crate::core::Move;

/// Moves that are kept.
const MOVES_MAX: usize = 1024;

#[derive(Debug, Clone, Copy)]
struct Entry {
    pass: u64,
    next: Move,
    bytes: u64,
    begun: Instant,
    moving: Duration,
}

/// The last moves, and when the first could begin.
#[derive(Debug)]
pub(crate) struct History {
    begin: Instant,
    moves: Recent<Entry, MOVES_MAX>,
}

impl History {
    pub(crate) fn new() -> Self {
        Self { begin: Instant::now(), moves: Recent::new() }
    }

    pub(crate) fn record(&mut self, pass: u64, next: &Move, bytes: u64, begun: Instant, moving: Duration) {
        self.moves.record(Entry { pass, next: *next, bytes, begun, moving });
    }

    /// All of it as comma-separated values, oldest first.
    pub(crate) fn text(&self) -> String {
        let mut text = String::from("number,pass,way,datum,from_area,to_area,shift,bytes,begun_ns,took_ns\n");
        for (number, entry) in self.moves.iter() {
            let Entry { pass, next, bytes, begun, moving } = entry;
            let Move { datum, way, from, to, shift } = next;
            let (begun, took) = (begun.saturating_duration_since(self.begin).as_nanos(), moving.as_nanos());
            let way = way.as_str();
            let _ = writeln!(text, "{number},{pass},{way},{datum},{from},{to},{shift},{bytes},{begun},{took}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::way::Way;

    #[test]
    fn the_last_moves_are_kept_oldest_first_and_the_rest_forgotten() {
        let mut history = History::new();
        for datum in 0..2 * MOVES_MAX + 3 {
            let next = Move { datum, way: Way::Odd, from: 1, to: 2, shift: 3 };
            history.record(9, &next, 512, Instant::now(), Duration::from_nanos(5));
        }
        let text = history.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + MOVES_MAX);
        let first = MOVES_MAX + 3;
        assert!(lines[1].starts_with(&format!("{first},9,odd,{first},1,2,3,512,")), "{}", lines[1]);
        assert!(lines[MOVES_MAX].ends_with(",5"));
    }
}
