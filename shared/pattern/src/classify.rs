//! What a wrong sector is: a pure function of its bytes and of what was expected. Whether it lasts is found by reading again,
//! which is the module's work.

use std::fmt;

use crate::decode::{Form, decode_header, words_of};
use crate::image::{self, Found, Image};
use crate::mix::SECTOR_MODULUS;
use crate::sector::{Expectation, HEADER_WORDS, Header, Owner, SECTOR_BYTES, WORDS};
use crate::{explain, verify};

/// Most bits of one word that count as flipped rather than as other data.
const FLIPPED_BITS_MAX: u32 = 3;
const HEADER_MASK: u64 = (1 << HEADER_WORDS) - 1;
/// Sequences are known modulo this from body words alone.
const SEQUENCE_MODULUS: u64 = 1 << 17;

/// Kinds of corruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The right data with a few bits flipped.
    Bitflip,
    /// The right writer and place, another pass: a lost write or an old copy.
    Stale,
    /// The right writer, another place: written or read at the wrong address.
    Misdirected,
    /// Another writer's data.
    Foreign,
    /// The right data complemented.
    WrongForm,
    /// Zeros.
    Zero,
    /// One part is right, the rest is from another writing or zeros.
    Torn,
    /// The writer's data, displaced by some bytes.
    Shifted,
    /// None of these.
    Unknown,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Bitflip,
        Self::Stale,
        Self::Misdirected,
        Self::Foreign,
        Self::WrongForm,
        Self::Zero,
        Self::Torn,
        Self::Shifted,
        Self::Unknown,
    ];

    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bitflip => "BITFLIP",
            Self::Stale => "STALE",
            Self::Misdirected => "MISDIRECTED",
            Self::Foreign => "FOREIGN",
            Self::WrongForm => "WRONG_FORM",
            Self::Zero => "ZERO",
            Self::Torn => "TORN",
            Self::Shifted => "SHIFTED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where wrong data come from, as they say themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Owner tag of the words.
    pub tag: u16,
    /// The writer, where a sound header names it.
    pub owner: Option<Owner>,
    /// Absolute byte offset that they were written for; modulo 32 GiB, nearest, where no header says it.
    pub offset: u64,
    /// Pass; modulo 131,072, at or before the expected one, where no header says it.
    pub sequence: u64,
}

/// What is known of a wrong sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub class: Class,
    /// Wrong words, as bits; all of the header's where the header is wrong.
    pub wrong_words: u64,
    /// Bits that differ, of those that are known beforehand.
    pub wrong_bits: u32,
    /// Where the wrong data come from.
    pub source: Option<Source>,
    /// Passes by which the data are older than expected; negative for newer.
    pub passes_behind: i64,
    /// Bytes by which the data lie further than where they belong.
    pub displaced_bytes: i32,
}

/// Classifies one sector; none where it is right. The expectation is that of this sector.
#[must_use]
pub fn classify(sector: &[u8; SECTOR_BYTES], expectation: &Expectation) -> Option<Finding> {
    verify(sector, expectation).err()?;
    let view = View::new(sector, expectation);
    let plain = |class| view.finding(class, None);
    if view.actual.iter().all(|word| *word == 0) {
        return Some(plain(Class::Zero));
    }
    if view.is_flipped() {
        return Some(plain(Class::Bitflip));
    }
    if view.wrong & !HEADER_MASK == 0 {
        return Some(view.wrong_header());
    }
    let expected = Image::expected(expectation);
    let found = image::find(sector, view.wrong & !HEADER_MASK, &expected);
    Some(match found {
        Some(found) => view.by_image(&found, &expected),
        None if view.is_torn(view.zeros) => plain(Class::Torn),
        None => plain(Class::Unknown),
    })
}

/// A wrong sector beside what was expected.
struct View<'a> {
    expectation: &'a Expectation,
    header: Option<(Form, Header)>,
    actual: [u64; WORDS],
    expected: [u64; WORDS],
    /// Wrong words; of the header all or none.
    wrong: u64,
    /// Words that are zero.
    zeros: u64,
}

impl<'a> View<'a> {
    fn new(sector: &[u8; SECTOR_BYTES], expectation: &'a Expectation) -> Self {
        let actual = words_of(sector);
        let expected = words_of(&explain::expected_sector(expectation, sector));
        let bits = |is: &dyn Fn(usize) -> bool| (0..WORDS).filter(|at| is(*at)).fold(0u64, |bits, at| bits | 1 << at);
        let mut wrong = bits(&|at| actual[at] != expected[at]);
        if wrong & HEADER_MASK != 0 {
            wrong |= HEADER_MASK;
        }
        let zeros = bits(&|at| actual[at] == 0);
        Self { expectation, header: decode_header(sector), actual, expected, wrong, zeros }
    }

    fn flipped_bits(&self, at: usize) -> u32 {
        (self.actual[at] ^ self.expected[at]).count_ones()
    }

    /// A flip in time or position can not be seen in them, only in the check word, whose expected value follows from them: so a
    /// damaged time or position counts as flipped when all else is right.
    fn is_flipped(&self) -> bool {
        let known = (0..5).chain(HEADER_WORDS..WORDS).map(|at| self.flipped_bits(at)).max().unwrap_or(0);
        let zeroed_header = self.zeros & HEADER_MASK == HEADER_MASK;
        let sound_but_other = self.header.is_some() && self.wrong & HEADER_MASK != 0;
        known <= FLIPPED_BITS_MAX && !zeroed_header && !sound_but_other && (known > 0 || self.check_is_one_flip_away())
    }

    /// Whether one flipped bit of words 5-7 explains a wrong check word.
    fn check_is_one_flip_away(&self) -> bool {
        if self.flipped_bits(7) <= FLIPPED_BITS_MAX {
            return true;
        }
        let form = Form::of_sequence(self.expectation.sequence);
        (5..7).flat_map(|at| (0..64).map(move |bit| (at, bit))).any(|(at, bit)| {
            let mut sector = self.actual;
            sector[at] ^= 1 << bit;
            let mut bytes = [0; SECTOR_BYTES];
            for (slot, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(sector) {
                *slot = word.to_le_bytes();
            }
            decode_header(&bytes).is_some_and(|(found, _)| found == form)
        })
    }

    /// The body is right, the header is not.
    fn wrong_header(&self) -> Finding {
        let expected = Image::expected(self.expectation);
        let Some((form, header)) = self.header else {
            let zeroed = self.zeros & HEADER_MASK == HEADER_MASK;
            return self.finding(if zeroed { Class::Torn } else { Class::Unknown }, None);
        };
        let said = Image { form, ..Image::expected(&header.stamp.expectation) };
        let class = if said == expected { self.relation(&said, &expected) } else { Class::Torn };
        self.finding(class, Some(&said))
    }

    fn by_image(&self, found: &Found, expected: &Image) -> Finding {
        let image = &found.image;
        let mine = image.tag == expected.tag;
        let explained = (found.words | self.zeros) & self.wrong;
        let class = if mine && image.displaced != 0 {
            Class::Shifted
        } else if found.words.count_ones() * 2 < (self.wrong & !HEADER_MASK).count_ones() && !self.is_torn(explained) {
            Class::Unknown
        } else if self.is_torn(explained) && !(self.is_whole_body_wrong() && self.is_complemented(image, expected)) {
            Class::Torn
        } else {
            self.relation(image, expected)
        };
        self.finding(class, Some(image))
    }

    /// Some words are right, and the wrong ones, all explained, are everything before or everything after those.
    fn is_torn(&self, explained: u64) -> bool {
        let body = self.wrong & !HEADER_MASK;
        let first_part = self.wrong.trailing_ones() == self.wrong.count_ones();
        let last_part = self.wrong.leading_ones() == self.wrong.count_ones();
        self.wrong != u64::MAX && (first_part || last_part) && explained & body == body
    }

    /// Right but for its form: no pass can have written this. Either all of it, while the header, in whatever form, says the
    /// expected pass; or words in a form that only the next pass has. Other words in the other form are stale by one pass.
    fn is_complemented(&self, image: &Image, expected: &Image) -> bool {
        let header = self.header.map(|(_, header)| header.stamp.expectation.sequence == self.expectation.sequence);
        let says_expected = if self.is_whole_body_wrong() { header } else { None };
        image.form != expected.form
            && Image { form: expected.form, ..*image } == *expected
            && says_expected.unwrap_or(expected.form == Form::True)
    }

    fn is_whole_body_wrong(&self) -> bool {
        self.wrong | HEADER_MASK == u64::MAX
    }

    /// What data of an image are, seen from what was expected.
    fn relation(&self, image: &Image, expected: &Image) -> Class {
        let said = self.header.map(|(_, header)| header.stamp.expectation);
        let other_owner =
            said.is_some_and(|said| said.owner.tag() == image.tag && said.owner != self.expectation.owner);
        let other_target = said.is_some_and(|said| {
            said.target != self.expectation.target
                || said.machine != self.expectation.machine
                || (said.offset != self.expectation.offset && image.sector == expected.sector)
        });
        if image.tag != expected.tag || other_owner {
            Class::Foreign
        } else if image.sector != expected.sector || other_target {
            Class::Misdirected
        } else if self.is_complemented(image, expected) {
            Class::WrongForm
        } else {
            Class::Stale
        }
    }

    fn finding(&self, class: Class, image: Option<&Image>) -> Finding {
        let source = image.map(|image| self.source(image));
        let behind = |source: &Source| self.expectation.sequence.cast_signed() - source.sequence.cast_signed();
        Finding {
            class,
            wrong_words: self.wrong,
            wrong_bits: (0..5).chain(HEADER_WORDS..WORDS).map(|at| self.flipped_bits(at)).sum(),
            source,
            passes_behind: source.as_ref().map_or(0, behind),
            displaced_bytes: image.map_or(0, |image| image.displaced),
        }
    }

    /// Completes an image by the header, where that is sound and of the same writing.
    fn source(&self, image: &Image) -> Source {
        let said = self.header.map(|(_, header)| header.stamp.expectation);
        let same = |said: &Expectation| said.owner.tag() == image.tag;
        if let Some(said) = said.filter(same) {
            let exact = said.sequence % SEQUENCE_MODULUS == image.sequence() && said.sector() == image.sector;
            if exact {
                return Source {
                    tag: image.tag,
                    owner: Some(said.owner),
                    offset: said.offset,
                    sequence: said.sequence,
                };
            }
        }
        Source {
            tag: image.tag,
            owner: said.filter(same).map(|said| said.owner),
            offset: nearest_offset(image.sector, self.expectation),
            sequence: latest_sequence(image, self.expectation),
        }
    }
}

/// The offset that a sector number modulo 2^26 stands for, within the expected 32 GiB.
fn nearest_offset(sector: u32, expectation: &Expectation) -> u64 {
    let whole = expectation.offset / SECTOR_BYTES as u64;
    (whole - whole % SECTOR_MODULUS + u64::from(sector)) * SECTOR_BYTES as u64
}

/// The latest pass, not after the expected one, that an image can be of. The pass right after it is that, too: the partner of
/// its pair.
fn latest_sequence(image: &Image, expectation: &Expectation) -> u64 {
    let partner = expectation.sequence ^ 1;
    if partner % SEQUENCE_MODULUS == image.sequence() {
        return partner;
    }
    let behind = (expectation.sequence % SEQUENCE_MODULUS + SEQUENCE_MODULUS - image.sequence()) % SEQUENCE_MODULUS;
    expectation.sequence.saturating_sub(behind)
}
