//! What a sector says: its owner, its place, its sequence, and the header that carries them.

/// Bytes of a sector.
pub const SECTOR_BYTES: usize = 512;
pub(crate) const WORDS: usize = 64;
pub(crate) const HEADER_WORDS: usize = 8;
/// The word that holds the offset.
pub(crate) const OFFSET_WORD: usize = 2;
pub(crate) const BODY_WORDS: usize = WORDS - HEADER_WORDS;

/// First half of word 0, `MUSP` in memory order.
const MAGIC: u64 = u32::from_le_bytes(*b"MUSP") as u64;
/// Version of this layout.
pub(crate) const VERSION: u64 = 1;
const SEQUENCE_BITS: u32 = 48;
const SEQUENCE_MASK: u64 = (1 << SEQUENCE_BITS) - 1;
const POSITION_MASK: u64 = (1 << 24) - 1;

/// Odd multipliers of the check word: a change of any one word changes the sum.
const CHECK_FACTORS: [u64; HEADER_WORDS - 1] = [
    0x9E37_79B9_7F4A_7C15,
    0xBF58_476D_1CE4_E5B9,
    0x94D0_49BB_1331_11EB,
    0xD6E8_FEB8_6659_FD93,
    0xA076_1D64_78BD_642F,
    0xE703_7ED1_A0B4_28DB,
    0x8EBC_6AF0_9C88_C6E3,
];

/// Who writes: one attempt of one process of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Owner {
    /// RunId.
    pub run: u32,
    /// Job number.
    pub job: u32,
    /// Process number.
    pub process: u32,
    /// Attempt.
    pub attempt: u16,
}

impl Owner {
    /// The 16 bits that stand for it in every body word. Owners that differ only in job and process, both below 256, never
    /// share a tag; others share one with a chance of 1 in 65,536, and then the header tells them apart.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a tag is the folded low bits")]
    pub fn tag(self) -> u16 {
        let dpid = (self.job << 8 ^ self.process) as u16 ^ (self.job >> 8 ^ self.process >> 16) as u16;
        let rest = u64::from(self.run) << 16 | u64::from(self.attempt);
        dpid ^ (rest.wrapping_mul(CHECK_FACTORS[0]) >> 48) as u16
    }
}

/// 32 bits that stand for a name (of a target, of a machine) in the header: FNV-1a.
#[must_use]
pub fn name_hash(name: &str) -> u32 {
    name.bytes().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// What a buffer must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Expectation {
    /// Who wrote it.
    pub owner: Owner,
    /// [`name_hash`] of the disk or file.
    pub target: u32,
    /// [`name_hash`] of the machine.
    pub machine: u32,
    /// Pass of the writer. Even ones are in true form, odd ones complemented.
    pub sequence: u64,
    /// Absolute byte offset of the first byte; a multiple of [`SECTOR_BYTES`].
    pub offset: u64,
}

impl Expectation {
    /// The same for what lies `sectors` further.
    #[must_use]
    pub fn advanced(self, sectors: usize) -> Self {
        Self { offset: self.offset + (sectors * SECTOR_BYTES) as u64, ..self }
    }

    /// All bits set where its sequence is complemented.
    #[inline(always)]
    pub(crate) fn flip(&self) -> u64 {
        0u64.wrapping_sub(self.sequence & 1)
    }

    /// Passes come in pairs, true and complemented, which share a generation.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "generations are counted modulo 65,536")]
    pub(crate) fn generation(&self) -> u16 {
        (self.sequence >> 1) as u16
    }

    #[inline(always)]
    pub(crate) fn sector(&self) -> u32 {
        ((self.offset / SECTOR_BYTES as u64) & (crate::mix::SECTOR_MODULUS - 1)) as u32
    }

    /// Header words 0-4 in true form: all that a reader can know beforehand.
    #[inline(always)]
    pub(crate) fn known_words(&self) -> [u64; 5] {
        let owner = self.owner;
        [
            u64::from(owner.run) << 32 | MAGIC,
            u64::from(owner.job) << 32 | u64::from(owner.process),
            self.offset,
            u64::from(owner.attempt) << SEQUENCE_BITS | (self.sequence & SEQUENCE_MASK),
            u64::from(self.target) << 32 | u64::from(self.machine),
        ]
    }
}

/// What a buffer is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stamp {
    /// What a reader will expect.
    pub expectation: Expectation,
    /// Time of the write, nanoseconds since 1970: one clock read per transfer.
    pub time: u64,
}

/// The header of a sector, read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// Who wrote it, where, when, as the sector itself says.
    pub stamp: Stamp,
    /// Layout version.
    pub version: u8,
    /// Sector of its transfer, from 0 (modulo 2^24).
    pub position: u32,
    /// Sectors of its transfer (modulo 2^24).
    pub sectors: u32,
}

/// Word 6 in true form.
#[inline(always)]
pub(crate) fn position_word(position: usize, sectors: usize) -> u64 {
    VERSION << 48 | (sectors as u64 & POSITION_MASK) << 24 | (position as u64 & POSITION_MASK)
}

/// Word 7 in true form.
#[inline(always)]
pub(crate) fn check_word(words: &[u64; HEADER_WORDS - 1]) -> u64 {
    fold_check(check_sum(words, 0))
}

/// The part of header words from `first` on, in true form, of the check word's sum.
#[inline(always)]
pub(crate) fn check_sum(words: &[u64], first: usize) -> u64 {
    let (mut sum, mut index) = (0u64, 0);
    while index < words.len() {
        sum = sum.wrapping_add(words[index].wrapping_mul(CHECK_FACTORS[first + index]));
        index += 1;
    }
    sum
}

/// The check word of the sum of all.
#[inline(always)]
pub(crate) fn fold_check(sum: u64) -> u64 {
    sum ^ sum >> 32
}

/// Whether header words in true form begin with the magic.
pub(crate) fn has_magic(word: u64) -> bool {
    word & 0xFFFF_FFFF == MAGIC
}

/// Reads header words in true form.
#[expect(clippy::cast_possible_truncation, reason = "each field is cut to its own bits")]
pub(crate) fn header_of(words: &[u64; HEADER_WORDS]) -> Header {
    let owner = Owner {
        run: (words[0] >> 32) as u32,
        job: (words[1] >> 32) as u32,
        process: words[1] as u32,
        attempt: (words[3] >> SEQUENCE_BITS) as u16,
    };
    let expectation = Expectation {
        owner,
        target: (words[4] >> 32) as u32,
        machine: words[4] as u32,
        sequence: words[3] & SEQUENCE_MASK,
        offset: words[2],
    };
    Header {
        stamp: Stamp { expectation, time: words[5] },
        version: (words[6] >> 48) as u8,
        position: (words[6] & POSITION_MASK) as u32,
        sectors: (words[6] >> 24 & POSITION_MASK) as u32,
    }
}
