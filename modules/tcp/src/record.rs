//! What the two ends say to each other on a connection besides packets: 512 bytes with a check word, so that a stranger, or
//! damage, is told from a peer.

use muster_model::text::cut;
use muster_pattern::{Owner, SECTOR_BYTES};
use muster_sdk::Token;

use crate::flow::Writer;
use crate::settings::Direction;

/// Bytes of a record.
pub(crate) const RECORD_BYTES: usize = SECTOR_BYTES;
const WORDS: usize = RECORD_BYTES / 8;
const NUMBERS: usize = 16;
/// Words before the text: magic, kind, numbers, length of the text.
const HEAD_WORDS: usize = 3 + NUMBERS;
const TEXT_BYTES_MAX: usize = (WORDS - HEAD_WORDS - 1) * 8;
const MAGIC: u64 = u64::from_le_bytes(*b"MUSTCP1\n");

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// The client's first, on every connection.
    Hello(Hello),
    /// The server's answer.
    Welcome(Hello),
    /// The server's other answer, with its reason.
    Refused(String),
    /// After the last packet: how many there were.
    Finish {
        /// Number of the last packet.
        last: u64,
    },
    /// The last: what was received.
    End(End),
}

/// Who is at an end of a connection, and what it is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The token of the one to whom it is said.
    pub(crate) token: Token,
    /// Names one life of a process.
    pub(crate) instance: u64,
    /// Number of the meeting, counted by the client.
    pub(crate) meeting: u64,
    /// Stream, from 0.
    pub(crate) stream: u64,
    /// Streams in all.
    pub(crate) streams: u64,
    /// Bytes of a packet.
    pub(crate) packet_bytes: u64,
    /// Who sends.
    pub(crate) direction: Direction,
    /// The packet that its receiver needs next.
    pub(crate) next: u64,
    /// Who it is.
    pub(crate) writer: Writer,
    /// Hash of its machine's boot id; 0 where that is not known. Who shares it shares the clock.
    pub(crate) boot: u32,
}

/// What an end received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    /// Packets that it received and found right.
    pub(crate) packets: u64,
    /// What was wrong; empty for nothing.
    pub(crate) wrong: String,
}

impl Record {
    /// As bytes.
    pub(crate) fn encode(&self) -> [u8; RECORD_BYTES] {
        let (kind, numbers, text) = match self {
            Self::Hello(hello) => (1, hello.numbers(), ""),
            Self::Welcome(hello) => (2, hello.numbers(), ""),
            Self::Refused(reason) => (3, [0; NUMBERS], reason.as_str()),
            Self::Finish { last } => (4, numbers(&[*last]), ""),
            Self::End(end) => (5, numbers(&[end.packets]), end.wrong.as_str()),
        };
        let text = cut(text, TEXT_BYTES_MAX);
        let mut words = [0; WORDS];
        words[0] = MAGIC;
        words[1] = kind;
        words[2..2 + NUMBERS].copy_from_slice(&numbers);
        words[HEAD_WORDS - 1] = text.len() as u64;
        for (word, bytes) in words[HEAD_WORDS..].iter_mut().zip(text.as_bytes().chunks(8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_le_bytes(padded);
        }
        words[WORDS - 1] = check(&words);
        let mut bytes = [0; RECORD_BYTES];
        for (slot, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *slot = word.to_le_bytes();
        }
        bytes
    }

    /// A record of bytes; none for other or damaged ones.
    pub(crate) fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        if words[0] != MAGIC || words[WORDS - 1] != check(&words) {
            return None;
        }
        let numbers: [u64; NUMBERS] = words[2..2 + NUMBERS].try_into().ok()?;
        let length = usize::try_from(words[HEAD_WORDS - 1]).ok().filter(|length| *length <= TEXT_BYTES_MAX)?;
        let text = std::str::from_utf8(&bytes[HEAD_WORDS * 8..HEAD_WORDS * 8 + length]).ok()?.to_owned();
        match words[1] {
            1 => Hello::of_numbers(&numbers).map(Self::Hello),
            2 => Hello::of_numbers(&numbers).map(Self::Welcome),
            3 => Some(Self::Refused(text)),
            4 => Some(Self::Finish { last: numbers[0] }),
            5 => Some(Self::End(End { packets: numbers[0], wrong: text })),
            _ => None,
        }
    }
}

impl Hello {
    fn numbers(&self) -> [u64; NUMBERS] {
        let direction = match self.direction {
            Direction::Both => 0,
            Direction::ToServer => 1,
            Direction::ToClient => 2,
        };
        let Writer { owner, machine } = self.writer;
        numbers(&[
            self.token[0],
            self.token[1],
            self.instance,
            self.meeting,
            self.stream,
            self.streams,
            self.packet_bytes,
            direction,
            self.next,
            owner.run.into(),
            owner.job.into(),
            owner.process.into(),
            owner.attempt.into(),
            machine.into(),
            self.boot.into(),
        ])
    }

    fn of_numbers(numbers: &[u64; NUMBERS]) -> Option<Self> {
        let number = |at: usize| u32::try_from(numbers[at]).ok();
        let direction = match numbers[7] {
            0 => Direction::Both,
            1 => Direction::ToServer,
            2 => Direction::ToClient,
            _ => return None,
        };
        let attempt = u16::try_from(numbers[12]).ok()?;
        let owner = Owner { run: number(9)?, job: number(10)?, process: number(11)?, attempt };
        Some(Self {
            token: [numbers[0], numbers[1]],
            instance: numbers[2],
            meeting: numbers[3],
            stream: numbers[4],
            streams: numbers[5],
            packet_bytes: numbers[6],
            direction,
            next: numbers[8],
            writer: Writer { owner, machine: number(13)? },
            boot: number(14)?,
        })
    }
}

fn numbers(some: &[u64]) -> [u64; NUMBERS] {
    let mut numbers = [0; NUMBERS];
    numbers[..some.len()].copy_from_slice(some);
    numbers
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

    fn hello() -> Hello {
        let owner = Owner { run: 1, job: u32::MAX, process: 3, attempt: u16::MAX };
        Hello {
            token: [7, u64::MAX],
            instance: 1 << 63,
            meeting: 2,
            stream: 3,
            streams: 4,
            packet_bytes: 512,
            direction: Direction::ToClient,
            next: 77,
            writer: Writer { owner, machine: 5 },
            boot: 6,
        }
    }

    fn records() -> Vec<Record> {
        vec![
            Record::Hello(hello()),
            Record::Welcome(hello()),
            Record::Refused("é".repeat(10)),
            Record::Finish { last: u64::MAX },
            Record::End(End { packets: 9, wrong: "BITFLIP".into() }),
        ]
    }

    #[test]
    fn every_record_survives_and_long_texts_are_cut() {
        for record in records() {
            assert_eq!(Record::decode(&record.encode()), Some(record));
        }
        let Some(Record::Refused(text)) = Record::decode(&Record::Refused("é".repeat(1000)).encode()) else {
            panic!("a refusal");
        };
        assert_eq!(text, "é".repeat(TEXT_BYTES_MAX / 2));
    }

    proptest! {
        #[test]
        fn damage_is_noticed(which in 0usize..5, bit in 0usize..RECORD_BYTES * 8) {
            let mut bytes = records()[which].encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Record::decode(&bytes), None);
        }

        #[test]
        fn anything_else_is_no_record(bytes in proptest::collection::vec(any::<u8>(), RECORD_BYTES)) {
            prop_assert_eq!(Record::decode(bytes.first_chunk().expect("as long")), None);
        }
    }
}
