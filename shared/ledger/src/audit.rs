//! Whether a decision log is as it was written: both of its copies walked along their chains of hashes, and compared with each other.
//!
//! Pure; what reads the copies is in `audit/read.rs`. Every message names the hash of the one before it, and holds who asked for what, when, and
//! what was decided and answered. So whoever changes, removes, adds or moves one breaks a link, unless all that follow are written again, in
//! both copies; and who does that is found by a seal: the hash of one message, kept elsewhere.

mod read;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use muster_model::text::hex;
use muster_model::{PoolTime, Position};
use muster_proto::v1::cause::Kind;

pub use self::read::{AuditOptions, audit};
use crate::chain::{self, Hash, NO_HASH, Opened};

/// Breaks that are told one by one; more are counted.
const BREAKS_MAX: usize = 20;

/// One of the two copies of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The stream that its service appends to.
    Log,
    /// The archive in PostgreSQL.
    Archive,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "log",
            Self::Archive => "archive",
        })
    }
}

/// A place at which a log is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// In which copy.
    pub copy: Side,
    /// Where.
    pub position: Position,
    /// What is found there, and what it means.
    pub what: String,
}

/// A message whose hash somebody kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Its position.
    pub position: Position,
    /// Its BLAKE3.
    pub hash: Hash,
}

/// What was found of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audited {
    /// Messages of both copies together, each once.
    pub messages: u64,
    /// Commands that were decided in them.
    pub commands: u64,
    /// Those of which the servers proved who sent them.
    pub proven: u64,
    /// The oldest message that there is.
    pub first: Option<Position>,
    /// Pool time of the first and of the last entry.
    pub times: Option<(PoolTime, PoolTime)>,
    /// The newest message: a seal of all before it.
    pub head: Option<Seal>,
    /// Newest message of the archive; none where it could not be asked, or is empty.
    pub archived: Option<Position>,
    /// Why the archive could not be asked; empty where it could.
    pub archive_away: String,
    /// Where the log is not as it was written, in order.
    pub breaks: Vec<Break>,
    /// Breaks beyond those.
    pub breaks_more: u64,
}

/// The end of a copy as far as it was walked.
#[derive(Debug, Clone, Copy)]
struct End {
    position: Position,
    hash: Hash,
}

/// A message of a copy, opened and hashed once.
#[derive(Debug)]
struct Message {
    hash: Hash,
    opened: Result<Opened, String>,
}

impl Message {
    fn of(payload: &Bytes) -> Self {
        let opened = chain::open(payload);
        let hash = opened.as_ref().map_or_else(|_| chain::hash(payload), |opened| opened.hash);
        Self { hash, opened }
    }
}

/// Walks the copies of one log. What has the lesser position is given first, and at the same position the archive's.
#[derive(Debug)]
pub(crate) struct Auditor {
    seals: Vec<Seal>,
    since: PoolTime,
    log: Option<End>,
    archive: Option<End>,
    found: Audited,
}

impl Auditor {
    /// Begins, with what is known from elsewhere. What is from before `since` is held against its neighbours, and not counted.
    pub(crate) fn new(seals: Vec<Seal>, since: PoolTime) -> Self {
        Self { seals, since, log: None, archive: None, found: Audited::default() }
    }

    /// Takes the next message of the archive, with the hash that it is kept under.
    fn archived(&mut self, at: Position, kept: &[u8], message: Message) {
        if message.hash != kept {
            let what = "its bytes are not those that it was archived with: it was changed afterwards";
            self.broken(Side::Archive, at, what.into());
        }
        let opened = self.link(Side::Archive, at, message);
        self.found.archived = Some(at);
        if let Some(opened) = &opened {
            self.count(opened);
        }
    }

    /// Takes the next message of the log.
    fn logged(&mut self, at: Position, message: Message) {
        let is_new = self.archive.is_none_or(|end| end.position < at);
        let same = self.archive.filter(|end| end.position == at);
        if same.is_some_and(|end| end.hash != message.hash) {
            self.broken(Side::Log, at, "log and archive hold different messages here: one of them was changed".into());
        }
        let opened = self.link(Side::Log, at, message);
        match &opened {
            Some(opened) if is_new => self.count(opened),
            Some(_) | None => {}
        }
    }

    /// Ends: the log ends at `last`. `archive_away` says why the archive could not be asked.
    pub(crate) fn finish(mut self, last: Option<Position>, archive_away: String) -> Audited {
        if let Some(archive) = self.archive.filter(|archive| last.is_none_or(|last| archive.position > last)) {
            let ends = last.map_or_else(|| "is empty".to_owned(), |last| format!("ends at {last}"));
            let what = format!("the log {ends}, and its archive at {}: its end was cut off", archive.position);
            self.broken(Side::Log, last.unwrap_or_default(), what);
        }
        let head = [self.log, self.archive].into_iter().flatten().max_by_key(|end| end.position);
        self.found.head = head.map(|end| Seal { position: end.position, hash: end.hash });
        for seal in std::mem::take(&mut self.seals) {
            let what = format!("there is no such message, and a seal says {}", hex(&seal.hash));
            self.broken(Side::Log, seal.position, what);
        }
        self.found.archive_away = archive_away;
        self.found
    }

    /// Holds a message against the one before it in its copy.
    fn link(&mut self, copy: Side, at: Position, Message { hash, opened }: Message) -> Option<Opened> {
        let before = match copy {
            Side::Log => self.log.or(self.archive.filter(|end| end.position.sequence.0 + 1 == at.sequence.0)),
            Side::Archive => self.archive,
        };
        let end = Some(End { position: at, hash });
        match copy {
            Side::Log => self.log = end,
            Side::Archive => self.archive = end,
        }
        self.found.first.get_or_insert(at);
        self.hold_against_seals(copy, at, hash);
        match opened {
            Err(reason) => {
                self.broken(copy, at, format!("it can not be read: {reason}"));
                None
            }
            Ok(opened) => {
                if let Some(what) = mismatch(before, at, &opened) {
                    self.broken(copy, at, what);
                }
                Some(opened)
            }
        }
    }

    fn hold_against_seals(&mut self, copy: Side, at: Position, hash: Hash) {
        let sealed: Vec<Seal> = self.seals.extract_if(.., |seal| seal.position == at).collect();
        for seal in sealed.iter().filter(|seal| seal.hash != hash) {
            let what = format!(
                "a seal says {}, and it is {}: this or something before was changed",
                hex(&seal.hash),
                hex(&hash)
            );
            self.broken(copy, at, what);
        }
    }

    fn count(&mut self, opened: &Opened) {
        let counted = |time: i64| time >= self.since.0;
        self.found.messages += u64::from(opened.entries.iter().any(|entry| counted(entry.time_ns)));
        for entry in opened.entries.iter().filter(|entry| counted(entry.time_ns)) {
            let time = PoolTime(entry.time_ns);
            let first = self.found.times.map_or(time, |(first, _)| first);
            self.found.times = Some((first, time));
            if matches!(entry.cause.as_ref().and_then(|cause| cause.kind.as_ref()), Some(Kind::Command(_))) {
                self.found.commands += 1;
                self.found.proven += u64::from(!entry.sender.is_empty());
            }
        }
    }

    fn broken(&mut self, copy: Side, position: Position, what: String) {
        if self.found.breaks.len() < BREAKS_MAX {
            self.found.breaks.push(Break { copy, position, what });
        } else {
            self.found.breaks_more += 1;
        }
    }
}

/// What does not fit between a message and the one before it; nothing is known of what is before the first of a copy.
fn mismatch(before: Option<End>, at: Position, opened: &Opened) -> Option<String> {
    let place = opened.place;
    if place.position != at {
        return Some(format!("it says that it is {}: it was moved here", place.position));
    }
    let before = before?;
    let begins = place.previous == NO_HASH;
    match before.position {
        last if at.lineage > last.lineage && begins => None,
        last if at.lineage != last.lineage || begins => {
            Some(format!("it does not belong after {last}: what was between is missing, or it was put here"))
        }
        last if at.sequence.0 != last.sequence.0 + 1 => {
            let missing = at.sequence.0.saturating_sub(last.sequence.0 + 1);
            Some(format!("{missing} messages are missing between {last} and this one: they were removed"))
        }
        last if place.previous != before.hash => Some(format!(
            "it was written after another message than the one at {last}: that one was changed, or this one"
        )),
        _ => None,
    }
}
