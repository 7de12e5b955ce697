//! Transfers under way: their slots of memory, going on with short ones, and handing back those that have ended. What is
//! transferred, in what order, is the passes' matter.

use std::io;
use std::ops::Range;
use std::time::Instant;

use muster_pattern::Expectation;

use crate::buffer::{ALIGNMENT, Buffer};
use crate::engine::{Choice, Engine, Kind, Patience};
use crate::target::Target;

/// How often one transfer may be interrupted before that is an error.
const INTERRUPTIONS_MAX: u32 = 1000;

/// One transfer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transfer {
    pub(crate) kind: Kind,
    /// Its place in the order of its pass.
    pub(crate) place: u64,
    /// What it writes, or must read.
    pub(crate) expectation: Expectation,
}

/// A transfer under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flight {
    pub(crate) transfer: Transfer,
    pub(crate) begun: Instant,
    /// Bytes that are done.
    done: usize,
    interruptions: u32,
}

/// A transfer that has ended. Its slot is not free before it is released.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) slot: usize,
    pub(crate) transfer: Transfer,
    pub(crate) begun: Instant,
    pub(crate) result: io::Result<()>,
}

/// A slot of memory.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// Bytes from the slot's beginning to its buffer's.
    shift: usize,
    flight: Option<Flight>,
}

/// Transfers of a target, at most so many at once.
#[derive(Debug)]
pub(crate) struct Queue<'a> {
    target: &'a Target,
    // Before the memory: an engine is dropped before what it transfers to.
    engine: Engine,
    memory: Buffer,
    /// Bytes from one slot to the next.
    stride: usize,
    /// Bytes of each transfer, at most a stride without the room for shifts.
    length: usize,
    slots: Box<[Slot]>,
    free: Vec<usize>,
}

impl<'a> Queue<'a> {
    /// A queue of so many transfers, and why it has another engine than wished for.
    pub(crate) fn new(
        target: &'a Target,
        choice: Choice,
        depth: usize,
        length_max: usize,
    ) -> io::Result<(Self, Option<String>)> {
        let stride = length_max.next_multiple_of(ALIGNMENT) + ALIGNMENT;
        let mut memory = Buffer::new(depth * stride);
        // SAFETY: the memory is on the heap and never resized, and lives as long as the engine in the same queue.
        let (engine, reason) = unsafe { Engine::new(choice, depth, target, &mut memory) }?;
        let depth = if matches!(engine, Engine::Plain(_)) { 1 } else { depth };
        let slots = vec![Slot::default(); depth].into_boxed_slice();
        let queue =
            Self { target, engine, memory, stride, length: length_max, slots, free: (0..depth).rev().collect() };
        Ok((queue, reason))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn depth(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    /// Sets the bytes of the transfers to come.
    pub(crate) fn set_length(&mut self, length: usize) {
        assert!(self.is_idle() && length + ALIGNMENT <= self.stride, "transfers under way keep their length");
        self.length = length;
    }

    /// Takes a free slot and places its buffer so many bytes (less than a page) from its beginning.
    pub(crate) fn take(&mut self, shift: usize) -> Option<usize> {
        assert!(shift < ALIGNMENT, "a shift is less than a page");
        let slot = self.free.pop()?;
        self.slots[slot] = Slot { shift, flight: None };
        Some(slot)
    }

    pub(crate) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    fn range(&self, slot: usize) -> Range<usize> {
        let begin = slot * self.stride + self.slots[slot].shift;
        begin..begin + self.length
    }

    /// The buffer of a slot that is taken and not under way.
    pub(crate) fn bytes(&mut self, slot: usize) -> &mut [u8] {
        assert!(self.slots[slot].flight.is_none(), "the kernel has no business with the buffer");
        let range = self.range(slot);
        &mut self.memory[range]
    }

    /// Begins a transfer of a slot that is taken: with io_uring, as a part of the next batch.
    pub(crate) fn begin(&mut self, slot: usize, transfer: Transfer, begun: Instant) {
        self.slots[slot].flight = Some(Flight { transfer, begun, done: 0, interruptions: 0 });
        self.go_on(slot);
    }

    /// Begins what is left of a transfer.
    fn go_on(&mut self, slot: usize) {
        let Some(flight) = self.slots[slot].flight else { return };
        let mut range = self.range(slot);
        range.start += flight.done;
        let (kind, offset) = (flight.transfer.kind, flight.transfer.expectation.offset + flight.done as u64);
        let bytes = &mut self.memory[range];
        match &mut self.engine {
            Engine::Plain(plain) => plain.perform(slot, kind, self.target.file(), bytes, offset),
            // SAFETY: the memory lives as long as the ring, `bytes` refuses a slot that is under way, and dropping a queue
            // waits for all of them.
            Engine::Uring(uring) => unsafe { uring.push(slot, kind, bytes, offset) },
        }
    }

    /// Hands the batch to the kernel, and waits for a transfer to end.
    pub(crate) fn submit(&mut self, patience: Patience) -> io::Result<()> {
        match &mut self.engine {
            Engine::Plain(_) => Ok(()),
            Engine::Uring(uring) => uring.submit(patience),
        }
    }

    /// The next transfer that has ended; what ended short goes on.
    pub(crate) fn next_ended(&mut self) -> Option<Ended> {
        loop {
            let (slot, result) = match &mut self.engine {
                Engine::Plain(plain) => plain.next_ended(),
                Engine::Uring(uring) => uring.next_ended(),
            }?;
            let mut flight = self.slots[slot].flight.expect("what ends was under way");
            let Some(result) = flight.advance(result, self.length) else {
                self.slots[slot].flight = Some(flight);
                self.go_on(slot);
                continue;
            };
            self.slots[slot].flight = None;
            return Some(Ended { slot, transfer: flight.transfer, begun: flight.begun, result });
        }
    }

    /// Gives a slot back.
    pub(crate) fn release(&mut self, slot: usize) {
        self.free.push(slot);
    }

    /// Transfers under way.
    pub(crate) fn flights(&self) -> impl Iterator<Item = &Flight> {
        self.slots.iter().filter_map(|slot| slot.flight.as_ref())
    }

    /// Waits until nothing is under way; what ended so is forgotten.
    pub(crate) fn drain(&mut self) {
        while self.flights().next().is_some() {
            if self.submit(Patience::One).is_err() {
                return;
            }
            while self.next_ended().is_some() {}
        }
        self.free = (0..self.slots.len()).rev().collect();
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        self.drain();
        // The kernel may still write to it: better lost than used for something else.
        if self.flights().next().is_some() {
            std::mem::forget(std::mem::replace(&mut self.memory, Buffer::new(0)));
        }
    }
}

impl Flight {
    /// Counts what was done of a transfer of so many bytes; its result, or none when it goes on.
    fn advance(&mut self, result: io::Result<usize>, length: usize) -> Option<io::Result<()>> {
        match result {
            Ok(0) => Some(Err(self.ends_early(length))),
            Ok(bytes) => {
                self.done += bytes;
                (self.done >= length).then_some(Ok(()))
            }
            Err(error) if is_interruption(&error) && self.interruptions < INTERRUPTIONS_MAX => {
                self.interruptions += 1;
                None
            }
            Err(error) => Some(Err(error)),
        }
    }

    fn ends_early(&self, length: usize) -> io::Error {
        let text = format!("{} of {length} bytes were transferred, then no more: the file became shorter", self.done);
        io::Error::new(io::ErrorKind::UnexpectedEof, text)
    }
}

fn is_interruption(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;

    use super::*;

    const ENGINES: [Choice; 2] = [Choice::Uring, Choice::Plain];

    fn read_at_once(target: &Target, choice: Choice, length: usize, offsets: &[u64]) -> Vec<(io::Result<()>, Vec<u8>)> {
        let (mut queue, _) = Queue::new(target, choice, 4, length).expect("a queue");
        let mut results = Vec::new();
        for offset in offsets {
            let expectation = Expectation { offset: *offset, ..Expectation::default() };
            let slot = queue.take(64).expect("a slot");
            queue.begin(slot, Transfer { kind: Kind::Read, place: 0, expectation }, Instant::now());
            let ended = loop {
                queue.submit(Patience::One).expect("submit");
                if let Some(ended) = queue.next_ended() {
                    break ended;
                }
            };
            results.push((ended.result, queue.bytes(slot).to_vec()));
            queue.release(slot);
        }
        results
    }

    #[test]
    fn a_short_transfer_goes_on_until_it_is_whole() {
        // The kernel hands out this file in small pieces, whatever is asked for.
        const PATH: &str = "/proc/kallsyms";
        const LENGTH: usize = 64 << 10;
        let mut expected = vec![0; LENGTH];
        File::open(PATH).and_then(|mut file| file.read_exact(&mut expected)).expect("a large file of the kernel");
        for choice in ENGINES {
            let target = Target::of_file(File::open(PATH).expect("open"));
            let results = read_at_once(&target, choice, LENGTH, &[0]);
            assert!(results[0].0.is_ok() && results[0].1 == expected, "{choice:?}");
        }
    }

    #[test]
    fn a_transfer_beyond_the_end_is_an_error_and_the_next_one_works() {
        let file = tempfile::tempfile().expect("file");
        file.set_len(4096 + 512).expect("length");
        let target = Target::of_file(file);
        for choice in ENGINES {
            let results = read_at_once(&target, choice, 4096, &[4096, 0]);
            let error = results[0].0.as_ref().expect_err("the file ends in it").to_string();
            assert_eq!(error, "512 of 4096 bytes were transferred, then no more: the file became shorter");
            assert!(results[1].0.is_ok());
        }
    }

    #[test]
    fn interruptions_go_on_but_not_for_ever() {
        let transfer = Transfer { kind: Kind::Read, place: 0, expectation: Expectation::default() };
        let mut flight = Flight { transfer, begun: Instant::now(), done: 0, interruptions: 0 };
        for _ in 0..INTERRUPTIONS_MAX {
            assert!(flight.advance(Err(io::ErrorKind::WouldBlock.into()), 4096).is_none());
        }
        assert!(flight.advance(Err(io::ErrorKind::WouldBlock.into()), 4096).is_some_and(|end| end.is_err()));
    }

    #[test]
    fn what_is_under_way_ends_before_its_memory_goes() {
        let file = tempfile::tempfile().expect("file");
        file.set_len(1 << 20).expect("length");
        let target = Target::of_file(file);
        let (mut queue, _) = Queue::new(&target, Choice::Auto, 4, 4096).expect("a queue");
        for place in 0..3 {
            let expectation = Expectation { offset: place * 4096, ..Expectation::default() };
            let slot = queue.take(0).expect("a slot");
            queue.begin(slot, Transfer { kind: Kind::Read, place, expectation }, Instant::now());
            assert!(!queue.is_idle());
            if matches!(queue.engine(), Engine::Plain(_)) {
                break;
            }
        }
        queue.drain();
        assert!(queue.is_idle() && queue.flights().next().is_none());
    }
}
