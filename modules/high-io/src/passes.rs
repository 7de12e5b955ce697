//! The work: write the whole file in pseudo-random order, read all of it back and verify it, then again with every bit changed.

use std::time::{Duration, Instant};

use muster_model::Dpid;
use muster_pattern::{Expectation, Owner, Stamp, fill, name_hash, verify};
use muster_sdk::{Context, Session};

use crate::inject;
use crate::mismatch::Wrong;
use crate::order::{Order, scramble};
use crate::settings::Settings;
use crate::tally::Tally;
use crate::target::Target;
use crate::transfer::{Buffer, write_time};
use crate::trouble::Trouble;

/// After its end is due, a process goes on for at most this long to verify what it wrote last.
const LAST_VERIFY_MAX: Duration = Duration::from_secs(2);

/// One process at work.
pub(crate) struct Passes<'a> {
    session: &'a Session,
    settings: &'a Settings,
    target: &'a Target,
    /// Of the file's beginning; the sequence is that of the current pass. The first pass is 1, so that there is one before it to
    /// be stale by.
    expectation: Expectation,
    buffer: Buffer,
    tally: Tally,
    /// When the next transfer may begin, under a limit.
    next_transfer: Instant,
    /// When the end was due.
    ended: Option<Instant>,
}

impl<'a> Passes<'a> {
    pub(crate) fn new(session: &'a Session, settings: &'a Settings, target: &'a Target) -> Self {
        let context = session.context();
        let expectation = Expectation {
            owner: owner(context),
            target: name_hash(&target.path().to_string_lossy()),
            machine: name_hash(&context.machine),
            sequence: 0,
            offset: 0,
        };
        Self {
            session,
            settings,
            target,
            expectation,
            buffer: Buffer::new(settings.block_bytes),
            tally: Tally::new(&settings.device),
            next_transfer: Instant::now(),
            ended: None,
        }
    }

    pub(crate) fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// Works until the end is due.
    pub(crate) fn run(&mut self) -> Result<(), Trouble> {
        while !self.is_over() {
            self.expectation.sequence += 1;
            let order = Order::new(scramble(self.session.seed() ^ self.expectation.sequence), self.settings.blocks);
            let written = self.write_pass(order)?;
            self.inject(order, written)?;
            self.target.forget_cached()?;
            let verified = self.read_pass(order, written)?;
            if verified == self.settings.blocks {
                self.tally.passes += 1;
            }
        }
        Ok(())
    }

    /// Writes until the file or the time is over, with reads of what was written mixed in; how many transfers were written.
    fn write_pass(&mut self, order: Order) -> Result<u64, Trouble> {
        let mut reads_due = 0;
        for place in 0..self.settings.blocks {
            self.keep_pace();
            if self.is_over() {
                return Ok(place);
            }
            self.write(self.expectation_at(order, place))?;
            reads_due += self.settings.read_percent;
            while reads_due >= 100 - self.settings.read_percent && !self.is_over() {
                reads_due -= 100 - self.settings.read_percent;
                let earlier = scramble(self.tally.reads ^ self.session.seed()) % (place + 1);
                self.keep_pace();
                self.read(self.expectation_at(order, earlier))?;
            }
        }
        Ok(self.settings.blocks)
    }

    /// Reads and verifies what was written, until the time is over; how many transfers were right.
    fn read_pass(&mut self, order: Order, written: u64) -> Result<u64, Trouble> {
        for place in 0..written {
            self.keep_pace();
            if self.is_over() && self.ended.is_some_and(|ended| ended.elapsed() >= LAST_VERIFY_MAX) {
                return Ok(place);
            }
            self.read(self.expectation_at(order, place))?;
        }
        Ok(written)
    }

    fn write(&mut self, expectation: Expectation) -> Result<(), Trouble> {
        fill(&mut self.buffer, &Stamp { expectation, time: write_time() });
        let begin = Instant::now();
        self.target.write(&self.buffer, expectation.offset)?;
        self.tally.wrote(self.buffer.len(), begin.elapsed());
        self.account();
        Ok(())
    }

    /// Reads a transfer and verifies it.
    fn read(&mut self, expectation: Expectation) -> Result<(), Trouble> {
        let begin = Instant::now();
        self.target.read(&mut self.buffer, expectation.offset)?;
        self.tally.read(self.buffer.len(), begin.elapsed());
        if let Err(mismatch) = verify(&self.buffer, &expectation) {
            let Self { session, settings, target, ref buffer, .. } = *self;
            return Err(Wrong { session, settings, target, actual: buffer, expectation, mismatch }.report());
        }
        self.tally.verified_bytes += self.buffer.len() as u64;
        self.account();
        Ok(())
    }

    fn account(&mut self) {
        self.session.iterate(1);
        self.tally.report(self.session);
    }

    fn expectation_at(&self, order: Order, place: u64) -> Expectation {
        Expectation { offset: order.at(place) * self.settings.block_bytes as u64, ..self.expectation }
    }

    /// Waits for the turn of the next transfer; not after the end.
    fn keep_pace(&mut self) {
        let Some(interval) = self.settings.interval else { return };
        let now = Instant::now();
        let pause = self.next_transfer.saturating_duration_since(now);
        if !pause.is_zero() && self.ended.is_none() {
            let left = self.settings.duration.map_or(pause, |duration| duration.saturating_sub(self.tally.elapsed()));
            let _stopping = self.session.wait(pause.min(left));
        }
        // What was not used is not saved up.
        self.next_transfer = self.next_transfer.max(now) + interval;
    }

    /// Whether a stop was asked for or the time is over.
    fn is_over(&mut self) -> bool {
        let over = |tally: &Tally| self.settings.duration.is_some_and(|duration| tally.elapsed() >= duration);
        if self.ended.is_none() && (self.session.stopping() || over(&self.tally)) {
            self.ended = Some(Instant::now());
        }
        self.ended.is_some()
    }

    /// Spoils the first transfer of the first pass, if asked to.
    fn inject(&mut self, order: Order, written: u64) -> Result<(), Trouble> {
        let Some(class) = self.settings.inject.filter(|_| self.expectation.sequence == 1 && written > 0) else {
            return Ok(());
        };
        let expectation = self.expectation_at(order, written / 2);
        self.target.read(&mut self.buffer, expectation.offset)?;
        inject::spoil(&mut self.buffer, class, &expectation, self.session.seed());
        self.target.write(&self.buffer, expectation.offset)?;
        self.session.event("injected", &format!("{class} at {}", expectation.offset));
        Ok(())
    }
}

fn owner(context: &Context) -> Owner {
    let dpid: Dpid = context.dpid.parse().unwrap_or_default();
    Owner {
        run: context.run,
        job: dpid.job.0,
        process: dpid.process.0,
        attempt: u16::try_from(context.attempt).unwrap_or(u16::MAX),
    }
}
