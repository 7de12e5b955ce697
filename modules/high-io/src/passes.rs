//! The work: write the whole file, read all of it back and verify it, then again with every bit changed. Which transfer comes
//! next is the script's word (`script`), how it is carried out the queue's.

use std::time::{Duration, Instant};

use muster_pattern::{Stamp, fill, fill_streaming, scramble, spoil, verify};
use muster_sdk::{Ending, Found, Live, OnError, Session, Worth};

use crate::buffer::{ALIGNMENT, Buffer, cache_bytes};
use crate::clock::Clock;
use crate::engine::{Choice, Engine, Kind, Patience};
use crate::history::History;
use crate::mismatch::Wrong;
use crate::pass::{Pass, file_expectation};
use crate::queue::{Ended, Queue, Transfer};
use crate::script::{Reading, Script, Step, Writing};
use crate::settings::{InjectInto, Pace, Settings};
use crate::tally::Tally;
use crate::target::Target;
use crate::trouble::Trouble;

/// After its end is due, a process goes on for at most this long to verify what it wrote last.
const LAST_VERIFY_MAX: Duration = Duration::from_secs(2);
/// A batch is handed to the kernel once it has so many bytes, or a part of the queue: the disk works while the next is prepared.
const BATCH_BYTES_MAX: usize = 128 << 10;
const BATCHES_OF_QUEUE: usize = 4;
/// After a wait the disk may have nothing left to do: the first batch is one transfer, and each one is larger by this.
const BATCH_GROWTH: usize = 2;

/// What keeps a script from going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Halt {
    /// No slot is free, or a transfer must end first.
    Busy,
    /// The limit on transfers a second.
    Pause(Duration),
    /// A pulse blocks.
    Blocked,
    /// It is over.
    Over,
}

/// One process at work.
pub(crate) struct Passes<'a> {
    session: &'a Session,
    settings: &'a Settings,
    /// How fast and how long, by what was said last.
    pace: Live<Pace>,
    target: &'a Target,
    queue: Queue<'a>,
    /// The first pass is 1, so that there is one before it to be stale by.
    pass: Pass,
    history: History,
    found: Found,
    tally: Tally,
    clock: Clock,
    /// The buffers do not fit the caches together.
    streams: bool,
    /// Transfers begun, and bytes of them that were not handed to the kernel yet.
    begun: u64,
    unsubmitted: usize,
    /// Bytes at which the batch is handed over.
    batch_bytes: usize,
    /// Place whose transfer is spoiled in memory when it is read next.
    spoil: Option<u64>,
    /// When the next transfer may begin, under a limit.
    next_transfer: Instant,
    /// When the end was due.
    ended: Option<Instant>,
}

impl<'a> Passes<'a> {
    pub(crate) fn new(session: &'a Session, settings: &'a Settings, target: &'a Target) -> Result<Self, Trouble> {
        let (depth, clock) = (settings.depth(), Clock::new());
        let (queue, fallback) = Queue::new(target, settings.engine, depth, settings.block_bytes_max)
            .map_err(|error| Trouble::Setting(format!("io_uring can not be used: {error}; give engine=auto")))?;
        if let Some(reason) = fallback {
            let text =
                format!("io_uring can not be used: {reason}; transfers go one at a time through pread and pwrite");
            session.event("no_io_uring", &text);
        }
        let set_bytes = queue.depth() * settings.block_bytes_max;
        Ok(Self {
            session,
            settings,
            pace: Live::new(session, Pace::read)?,
            target,
            pass: Pass::new(file_expectation(session, target), settings),
            streams: set_bytes as u64 > cache_bytes(),
            queue,
            history: History::new(),
            found: Found::default(),
            tally: Tally::new(&settings.device),
            begun: 0,
            unsubmitted: 0,
            batch_bytes: 0,
            spoil: None,
            next_transfer: clock.now(),
            clock,
            ended: None,
        })
    }

    /// Works until the end is due or trouble comes; nothing is under way afterwards.
    pub(crate) fn run(&mut self) -> Result<(), Trouble> {
        let result = self.passes();
        self.queue.drain();
        result
    }

    fn passes(&mut self) -> Result<(), Trouble> {
        while !self.is_over() {
            self.pass.begin_next(self.settings, self.session.seed());
            self.queue.set_length(self.pass.block_bytes);
            let begin = self.clock.now();
            let written = self.write_pass()?;
            self.inject(written)?;
            self.target.forget_cached()?;
            let between = self.clock.read();
            self.tally.writing += between - begin;
            let verified = self.read_pass(written)?;
            self.tally.reading += self.clock.read() - between;
            self.tally.passes += u64::from(verified == self.pass.order.count());
        }
        Ok(())
    }

    /// Why the test fails although it went on to its end, where it does.
    pub(crate) fn found(&self) -> Option<String> {
        self.found.reason("transfers")
    }

    /// Says how it ended, with totals.
    pub(crate) fn finish(&mut self, ending: Ending) -> Ending {
        let wished = if self.settings.engine == Choice::Auto { ", as io_uring can not be used" } else { "" };
        let way = match self.queue.engine() {
            Engine::Uring(_) => format!("io_uring, {} at once", self.queue.depth()),
            Engine::Plain(_) => format!("{}, one at a time{wished}", self.queue.engine().name()),
        };
        let cache = if self.target.is_direct() { "direct I/O" } else { "through the page cache" };
        self.tally.finish(self.session, ending, &format!("{way}, {cache}"))
    }

    /// Writes until the file or the time is over, with reads of what was written mixed in; how many transfers were written.
    fn write_pass(&mut self) -> Result<u64, Trouble> {
        let mut script = Writing::new(self.pass.order.count(), self.settings.read_percent, self.pass.seed);
        self.carry_out(&mut script, Duration::ZERO)?;
        Ok(script.begun)
    }

    /// Reads and verifies what was written, until the time is over; how many transfers were right.
    fn read_pass(&mut self, written: u64) -> Result<u64, Trouble> {
        let mut script = Reading { places: written, begun: 0 };
        self.carry_out(&mut script, LAST_VERIFY_MAX)?;
        Ok(script.begun)
    }

    /// Follows a script to its end, or for so long after the end of the test was due. All its transfers have ended then.
    fn carry_out(&mut self, script: &mut impl Script, grace: Duration) -> Result<(), Trouble> {
        loop {
            let halt = self.begin_some(script, grace);
            if self.queue.is_idle() {
                match halt {
                    Halt::Over => return Ok(()),
                    Halt::Pause(pause) => {
                        let _: bool = self.pace.wait(self.session, pause);
                    }
                    Halt::Blocked => drop(self.session.gate()),
                    Halt::Busy => unreachable!("with nothing under way a script goes on or is over"),
                }
                self.clock.read();
                continue;
            }
            self.session.dump_if_asked(|| self.history.text(&self.clock, self.pass.block_bytes, self.queue.flights()));
            let patience = if let Halt::Pause(pause) = halt { Patience::AtMost(pause) } else { Patience::One };
            self.submit(patience)?;
            self.finish_some()?;
        }
    }

    /// Begins transfers until something keeps it from going on.
    fn begin_some(&mut self, script: &mut impl Script, grace: Duration) -> Halt {
        loop {
            if self.is_over() && self.ended.is_none_or(|ended| self.clock.now() - ended >= grace) {
                return Halt::Over;
            }
            if self.session.is_blocked() {
                return Halt::Blocked;
            }
            if !self.queue.has_free() {
                return Halt::Busy;
            }
            let pause = self.pause();
            if !pause.is_zero() {
                return Halt::Pause(pause);
            }
            let settled = if script.asks_settled() { self.settled() } else { 0 };
            let (kind, place) = match script.next(settled) {
                Step::Write(place) => (Kind::Write, place),
                Step::Read(place) => (Kind::Read, place),
                Step::Later => return Halt::Busy,
                Step::Over => return Halt::Over,
            };
            if let Err(trouble) = self.begin(kind, place) {
                return trouble;
            }
        }
    }

    /// Begins one transfer.
    fn begin(&mut self, kind: Kind, place: u64) -> Result<(), Halt> {
        let expectation = self.pass.expectation_at(place);
        let slot = self.queue.take(self.shift()).ok_or(Halt::Busy)?;
        if kind == Kind::Write {
            let stamp = Stamp { expectation, time: self.clock.wall(self.clock.now()) };
            let fill = if self.streams { fill_streaming } else { fill };
            fill(self.queue.bytes(slot), &stamp);
        }
        let begun = self.clock.read();
        self.queue.begin(slot, Transfer { kind, place, expectation }, begun);
        if let Some(interval) = self.pace.interval {
            // What was not used is not saved up.
            self.next_transfer = self.next_transfer.max(begun) + interval;
        }
        self.begun += 1;
        self.unsubmitted += self.pass.block_bytes;
        // A batch that can not be handed over is told when it is waited for.
        if self.unsubmitted >= self.batch_bytes && self.queue.submit(Patience::None).is_ok() {
            let most = (self.queue.depth() / BATCHES_OF_QUEUE * self.pass.block_bytes).min(BATCH_BYTES_MAX);
            self.batch_bytes = (self.unsubmitted * BATCH_GROWTH).min(most);
            self.unsubmitted = 0;
        }
        Ok(())
    }

    fn submit(&mut self, patience: Patience) -> Result<(), Trouble> {
        (self.unsubmitted, self.batch_bytes) = (0, 0);
        let submitted = self.queue.submit(patience);
        submitted.map_err(|error| Trouble::Setting(format!("io_uring failed: {error}; give engine=pread")))
    }

    /// Takes in all that has ended.
    fn finish_some(&mut self) -> Result<(), Trouble> {
        let now = self.clock.read();
        let mut count = 0;
        while let Some(ended) = self.queue.next_ended() {
            self.finish_one(&ended, now)?;
            self.queue.release(ended.slot);
            count += 1;
        }
        self.session.iterate(count);
        self.tally.report(self.session, now);
        Ok(())
    }

    fn finish_one(&mut self, ended: &Ended, now: Instant) -> Result<(), Trouble> {
        let Ended { slot, transfer, begun, ref result } = *ended;
        let (length, offset) = (self.pass.block_bytes, transfer.expectation.offset);
        self.history.record(&transfer, length, begun, now, result);
        if let Err(error) = result {
            self.tally.errors += 1;
            return Err(self.target.trouble(transfer.kind.as_str(), length, offset, error));
        }
        match transfer.kind {
            Kind::Write => self.tally.wrote(length, now - begun),
            Kind::Read => {
                self.tally.read(length, now - begun);
                self.verify(slot, &transfer)?;
            }
        }
        Ok(())
    }

    fn verify(&mut self, slot: usize, transfer: &Transfer) -> Result<(), Trouble> {
        let expectation = transfer.expectation;
        self.spoil_in_memory(slot, transfer);
        let buffer = &*self.queue.bytes(slot);
        let Err(mismatch) = verify(buffer, &expectation) else {
            self.tally.verified_bytes += buffer.len() as u64;
            return Ok(());
        };
        // Before anything that takes time, the copy included.
        self.session.wrong_data(&self.settings.triggers);
        self.tally.errors += 1;
        let actual = buffer.to_vec();
        let worth = self.found.take(self.pass.number(), transfer.place);
        if matches!(worth, Worth::Count | Worth::Nothing) {
            return Ok(());
        }
        let history =
            (worth == Worth::Files).then(|| self.history.text(&self.clock, actual.len(), self.queue.flights()));
        let (session, settings, target) = (self.session, self.settings, self.target);
        let wrong = Wrong { session, settings, target, actual: &actual, expectation, mismatch };
        match wrong.report(history) {
            Trouble::Corrupt(what) if session.on_error() == OnError::Continue => self.found.note(what),
            trouble => return Err(trouble),
        }
        Ok(())
    }

    /// Bytes from the beginning of a slot to the buffer of the next transfer.
    fn shift(&self) -> usize {
        let (step, scrambled) = (self.target.buffer_step(), scramble(self.begun ^ self.session.seed()));
        let positions = (ALIGNMENT / step) as u64;
        if scrambled % 100 >= self.settings.shift_percent || positions < 2 {
            return 0;
        }
        let position = 1 + (scrambled >> 32) % (positions - 1);
        usize::try_from(position).unwrap_or(0) * step
    }

    /// All writes of this pass at places before this one have ended.
    fn settled(&self) -> u64 {
        let writes = self.queue.flights().filter(|flight| flight.transfer.kind == Kind::Write);
        writes.map(|flight| flight.transfer.place).min().unwrap_or(u64::MAX)
    }

    /// Time until the turn of the next transfer; none after the end.
    fn pause(&self) -> Duration {
        if self.pace.interval.is_none() || self.ended.is_some() {
            return Duration::ZERO;
        }
        let pause = self.next_transfer.saturating_duration_since(self.clock.now());
        let elapsed = self.clock.now() - self.tally.begin();
        self.pace.duration.map_or(pause, |duration| pause.min(duration.saturating_sub(elapsed)))
    }

    /// Whether a stop was asked for or the time is over.
    fn is_over(&mut self) -> bool {
        let now = self.clock.now();
        if self.pace.follow(self.session) {
            // The pause that the last pace left is not waited for.
            self.next_transfer = self.next_transfer.min(now + self.pace.interval.unwrap_or_default());
        }
        let late = self.pace.duration.is_some_and(|duration| now - self.tally.begin() >= duration);
        let done = self.pace.passes.is_some_and(|passes| self.tally.passes >= passes);
        if self.ended.is_none() && (late || done || self.session.stopping()) {
            self.ended = Some(now);
        }
        self.ended.is_some()
    }

    /// Spoils a transfer of the first pass, if asked to.
    fn inject(&mut self, written: u64) -> Result<(), Trouble> {
        let Some(class) = self.settings.inject.filter(|_| self.pass.number() == 1 && written > 0) else {
            return Ok(());
        };
        let place = written / 2;
        let expectation = self.pass.expectation_at(place);
        self.session.event("injected", &format!("{class} at {}", expectation.offset));
        if self.settings.inject_into == InjectInto::Memory {
            self.spoil = Some(place);
            return Ok(());
        }
        let mut buffer = Buffer::new(self.pass.block_bytes);
        self.target.read(&mut buffer, expectation.offset)?;
        spoil(&mut buffer, class, &expectation, self.session.seed());
        self.target.write(&buffer, expectation.offset)
    }

    fn spoil_in_memory(&mut self, slot: usize, transfer: &Transfer) {
        let Some(class) = self.settings.inject.filter(|_| self.spoil == Some(transfer.place)) else { return };
        self.spoil = None;
        spoil(self.queue.bytes(slot), class, &transfer.expectation, self.session.seed());
    }
}
