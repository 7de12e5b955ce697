//! The last things that happened to locks, in fixed memory: who asked, got and gave back what, and when. What one wants to see when
//! something is wrong.

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use muster_sdk::Recent;

use crate::core::{Mode, Writer, dpid};

/// Entries that are kept.
const ENTRIES_MAX: usize = 4096;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// The lock was asked for.
    Asked,
    /// It was granted.
    Got,
    /// Its record was written.
    Wrote,
    /// Its record was read and verified.
    Verified,
    /// It was given back.
    Released,
    /// Its holder, or who waited for it, is gone.
    Cut,
}

impl What {
    fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Got => "got",
            Self::Wrote => "wrote",
            Self::Verified => "verified",
            Self::Released => "released",
            Self::Cut => "cut",
        }
    }
}

/// Who saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The server: a client's connection.
    Server(u64),
    /// A taker of this process.
    Taker(usize),
}

/// One thing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) seen: Seen,
    pub(crate) writer: Writer,
    pub(crate) what: What,
    pub(crate) lock: u32,
    /// Of what was asked for or granted.
    pub(crate) mode: Option<Mode>,
    pub(crate) ticket: u64,
    pub(crate) token: u64,
}

/// The ring of them, each with its time.
type Ring = Recent<(u64, Entry), ENTRIES_MAX>;

/// What all threads of a process record.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Ring>);

impl History {
    pub(crate) fn record(&self, entry: Entry) {
        self.ring().record((now(), entry));
    }

    /// All of it as comma-separated values, oldest first. A ticket or token of 0 is none.
    pub(crate) fn text(&self) -> String {
        let ring = self.ring();
        let mut text = String::from("number,at_unix_ns,seen_by,run,dpid,attempt,what,lock,mode,ticket,token\n");
        for (number, (at, entry)) in ring.iter() {
            let Entry { seen, writer, what, lock, mode, ticket, token } = *entry;
            let seen = match seen {
                Seen::Server(client) => format!("server/{client}"),
                Seen::Taker(taker) => format!("taker/{taker}"),
            };
            let (owner, what, mode) = (writer.owner, what.as_str(), mode.map_or("", Mode::as_str));
            let (run, dpid, attempt) = (owner.run, dpid(owner), owner.attempt);
            let _ = writeln!(text, "{number},{at},{seen},{run},{dpid},{attempt},{what},{lock},{mode},{ticket},{token}");
        }
        text
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nanoseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_things_are_kept_oldest_first_and_the_rest_forgotten() {
        let history = History::default();
        for token in 0..2 * ENTRIES_MAX as u64 + 3 {
            history.record(Entry {
                seen: Seen::Taker(2),
                writer: Writer::default(),
                what: What::Got,
                lock: 5,
                mode: Some(Mode::Shared),
                ticket: 7,
                token,
            });
        }
        let text = history.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + ENTRIES_MAX);
        let first = ENTRIES_MAX + 3;
        let [begin, end] = [format!("{first},"), format!(",taker/2,0,00000000,0,got,5,shared,7,{first}")];
        assert!(lines[1].starts_with(&begin) && lines[1].ends_with(&end), "{}", lines[1]);
        assert!(lines[ENTRIES_MAX].ends_with(&format!(",{}", first + ENTRIES_MAX - 1)));
    }
}
