//! Finding what wrong words agree on: which writing they come from, and by how many bytes they are displaced.

use crate::decode::{Form, WordMeaning, reading};
use crate::sector::{Expectation, HEADER_WORDS, SECTOR_BYTES, WORDS};

/// Words that must agree before an image is believed whatever it says: two agree by chance once in 2^58.
const AGREEING_MIN: u32 = 3;

/// A writing that some words of a sector come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Image {
    /// Form of the words.
    pub(crate) form: Form,
    /// Owner tag.
    pub(crate) tag: u16,
    /// Generation.
    pub(crate) generation: u16,
    /// Sector, modulo 2^26.
    pub(crate) sector: u32,
    /// Bytes by which the words lie further than where they belong.
    pub(crate) displaced: i32,
}

impl Image {
    /// What is expected.
    pub(crate) fn expected(expectation: &Expectation) -> Self {
        Self {
            form: Form::of_sequence(expectation.sequence),
            tag: expectation.owner.tag(),
            generation: expectation.generation(),
            sector: expectation.sector(),
            displaced: 0,
        }
    }

    fn of_word(meaning: WordMeaning, byte: usize) -> Option<Self> {
        let WordMeaning { form, tag, generation, sector, word } = meaning;
        let displaced = i32::try_from(byte).ok()? - i32::from(word) * 8;
        (usize::from(word) >= HEADER_WORDS).then_some(Self { form, tag, generation, sector, displaced })
    }

    /// Sequence, modulo 131,072.
    pub(crate) fn sequence(&self) -> u64 {
        u64::from(self.generation) << 1 | u64::from(self.form == Form::Complement)
    }

    /// Whether a lone word may be believed: it lies where it belongs and shares its writer, or its place and pass, with what is
    /// expected.
    fn is_near(&self, expected: &Self) -> bool {
        self.displaced == 0
            && (self.tag == expected.tag || (self.sector == expected.sector && self.generation == expected.generation))
    }
}

/// An image and the words of a sector that carry it, as bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) image: Image,
    pub(crate) words: u64,
}

/// The image that most of the given words (bits 8-63 of `among`) agree on.
pub(crate) fn find(sector: &[u8; SECTOR_BYTES], among: u64, expected: &Image) -> Option<Found> {
    let aligned = most_agreed(sector, among, 0, expected);
    let believed = |found: &Found| found.words.count_ones() >= AGREEING_MIN;
    if aligned.as_ref().is_some_and(believed) {
        return aligned;
    }
    let unaligned = (1..8).filter_map(|shift| most_agreed(sector, among, shift, expected)).find(believed);
    unaligned.or_else(|| aligned.filter(|found| found.image.is_near(expected)))
}

fn most_agreed(sector: &[u8; SECTOR_BYTES], among: u64, shift: usize, expected: &Image) -> Option<Found> {
    let mut found: Vec<Found> = Vec::new();
    for place in HEADER_WORDS..WORDS {
        let byte = place * 8 + shift;
        let Some(bytes) = sector.get(byte..byte + 8).and_then(|bytes| bytes.first_chunk()) else { continue };
        if among & 1 << place == 0 {
            continue;
        }
        let value = u64::from_le_bytes(*bytes);
        for image in Form::BOTH.into_iter().filter_map(|form| Image::of_word(reading(form, value), byte)) {
            match found.iter_mut().find(|known| known.image == image) {
                Some(known) => known.words |= 1 << place,
                None => found.push(Found { image, words: 1 << place }),
            }
        }
    }
    let rank = |found: &Found| (found.words.count_ones(), found.image.displaced == 0, found.image.is_near(expected));
    found.into_iter().max_by_key(rank)
}
