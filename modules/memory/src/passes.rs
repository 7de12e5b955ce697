//! The work: fill all areas but the free one, move what they hold again and again and verify every move, then again with every
//! bit changed. Which move comes next is the plan's word.

use std::time::{Duration, Instant};

use muster_model::quantity::print_size;
use muster_pattern::{Expectation, Mismatch, SECTOR_BYTES, Stamp, fill, fill_streaming, name_hash, spoil, verify};
use muster_sdk::{Ending, Found, Live, OnError, Session, Worth, wall_time_ns};

use crate::area::{Area, pair};
use crate::core::{Move, Plan, SLACK_BYTES};
use crate::history::History;
use crate::machine;
use crate::mismatch::{Wrong, window};
use crate::settings::{InjectInto, Limits, Numa, Settings};
use crate::tally::Tally;
use crate::trouble::Trouble;

/// Of what the machine can give, thousandths that are left to others.
const LEFT_MILLI: u64 = 200;
/// A move or a filling looks for a stop after so many bytes.
const PIECE_BYTES: usize = 4 << 20;
/// While its pulses block it, it looks for other things to do after so long.
const GATE_MAX: Duration = Duration::from_millis(500);
/// The move of the first pass that is spoiled, if that is asked for: from 1.
const INJECT_AT_MOVE: u64 = 2;

/// One process at work.
pub(crate) struct Passes<'a> {
    session: &'a Session,
    settings: &'a Settings,
    /// As they were said last.
    limits: Live<Limits>,
    areas: Vec<Area>,
    /// Where the data of an area begin.
    shifts: Vec<usize>,
    /// Data that no cache holds are filled past it.
    cache_bytes: u64,
    history: History,
    found: Found,
    /// Moves so far.
    moves: u64,
    tally: Tally,
    /// When the next move may begin, under a limit.
    next_move: Instant,
}

/// A sector that is right, and where it belongs.
struct Undo {
    at: usize,
    right: [u8; SECTOR_BYTES],
}

/// The test is over in the midst of something.
struct Over;

impl<'a> Passes<'a> {
    pub(crate) fn new(session: &'a Session, settings: &'a Settings) -> Result<Self, Trouble> {
        let count = settings.shape.areas;
        let bytes = settings.shape.sizes.iter().max().copied().unwrap_or(0).saturating_add(SLACK_BYTES);
        check_memory(bytes.saturating_mul(count as u64))?;
        let areas = take_areas(session, settings, usize::try_from(bytes).unwrap_or(usize::MAX))?;
        Ok(Self {
            session,
            settings,
            limits: Live::new(session, Limits::read)?,
            areas,
            shifts: vec![0; count],
            cache_bytes: machine::cache_bytes().last().copied().unwrap_or(0),
            history: History::new(),
            found: Found::default(),
            moves: 0,
            tally: Tally::new(&settings.shape.sizes),
            next_move: Instant::now(),
        })
    }

    /// Works until the end is due or trouble comes.
    pub(crate) fn run(&mut self) -> Result<(), Trouble> {
        for number in 1.. {
            let mut plan = Plan::new(&self.settings.shape, number);
            if self.fill(&plan).is_err() || !self.move_all(&mut plan)? {
                break;
            }
            self.tally.passes += 1;
            if self.limits.passes.is_some_and(|passes| self.tally.passes >= passes) {
                break;
            }
        }
        Ok(())
    }

    /// Says how it ended, with totals.
    pub(crate) fn finish(&mut self, ending: Ending) -> Ending {
        self.tally.finish(self.session, ending)
    }

    /// Fills every area but the free one with a datum of its own.
    fn fill(&mut self, plan: &Plan) -> Result<(), Over> {
        let bytes = length(plan.bytes);
        let is_cached = plan.bytes * plan.data() as u64 <= self.cache_bytes;
        for datum in 0..plan.data() {
            let expectation = self.expectation(plan, datum);
            for begin in (0..bytes).step_by(PIECE_BYTES) {
                self.check_end()?;
                let end = bytes.min(begin + PIECE_BYTES);
                let stamp = Stamp { expectation: expectation.advanced(begin / SECTOR_BYTES), time: wall_time_ns() };
                let fill = if is_cached { fill } else { fill_streaming };
                fill(self.areas[datum].bytes(begin..end), &stamp);
            }
            self.shifts[datum] = 0;
            self.tally.filled_bytes += plan.bytes;
        }
        Ok(())
    }

    /// Makes all moves of a pass; whether it came to its end.
    fn move_all(&mut self, plan: &mut Plan) -> Result<bool, Trouble> {
        let mut number = 0;
        while let Some(next) = plan.next() {
            if self.gate().is_err() || self.pace(plan.bytes).is_err() {
                return Ok(false);
            }
            number += 1;
            self.moves += 1;
            let begin = Instant::now();
            if self.carry_out(&next, length(plan.bytes)).is_err() {
                return Ok(false);
            }
            let moved = Instant::now();
            self.history.record(plan.pass, &next, plan.bytes, begin, moved - begin);
            let is_spoiled = plan.pass == 1 && number == INJECT_AT_MOVE;
            self.verify(plan, &next, is_spoiled)?;
            let now = Instant::now();
            let is_remote = self.areas[next.from].node() != self.areas[next.to].node();
            self.tally.moved(plan.bytes, is_remote, moved - begin, now - moved);
            self.session.iterate(1);
            self.tally.report(self.session, now);
        }
        Ok(true)
    }

    fn carry_out(&mut self, next: &Move, bytes: usize) -> Result<(), Over> {
        let from_shift = self.shifts[next.from];
        for begin in (0..bytes).step_by(PIECE_BYTES) {
            self.check_end()?;
            let piece = bytes.min(begin + PIECE_BYTES) - begin;
            let (from, to) = pair(&mut self.areas, next.from, next.to);
            let (source, target) = (from_shift + begin, next.shift + begin);
            next.way.copy(from.read(source..source + piece), to.bytes(target..target + piece));
        }
        self.shifts[next.to] = next.shift;
        Ok(())
    }

    fn verify(&mut self, plan: &Plan, next: &Move, is_spoiled: bool) -> Result<(), Trouble> {
        let (bytes, expectation) = (length(plan.bytes), self.expectation(plan, next.datum));
        let undo = if is_spoiled { self.inject(next, bytes, &expectation) } else { None };
        let datum = self.areas[next.to].read(next.shift..next.shift + bytes);
        let Err(mismatch) = verify(datum, &expectation) else { return Ok(()) };
        // Before anything that takes time, the copy included.
        self.session.wrong_data(&[]);
        let window = window(mismatch.sector, bytes);
        let actual = datum[window.clone()].to_vec();
        if let Some(Undo { at, right }) = undo {
            self.areas[next.to].bytes(at..at + SECTOR_BYTES).copy_from_slice(&right);
        }
        self.tally.errors += 1;
        let worth = self.found.take(plan.pass, self.moves);
        if matches!(worth, Worth::Files | Worth::Report) {
            let history = (worth == Worth::Files).then(|| self.history.text());
            match self.report(next, expectation, mismatch, window, &actual, history) {
                Trouble::Corrupt(what) if self.session.on_error() == OnError::Continue => self.found.note(what),
                trouble => return Err(trouble),
            }
        }
        self.put_right(next, bytes, expectation);
        Ok(())
    }

    /// Fills a datum anew, so that what is wrong with it later is something new.
    fn put_right(&mut self, next: &Move, bytes: usize, expectation: Expectation) {
        for begin in (0..bytes).step_by(PIECE_BYTES) {
            let end = bytes.min(begin + PIECE_BYTES);
            let stamp = Stamp { expectation: expectation.advanced(begin / SECTOR_BYTES), time: wall_time_ns() };
            fill(self.areas[next.to].bytes(next.shift + begin..next.shift + end), &stamp);
        }
    }

    /// Why the test fails although it went on to its end, where it does.
    pub(crate) fn found(&self) -> Option<String> {
        self.found.reason("moves")
    }

    fn report(
        &self,
        next: &Move,
        expectation: Expectation,
        mismatch: Mismatch,
        window: std::ops::Range<usize>,
        actual: &[u8],
        history: Option<String>,
    ) -> Trouble {
        let wrong = Wrong {
            session: self.session,
            next: *next,
            from: &self.areas[next.from],
            from_shift: self.shifts[next.from],
            to: &self.areas[next.to],
            expectation,
            mismatch,
            window,
            actual,
        };
        wrong.report(history)
    }

    /// Spoils the middle of what was moved, if asked to; what is to be put back after the first reading, if anything.
    fn inject(&mut self, next: &Move, bytes: usize, expectation: &Expectation) -> Option<Undo> {
        let class = self.settings.inject?;
        let sector = bytes / SECTOR_BYTES / 2;
        let (at, expectation) = (next.shift + sector * SECTOR_BYTES, expectation.advanced(sector));
        self.session.event("injected", &format!("{class} at {}", expectation.offset));
        let target = self.areas[next.to].bytes(at..at + SECTOR_BYTES);
        let right = *target.first_chunk().expect("a sector is as long as itself");
        spoil(target, class, &expectation, self.session.seed());
        (self.settings.inject_into == InjectInto::Reading).then_some(Undo { at, right })
    }

    /// Data lie at places of their own, far enough apart for the largest areas.
    fn expectation(&self, plan: &Plan, datum: usize) -> Expectation {
        let stride = self.settings.shape.sizes.iter().max().copied().unwrap_or(0);
        Expectation {
            owner: self.session.owner(),
            target: name_hash("memory"),
            machine: name_hash(&self.session.context().machine),
            sequence: plan.pass,
            offset: datum as u64 * stride,
        }
    }

    /// Waits until its pulses are free, and gives its history to a trigger that asks for it.
    fn gate(&mut self) -> Result<(), Over> {
        loop {
            self.session.dump_if_asked(|| self.history.text());
            if self.session.gate_within(GATE_MAX) {
                return Ok(());
            }
            self.check_end()?;
        }
    }

    /// Waits for the turn of the next move.
    fn pace(&mut self, bytes: u64) -> Result<(), Over> {
        let rate = loop {
            self.check_end()?;
            let Some(rate) = self.limits.rate_max else { return Ok(()) };
            let pause = self.next_move.saturating_duration_since(Instant::now());
            if pause.is_zero() {
                break rate;
            }
            let left = self.limits.duration.map(|duration| duration.saturating_sub(self.tally.begin().elapsed()));
            if self.limits.wait(self.session, left.map_or(pause, |left| left.min(pause))) {
                return Err(Over);
            }
        };
        let interval = Duration::from_nanos(
            u64::try_from(u128::from(bytes) * 1_000_000_000 / u128::from(rate)).unwrap_or(u64::MAX),
        );
        // What was not used is not saved up.
        self.next_move = self.next_move.max(Instant::now()) + interval;
        self.check_end()
    }

    /// Whether a stop was asked for or the time is over, by what was said last.
    fn check_end(&mut self) -> Result<(), Over> {
        if self.limits.follow(self.session) {
            // The pause that the last limit left is not waited for.
            self.next_move = self.next_move.min(Instant::now());
        }
        let late = self.limits.duration.is_some_and(|duration| self.tally.begin().elapsed() >= duration);
        if late || self.session.stopping() { Err(Over) } else { Ok(()) }
    }
}

/// Sizes that were not refused fit the memory, and so a length.
fn length(bytes: u64) -> usize {
    usize::try_from(bytes).expect("areas that there is memory for have a length")
}

/// Refuses more than the machine can give: past that the kernel would kill somebody.
fn check_memory(wanted: u64) -> Result<(), Trouble> {
    let Some(available) = machine::available_bytes() else { return Ok(()) };
    let most = available / 1000 * (1000 - LEFT_MILLI);
    if wanted <= most {
        return Ok(());
    }
    Err(Trouble::Setting(format!(
        "the areas need {} of memory, and the machine can give {}; make size, areas or memory_max smaller",
        print_size(wanted),
        print_size(most)
    )))
}

/// Takes all areas: on the NUMA nodes in turn, where there are several and the kernel lets us.
fn take_areas(session: &Session, settings: &Settings, bytes: usize) -> Result<Vec<Area>, Trouble> {
    let count = settings.shape.areas;
    let take = |node: Option<u32>| Area::take(bytes, node);
    let nodes = machine::nodes();
    let spread = if settings.numa == Numa::Spread && nodes.len() > 1 {
        (0..count).map(|area| take(Some(nodes[area % nodes.len()]))).collect::<Result<Vec<_>, _>>()
    } else {
        if settings.numa == Numa::Spread {
            session.event("one_node", "this machine has one NUMA node: no move goes between nodes");
        }
        (0..count).map(|_| take(None)).collect()
    };
    let areas = spread.or_else(|error| {
        if !matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)) {
            return Err(error);
        }
        session.event(
            "not_spread",
            &format!("memory can not be bound to NUMA nodes: {error}; it lies where the kernel puts it"),
        );
        (0..count).map(|_| take(None)).collect()
    });
    areas.map_err(|error| {
        let wanted = print_size((bytes as u64).saturating_mul(count as u64));
        Trouble::Setting(format!("{wanted} of memory can not be had: {error}; make size, areas or memory_max smaller"))
    })
}
