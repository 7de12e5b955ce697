//! Bytes that were a message: bits turned, pieces cut away, doubled and put elsewhere, lengths that promise more than there is.

use crate::Random;

/// A varint of ten bytes: the greatest number, or the longest length.
const HUGE: [u8; 10] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
/// A field of length 2^32 - 1.
pub(super) const ENDLESS: [u8; 6] = [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f];
/// Messages within messages, deeper than any decoder should follow.
const DEPTH: usize = 200;

/// The bytes, bent one to four times.
pub(super) fn bent(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    for _ in 0..=random.below(4) {
        once(&mut bytes, random);
    }
    bytes
}

fn once(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.index(bytes.len() + 1);
    let end = at + random.index(bytes.len() - at + 1);
    match random.below(8) {
        0 | 1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let piece = bytes[at..end].to_vec();
            let to = random.index(bytes.len() + 1);
            drop(bytes.splice(to..to, piece));
        }
        5 => drop(bytes.splice(at..at, HUGE)),
        6 => drop(bytes.splice(at..at, ENDLESS)),
        _ => nest(bytes, at, random),
    }
}

/// Puts what is after `at` into ever more messages of one field.
fn nest(bytes: &mut Vec<u8>, at: usize, random: &mut Random) {
    let mut inner = bytes.split_off(at);
    for _ in 0..random.index(DEPTH) {
        let Ok(length) = u8::try_from(inner.len()) else { break };
        if length > 0x7f {
            break;
        }
        drop(inner.splice(0..0, [0x0a, length]));
    }
    bytes.append(&mut inner);
}
