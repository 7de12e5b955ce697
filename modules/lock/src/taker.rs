//! One taker: takes a lock, checks its order, reads what the record holds, writes it where it may, holds the lock, verifies the record,
//! gives the lock back; again and again. Two holders at once are seen by what they write.

use std::time::{Duration, Instant};

use muster_pattern::{Expectation, Stamp, decode_header, fill, verify};
use muster_sdk::Live;

use crate::core::{Grant, Last, Mode, Plan, check_grant, record_of};
use crate::finding::{self, WrongRecord};
use crate::history::{Entry, Seen, What, now};
use crate::locks::{Break, Locks};
use crate::settings::Pace;
use crate::trouble::Trouble;
use crate::work::Work;

/// How often a taker that is blocked by a pulse looks for the end.
const GATE_LOOK: Duration = Duration::from_millis(100);

/// One taker at work.
pub(crate) struct Taker<'w> {
    work: &'w Work<'w>,
    number: usize,
    locks: Box<dyn Locks + Send + 'w>,
    plan: Plan,
    pace: Live<Pace>,
    /// Greatest token of each lock that it was granted.
    seen: Vec<u64>,
    buffer: Vec<u8>,
}

impl<'w> Taker<'w> {
    pub(crate) fn new(work: &'w Work<'w>, number: usize, locks: Box<dyn Locks + Send + 'w>) -> Result<Self, Trouble> {
        let settings = work.settings;
        Ok(Self {
            work,
            number,
            locks,
            plan: Plan::new(work.session.seed(), number, settings.locks, settings.shared_percent),
            pace: Live::new(work.session, Pace::read)?,
            seen: vec![0; settings.locks as usize],
            buffer: vec![0; settings.record_bytes],
        })
    }

    /// Works until the test is over.
    pub(crate) fn run(mut self) -> Result<(), Trouble> {
        let ended = self.take_all();
        self.locks.leave();
        ended
    }

    fn take_all(&mut self) -> Result<(), Trouble> {
        while self.is_free() {
            self.pace.follow(self.work.session);
            let taken = match self.take_one() {
                Err(Break::Lost(reason)) => self.locks.again(&reason),
                other => other,
            };
            match taken {
                Ok(()) => {}
                Err(Break::Over) => break,
                Err(Break::Wrong(lock, token, wrong)) => finding::order(self.work, lock, token, &wrong),
                Err(Break::Lost(reason)) => return Err(Trouble::Gone(reason)),
                Err(Break::Trouble(trouble)) => return Err(trouble),
            }
            self.work.pause(self.pace.pause);
        }
        Ok(())
    }

    /// Waits until no pulse blocks it; false when the test is over.
    fn is_free(&self) -> bool {
        while !self.work.is_over() {
            if self.work.session.gate_within(GATE_LOOK) {
                return !self.work.is_over();
            }
        }
        false
    }

    fn take_one(&mut self) -> Result<(), Break> {
        let (lock, mode) = self.plan.next();
        let asked = Instant::now();
        self.record(What::Asked, lock, Some(mode), 0, 0);
        let grant = self.locks.take(lock, mode)?;
        let got = Instant::now();
        self.record(What::Got, lock, Some(mode), grant.ticket, grant.token);
        self.work.tally().granted(got - asked);
        let order = check_grant(&grant, self.seen[lock as usize]);
        self.seen[lock as usize] = self.seen[lock as usize].max(grant.token);
        let sound = match order {
            Ok(()) => self.hold(&grant)?,
            Err(wrong) => {
                finding::order(self.work, lock, grant.token, &wrong);
                false
            }
        };
        self.record(What::Released, lock, Some(mode), grant.ticket, grant.token);
        self.locks.give_back(sound)?;
        self.work.tally().held(mode, got.elapsed());
        self.work.session.iterate(1);
        Ok(())
    }

    /// With the lock in hand; whether its record is right in the end.
    fn hold(&mut self, grant: &Grant) -> Result<bool, Break> {
        let Some(held) = self.open(grant)? else { return Ok(false) };
        self.work.pause(self.pace.hold);
        match held {
            Some(expectation) => self.check(grant, expectation),
            None => Ok(true),
        }
    }

    /// Verifies what the one before has left, and writes where it may. What the record must hold from then on, where that is known;
    /// nothing at all where it was wrong.
    fn open(&mut self, grant: &Grant) -> Result<Option<Option<Expectation>>, Break> {
        let bytes = self.work.settings.record_bytes;
        let mut known = None;
        if let Last::Written(writer, token) = grant.last {
            let expectation = record_of(grant.lock, bytes, writer, token);
            if !self.check(grant, expectation)? {
                return Ok(None);
            }
            known = Some(expectation);
        }
        match grant.mode {
            Mode::Shared if known.is_none() => self.said(grant.lock).map(Some),
            Mode::Shared => Ok(Some(known)),
            Mode::Exclusive => {
                let expectation = record_of(grant.lock, bytes, self.work.writer, grant.token);
                fill(&mut self.buffer, &Stamp { expectation, time: now() });
                self.locks.store(grant.lock, &self.buffer)?;
                self.record(What::Wrote, grant.lock, Some(grant.mode), grant.ticket, grant.token);
                self.work.tally().wrote(bytes);
                Ok(Some(Some(expectation)))
            }
        }
    }

    /// What a record says of itself, where nobody says what it must hold: it must not change while it is held.
    fn said(&mut self, lock: u32) -> Result<Option<Expectation>, Break> {
        self.locks.load(lock, &mut self.buffer)?;
        let head = self.buffer.first_chunk().and_then(decode_header);
        let said = head.map(|(_, header)| header.stamp.expectation);
        let own = record_of(lock, self.buffer.len(), self.work.writer, 0);
        let here = said.filter(|said| (said.target, said.offset) == (own.target, own.offset));
        Ok(here.filter(|said| verify(&self.buffer, said).is_ok()))
    }

    /// Reads the record and verifies it; false where it is wrong, which was reported then.
    fn check(&mut self, grant: &Grant, expectation: Expectation) -> Result<bool, Break> {
        self.locks.load(grant.lock, &mut self.buffer)?;
        self.record(What::Verified, grant.lock, Some(grant.mode), grant.ticket, grant.token);
        let Err(mismatch) = verify(&self.buffer, &expectation) else {
            self.work.tally().verified(self.buffer.len());
            return Ok(true);
        };
        let (lock, token, actual) = (grant.lock, grant.token, &self.buffer);
        let found = WrongRecord { lock, token, actual, expectation, mismatch };
        finding::record(self.work, &mut *self.locks, &found);
        Ok(false)
    }

    fn record(&self, what: What, lock: u32, mode: Option<Mode>, ticket: u64, token: u64) {
        let (seen, writer) = (Seen::Taker(self.number), self.work.writer);
        self.work.history.record(Entry { seen, writer, what, lock, mode, ticket, token });
    }
}
