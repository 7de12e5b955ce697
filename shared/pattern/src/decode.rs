//! Reading words and headers back without an expectation: the mix inverts, so each names its writer.

use crate::mix::{Identity, identity_of};
use crate::sector::{HEADER_WORDS, Header, SECTOR_BYTES, VERSION, WORDS, check_word, has_magic, header_of};

/// Whether data are as mixed (even sequences) or complemented (odd ones).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// As mixed.
    True,
    /// Ones' complement.
    Complement,
}

impl Form {
    pub(crate) const BOTH: [Self; 2] = [Self::True, Self::Complement];

    pub(crate) fn of_sequence(sequence: u64) -> Self {
        if sequence & 1 == 0 { Self::True } else { Self::Complement }
    }

    /// Brings a word of this form into true form, and back.
    pub(crate) fn translate(self, word: u64) -> u64 {
        match self {
            Self::True => word,
            Self::Complement => !word,
        }
    }
}

/// What a body word says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WordMeaning {
    /// Form that it is in.
    pub form: Form,
    /// Owner tag.
    pub tag: u16,
    /// Pair of passes: sequence / 2, modulo 65,536.
    pub generation: u16,
    /// Sector, modulo 2^26.
    pub sector: u32,
    /// Word of the sector, from 8.
    pub word: u8,
}

impl WordMeaning {
    fn new(form: Form, identity: Identity) -> Self {
        let Identity { tag, generation, sector, word } = identity;
        Self { form, tag, generation, sector, word }
    }

    /// Sequence of the pass, modulo 131,072.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        u64::from(self.generation) << 1 | u64::from(self.form == Form::Complement)
    }
}

/// What a value would mean in one form, whatever its place.
pub(crate) fn reading(form: Form, value: u64) -> WordMeaning {
    WordMeaning::new(form, identity_of(form.translate(value)))
}

/// The meaning of a body word at a place of a sector (8-63): the reading whose word number is that place; none for what no
/// writer puts there.
#[must_use]
pub fn decode_word(value: u64, place: u8) -> Option<WordMeaning> {
    Form::BOTH.into_iter().map(|form| reading(form, value)).find(|meaning| meaning.word == place)
}

/// The header of a sector and the form that it is in, where magic, version and check word are right.
#[must_use]
pub fn decode_header(sector: &[u8; SECTOR_BYTES]) -> Option<(Form, Header)> {
    let words = words_of(sector);
    Form::BOTH.into_iter().find_map(|form| {
        let mut head = [0; HEADER_WORDS];
        for (slot, word) in head.iter_mut().zip(words) {
            *slot = form.translate(word);
        }
        let [w0, w1, w2, w3, w4, w5, w6, check] = head;
        let right = has_magic(w0) && w6 >> 48 == VERSION && check == check_word(&[w0, w1, w2, w3, w4, w5, w6]);
        right.then(|| (form, header_of(&head)))
    })
}

pub(crate) fn words_of(sector: &[u8; SECTOR_BYTES]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (slot, bytes) in words.iter_mut().zip(sector.as_chunks::<8>().0) {
        *slot = u64::from_le_bytes(*bytes);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sector::{Expectation, Owner, Stamp};

    #[test]
    fn every_word_and_the_header_name_their_writer() {
        let owner = Owner { run: 9, job: 1, process: 100, attempt: 2 };
        for sequence in [42, 43] {
            let expectation = Expectation { owner, target: 3, machine: 4, sequence, offset: 512 * 1000 };
            let stamp = Stamp { expectation, time: 77 };
            let mut sector = [0; SECTOR_BYTES];
            crate::fill(&mut sector, &stamp);
            let form = Form::of_sequence(sequence);
            let header = Header { stamp, version: 1, position: 0, sectors: 1 };
            assert_eq!(decode_header(&sector), Some((form, header)));
            for (place, value) in (0u8..).zip(words_of(&sector)).skip(HEADER_WORDS) {
                let meaning = WordMeaning { form, tag: owner.tag(), generation: 21, sector: 1000, word: place };
                assert_eq!(decode_word(value, place), Some(meaning));
                assert_eq!(meaning.sequence(), sequence);
            }
        }
        assert_eq!(decode_header(&[0; SECTOR_BYTES]), None);
        assert_eq!(decode_word(0, 8), None);
    }
}
