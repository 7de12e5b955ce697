//! What takers and a server say to each other: a head of 16 words with a check word, and for a record or a reason the bytes after
//! it. The same head, without more, is what a file of fcntl locks keeps of each lock.

use muster_pattern::Owner;
use muster_sdk::Token;

use crate::core::{Before, Grant, Last, Mode, Place, Writer};

/// Bytes of a head.
pub(crate) const HEAD_BYTES: usize = 128;
/// Most bytes after a head: a record.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;
const WORDS: usize = HEAD_BYTES / 8;
const MAGIC: u64 = u64::from_le_bytes(*b"MUSLOCK\n");
/// Words that are not a frame's own: magic, kind, length of the body, and at the end the check word.
const BEFORE_NUMBERS: usize = 3;
const NUMBERS: usize = WORDS - BEFORE_NUMBERS - 1;

/// Who comes in at a server's door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The token of the one to whom it is said.
    pub(crate) token: Token,
    /// Who it is.
    pub(crate) writer: Writer,
    /// Locks that it thinks there are.
    pub(crate) locks: u32,
    /// Bytes of a record, likewise.
    pub(crate) record_bytes: u64,
}

/// What is said, without the bytes that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A taker's first.
    Hello(Hello),
    /// The server's answer: its own token, and who it is.
    Welcome(Token, Writer),
    /// The server's other answer; the reason follows.
    Refused,
    /// A taker asks for a lock.
    Ask(u32, Mode),
    /// The request has this ticket.
    Queued(u64),
    /// It is granted.
    Granted(Grant),
    /// It is not taken: the taker holds this lock under this token.
    Held(u32, u64),
    /// A taker asks what became of its request.
    Where,
    /// That is what.
    Place(Place),
    /// A taker asks for the record of a lock.
    Load(u32),
    /// It follows.
    Loaded(u32),
    /// A taker writes the record that follows.
    Store(u32),
    /// It is written.
    Stored(u32),
    /// A taker gives back what it holds; whether its record is right.
    Release(bool),
    /// A taker goes.
    Bye,
    /// The server ends.
    Closing,
    /// Of a file: the newest exclusive holder of a lock, its token, and whether it still has it.
    Control(Writer, u64, bool),
}

impl Frame {
    /// As bytes, with those that follow.
    pub(crate) fn encode(&self, body: &[u8]) -> Vec<u8> {
        let (kind, numbers) = self.numbers();
        let mut words = [0; WORDS];
        words[0] = MAGIC;
        words[1] = kind;
        words[2] = body.len() as u64;
        words[BEFORE_NUMBERS..WORDS - 1].copy_from_slice(&numbers.words);
        words[WORDS - 1] = check(&words);
        let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len());
        words.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        bytes.extend_from_slice(body);
        bytes
    }

    /// A frame and the length of what follows it; none for other or damaged bytes.
    pub(crate) fn decode(head: &[u8; HEAD_BYTES]) -> Option<(Self, usize)> {
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(head.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        if words[0] != MAGIC || words[WORDS - 1] != check(&words) {
            return None;
        }
        let body = usize::try_from(words[2]).ok().filter(|bytes| *bytes <= BODY_BYTES_MAX)?;
        let mut numbers = Numbers { words: *words[BEFORE_NUMBERS..].first_chunk()?, at: 0 };
        Some((Self::of_numbers(words[1], &mut numbers)?, body))
    }

    fn numbers(&self) -> (u64, Numbers) {
        let numbers = Numbers::default();
        match *self {
            Self::Hello(hello) => {
                let numbers = numbers.put(hello.token[0]).put(hello.token[1]).put_writer(hello.writer);
                (1, numbers.put(hello.locks.into()).put(hello.record_bytes))
            }
            Self::Welcome([one, other], server) => (2, numbers.put(one).put(other).put_writer(server)),
            Self::Refused => (3, numbers),
            Self::Ask(lock, mode) => (4, numbers.put(lock.into()).put(u64::from(mode == Mode::Shared))),
            Self::Queued(ticket) => (5, numbers.put(ticket)),
            Self::Granted(grant) => (6, numbers.put_grant(&grant)),
            Self::Held(lock, token) => (7, numbers.put(lock.into()).put(token)),
            Self::Where => (8, numbers),
            Self::Place(place) => (9, numbers.put_place(place)),
            Self::Load(lock) => (10, numbers.put(lock.into())),
            Self::Loaded(lock) => (11, numbers.put(lock.into())),
            Self::Store(lock) => (12, numbers.put(lock.into())),
            Self::Stored(lock) => (13, numbers.put(lock.into())),
            Self::Release(sound) => (14, numbers.put(u64::from(sound))),
            Self::Bye => (15, numbers),
            Self::Closing => (16, numbers),
            Self::Control(holder, token, open) => (17, numbers.put_writer(holder).put(token).put(u64::from(open))),
        }
    }

    fn of_numbers(kind: u64, numbers: &mut Numbers) -> Option<Self> {
        Some(match kind {
            1 => Self::Hello(Hello {
                token: [numbers.take(), numbers.take()],
                writer: numbers.take_writer()?,
                locks: numbers.take_short()?,
                record_bytes: numbers.take(),
            }),
            2 => Self::Welcome([numbers.take(), numbers.take()], numbers.take_writer()?),
            3 => Self::Refused,
            4 => Self::Ask(numbers.take_short()?, if numbers.take() == 0 { Mode::Exclusive } else { Mode::Shared }),
            5 => Self::Queued(numbers.take()),
            6 => Self::Granted(numbers.take_grant()?),
            7 => Self::Held(numbers.take_short()?, numbers.take()),
            8 => Self::Where,
            9 => Self::Place(numbers.take_place()?),
            10 => Self::Load(numbers.take_short()?),
            11 => Self::Loaded(numbers.take_short()?),
            12 => Self::Store(numbers.take_short()?),
            13 => Self::Stored(numbers.take_short()?),
            14 => Self::Release(numbers.take() != 0),
            15 => Self::Bye,
            16 => Self::Closing,
            17 => Self::Control(numbers.take_writer()?, numbers.take(), numbers.take() != 0),
            _ => return None,
        })
    }
}

/// The numbers of a frame, put and taken in the same order.
#[derive(Debug, Default)]
struct Numbers {
    words: [u64; NUMBERS],
    at: usize,
}

impl Numbers {
    fn put(mut self, number: u64) -> Self {
        self.words[self.at] = number;
        self.at += 1;
        self
    }

    fn take(&mut self) -> u64 {
        self.at += 1;
        self.words[self.at - 1]
    }

    fn take_short(&mut self) -> Option<u32> {
        u32::try_from(self.take()).ok()
    }

    fn put_writer(self, writer: Writer) -> Self {
        let Writer { owner: Owner { run, job, process, attempt }, machine } = writer;
        let pair = |one: u32, other: u32| u64::from(one) << 32 | u64::from(other);
        self.put(pair(run, machine)).put(pair(job, process)).put(attempt.into())
    }

    fn take_writer(&mut self) -> Option<Writer> {
        let mut pair = || {
            let word = self.take();
            Some((u32::try_from(word >> 32).ok()?, u32::try_from(word & u64::from(u32::MAX)).ok()?))
        };
        let ((run, machine), (job, process)) = (pair()?, pair()?);
        let attempt = u16::try_from(self.take()).ok()?;
        Some(Writer { owner: Owner { run, job, process, attempt }, machine })
    }

    fn put_grant(self, grant: &Grant) -> Self {
        let Grant { lock, mode, ticket, token, last, before } = *grant;
        let (last_kind, last_writer, last_token) = match last {
            Last::Never => (0, Writer::default(), 0),
            Last::Written(writer, token) => (1, writer, token),
            Last::Unknown => (2, Writer::default(), 0),
        };
        let kinds = last_kind << 34 | u64::from(before.is_some()) << 33 | u64::from(mode == Mode::Shared) << 32;
        let before = before.unwrap_or(Before { writer: Writer::default(), ticket: 0, token: 0 });
        let numbers = self.put(kinds | u64::from(lock)).put(ticket).put(token).put_writer(last_writer).put(last_token);
        numbers.put_writer(before.writer).put(before.ticket).put(before.token)
    }

    fn take_grant(&mut self) -> Option<Grant> {
        let (kinds, ticket, token) = (self.take(), self.take(), self.take());
        let (last_writer, last_token) = (self.take_writer()?, self.take());
        let before = Before { writer: self.take_writer()?, ticket: self.take(), token: self.take() };
        let last = match kinds >> 34 {
            0 => Last::Never,
            1 => Last::Written(last_writer, last_token),
            2 => Last::Unknown,
            _ => return None,
        };
        Some(Grant {
            lock: u32::try_from(kinds & u64::from(u32::MAX)).ok()?,
            mode: if kinds >> 32 & 1 == 0 { Mode::Exclusive } else { Mode::Shared },
            ticket,
            token,
            last,
            before: (kinds >> 33 & 1 != 0).then_some(before),
        })
    }

    fn put_place(self, place: Place) -> Self {
        match place {
            Place::Nothing => self.put(0),
            Place::Holds(token) => self.put(1).put(token),
            Place::Waits(before, None) => self.put(2).put(before.into()),
            Place::Waits(before, Some(holder)) => self.put(3).put(before.into()).put_writer(holder),
        }
    }

    fn take_place(&mut self) -> Option<Place> {
        Some(match self.take() {
            0 => Place::Nothing,
            1 => Place::Holds(self.take()),
            2 => Place::Waits(self.take_short()?, None),
            3 => Place::Waits(self.take_short()?, Some(self.take_writer()?)),
            _ => return None,
        })
    }
}

/// Over all words but the last: multiplying by an odd number loses no bit.
fn check(words: &[u64; WORDS]) -> u64 {
    words[..WORDS - 1].iter().fold(0x9E37_79B9_7F4A_7C15, |sum, word| {
        let mixed = (sum ^ word).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^ mixed >> 31
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn writer(process: u32) -> Writer {
        Writer { owner: Owner { run: u32::MAX, job: 7, process, attempt: u16::MAX }, machine: u32::MAX - 1 }
    }

    fn frames() -> Vec<Frame> {
        let before = Some(Before { writer: writer(5), ticket: u64::MAX, token: 1 << 63 });
        let grant = Grant { lock: 9, mode: Mode::Shared, ticket: 1, token: 2, last: Last::Never, before };
        vec![
            Frame::Hello(Hello { token: [1, u64::MAX], writer: writer(1), locks: 8, record_bytes: 512 }),
            Frame::Welcome([3, 4], writer(2)),
            Frame::Refused,
            Frame::Ask(1, Mode::Shared),
            Frame::Ask(u32::MAX, Mode::Exclusive),
            Frame::Queued(7),
            Frame::Granted(grant),
            Frame::Granted(Grant { last: Last::Written(writer(3), 4), mode: Mode::Exclusive, ..grant }),
            Frame::Granted(Grant { last: Last::Unknown, before: None, ..grant }),
            Frame::Held(3, 4),
            Frame::Where,
            Frame::Place(Place::Nothing),
            Frame::Place(Place::Holds(8)),
            Frame::Place(Place::Waits(4, None)),
            Frame::Place(Place::Waits(4, Some(writer(6)))),
            Frame::Load(1),
            Frame::Loaded(2),
            Frame::Store(3),
            Frame::Stored(4),
            Frame::Release(true),
            Frame::Release(false),
            Frame::Bye,
            Frame::Closing,
            Frame::Control(writer(1), 99, true),
        ]
    }

    fn head(bytes: &[u8]) -> &[u8; HEAD_BYTES] {
        bytes.first_chunk().expect("a head")
    }

    #[test]
    fn every_frame_survives_with_the_length_of_what_follows() {
        for frame in frames() {
            assert_eq!(Frame::decode(head(&frame.encode(b"four"))), Some((frame, 4)));
        }
        assert_eq!(Frame::decode(head(&Frame::Where.encode(&vec![0; BODY_BYTES_MAX + 1]))), None);
    }

    proptest! {
        #[test]
        fn damage_is_noticed(which in 0usize..24, bit in 0usize..HEAD_BYTES * 8) {
            let mut bytes = frames()[which].encode(&[]);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Frame::decode(head(&bytes)), None);
        }

        #[test]
        fn anything_else_is_no_frame(bytes in proptest::collection::vec(any::<u8>(), HEAD_BYTES)) {
            prop_assert_eq!(Frame::decode(head(&bytes)), None);
        }
    }
}
