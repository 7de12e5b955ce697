//! A wrong sector for people: per wrong word its offset, what was expected, what is there, the difference and its meaning.

use std::fmt::Write as _;

use crate::classify::{Class, Finding};
use crate::decode::{Form, decode_header, decode_word, words_of};
use crate::fill;
use crate::sector::{Expectation, HEADER_WORDS, Header, SECTOR_BYTES, Stamp, WORDS, header_of};

/// The sector that was expected. Time and position, which a reader can not know, are taken from the actual sector.
#[must_use]
pub fn expected_sector(expectation: &Expectation, actual: &[u8; SECTOR_BYTES]) -> [u8; SECTOR_BYTES] {
    let flip = expectation.flip();
    let mut head = [0; HEADER_WORDS];
    for (slot, word) in head.iter_mut().zip(words_of(actual)) {
        *slot = word ^ flip;
    }
    // A sound header says them in whatever form it is.
    let said = decode_header(actual).map_or_else(|| header_of(&head), |(_, header)| header);
    let Header { stamp, position, sectors, .. } = said;
    let mut sector = [0; SECTOR_BYTES];
    fill::fill_at(
        &mut sector,
        &Stamp { expectation: *expectation, time: stamp.time },
        position as usize,
        sectors as usize,
    );
    sector
}

impl Finding {
    /// One line that says what the sector is.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text =
            format!("{}: {} wrong words, {} wrong bits", self.class, self.wrong_words.count_ones(), self.wrong_bits);
        if self.displaced_bytes != 0 {
            let _ = write!(text, ", displaced by {} bytes", self.displaced_bytes);
        }
        let Some(source) = self.source else { return text };
        let _ = match source.owner {
            Some(owner) => write!(
                text,
                ", written by run {} job {} process {} attempt {}",
                owner.run, owner.job, owner.process, owner.attempt
            ),
            None => write!(text, ", written by owner tag {:04x}", source.tag),
        };
        let _ = write!(text, " for offset {} in pass {}", source.offset, source.sequence);
        if self.class != Class::Foreign && self.passes_behind != 0 {
            let _ = write!(text, ", {} passes behind", self.passes_behind);
        }
        text
    }
}

/// A wrong word of a sector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongWord {
    /// Its place in the sector, 0-63.
    pub place: usize,
    /// Absolute byte offset.
    pub offset: u64,
    /// What was expected.
    pub expected: u64,
    /// What is there.
    pub actual: u64,
    /// What is there in true form, where it is complemented.
    pub translated: Option<u64>,
    /// `F` marks a few flipped bits, `C` a complemented word, `0` a zero, `*` other data.
    pub flag: char,
    /// What it says of itself.
    pub meaning: String,
}

impl WrongWord {
    /// Bits that differ.
    #[must_use]
    pub fn difference(&self) -> u64 {
        self.expected ^ self.actual
    }
}

/// The wrong words of a sector.
#[must_use]
pub fn wrong_words(actual: &[u8; SECTOR_BYTES], expectation: &Expectation) -> Vec<WrongWord> {
    let expected = words_of(&expected_sector(expectation, actual));
    let head = decode_header(actual).map(|(form, _)| form);
    let of_place = |(place, (actual, expected)): (usize, (u64, u64))| WrongWord {
        place,
        offset: expectation.offset + (place * 8) as u64,
        expected,
        actual,
        translated: (form_of(actual, place, head) == Some(Form::Complement)).then_some(!actual),
        flag: flag(actual, actual ^ expected),
        meaning: meaning(actual, place),
    };
    let words = words_of(actual).into_iter().zip(expected).enumerate();
    words.filter(|(_, (actual, expected))| actual != expected).map(of_place).collect()
}

/// One line of what the header of a sector says.
#[must_use]
pub fn explain_header(actual: &[u8; SECTOR_BYTES]) -> String {
    match decode_header(actual) {
        Some((form, header)) => format!("header: {form:?} form, {}", header_text(&header)),
        None => "header: not sound".to_owned(),
    }
}

/// A table of the wrong words of a sector, for a file of text.
#[must_use]
pub fn explain_sector(actual: &[u8; SECTOR_BYTES], expectation: &Expectation) -> String {
    let mut text = explain_header(actual);
    text.push_str("\noffset          word  expected          actual            difference        flag  meaning\n");
    for word in wrong_words(actual, expectation) {
        let WrongWord { place, offset, expected, actual, flag, ref meaning, .. } = word;
        let difference = word.difference();
        let _ = writeln!(
            text,
            "{offset:<14}  {place:>4}  {expected:016x}  {actual:016x}  {difference:016x}  {flag:<4}  {meaning}"
        );
    }
    text
}

/// The form of a word: its own where it is a writer's, the header's where it is of a sound one.
fn form_of(value: u64, place: usize, head: Option<Form>) -> Option<Form> {
    if place < HEADER_WORDS {
        return head;
    }
    let place = u8::try_from(place).ok()?;
    decode_word(value, place).map(|word| word.form)
}

fn header_text(header: &Header) -> String {
    let Stamp { expectation: said, time } = header.stamp;
    let owner = said.owner;
    format!(
        "run {} job {} process {} attempt {}, offset {}, pass {}, target {:08x}, machine {:08x}, time {time}, sector {} of {}",
        owner.run,
        owner.job,
        owner.process,
        owner.attempt,
        said.offset,
        said.sequence,
        said.target,
        said.machine,
        header.position,
        header.sectors
    )
}

fn flag(actual: u64, difference: u64) -> char {
    match (actual, difference) {
        (_, u64::MAX) => 'C',
        (0, _) => '0',
        _ if difference.count_ones() <= 3 => 'F',
        _ => '*',
    }
}

fn meaning(value: u64, place: usize) -> String {
    const HEADER: [&str; HEADER_WORDS] = [
        "magic, run",
        "job, process",
        "byte offset",
        "sequence, attempt",
        "target, machine",
        "write time",
        "version, position",
        "check word",
    ];
    if let Some(name) = HEADER.get(place) {
        return (*name).to_owned();
    }
    debug_assert!(place < WORDS, "a place is in the sector");
    match u8::try_from(place).ok().and_then(|place| decode_word(value, place)) {
        Some(word) => format!(
            "{:?} form, owner tag {:04x}, sector {}, pass {} (modulo 131072)",
            word.form,
            word.tag,
            word.sector,
            word.sequence()
        ),
        None => "not of this place".to_owned(),
    }
}
