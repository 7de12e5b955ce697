//! The self-describing data pattern of Muster's disk and memory tests: filling, verifying, and telling what wrong data are.
//!
//! A sector is 512 bytes: 64 little-endian words of 64 bits. Words 0-7 are a header ([`Header`]), words 8-63 carry an invertible
//! mix of (owner tag, generation, sector, word), so that **every word alone** says who wrote it, in which generation and for
//! which sector. Odd sequences are the ones' complement of the even sequence before them, header included, so every bit of the
//! body changes from that pass to the next.
//!
//! Pure: no I/O, no clock, no dependencies. Reading, writing, re-reading and reporting belong to the test modules.

mod classify;
mod decode;
mod explain;
mod fill;
mod image;
mod mix;
mod scramble;
mod sector;
mod spoil;
mod stream;
mod verify;

pub use classify::{Class, Finding, Source, classify};
pub use decode::{Form, WordMeaning, decode_header, decode_word};
pub use explain::{WrongWord, expected_sector, explain_header, explain_sector, wrong_words};
pub use fill::fill;
pub use scramble::scramble;
pub use sector::{Expectation, Header, Owner, SECTOR_BYTES, Stamp, name_hash};
pub use spoil::spoil;
pub use stream::fill_streaming;
pub use verify::{Mismatch, verify};
