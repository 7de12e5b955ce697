//! Corruption made on purpose: a detector that was never seen to fire is not trusted.

use crate::classify::Class;
use crate::fill::fill;
use crate::scramble::scramble;
use crate::sector::{Expectation, Owner, SECTOR_BYTES, Stamp};

/// Where a torn sector tears, and by how much a shifted one is displaced.
const TORN_AT: usize = 256;
const SHIFTED_BY: usize = 24;

/// Spoils the first sector of a transfer that is right, so that it classifies as asked for. The seed varies which bits are wrong.
///
/// # Panics
/// When the transfer has no sector: a mistake of the caller.
pub fn spoil(transfer: &mut [u8], class: Class, expectation: &Expectation, seed: u64) {
    let right: [u8; SECTOR_BYTES] = *transfer.first_chunk().expect("a transfer has a sector");
    let other = |expectation: Expectation| {
        let mut sector = [0; SECTOR_BYTES];
        fill(&mut sector, &Stamp { expectation, time: 1 });
        sector
    };
    let stale = || other(Expectation { sequence: expectation.sequence.saturating_sub(1), ..*expectation });
    let mut sector = right;
    match class {
        Class::Bitflip => sector[100 + usize::from(seed.to_le_bytes()[0])] ^= 1 << (seed >> 8 & 7),
        Class::Stale => sector = stale(),
        Class::Misdirected => sector = other(expectation.advanced(8)),
        Class::Foreign => {
            let owner = Owner { process: expectation.owner.process ^ 1, ..expectation.owner };
            sector = other(Expectation { owner, ..*expectation });
        }
        Class::WrongForm => sector = right.map(|byte| !byte),
        Class::Zero => sector = [0; SECTOR_BYTES],
        Class::Torn => sector[TORN_AT..].copy_from_slice(&stale()[TORN_AT..]),
        Class::Shifted => sector.rotate_right(SHIFTED_BY),
        // Words that no writer makes.
        Class::Unknown => {
            for (index, word) in (0u64..).zip(sector.as_chunks_mut::<8>().0) {
                *word = scramble(seed ^ index).to_le_bytes();
            }
        }
    }
    transfer[..SECTOR_BYTES].copy_from_slice(&sector);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::classify;

    #[test]
    fn every_class_is_made_as_what_it_is_called() {
        let owner = Owner { run: 1, job: 2, process: 3, attempt: 1 };
        for (seed, sequence) in [(0, 1), (u64::MAX, 1), (77, 2), (3, 9)] {
            let expectation = Expectation { owner, target: 1, machine: 2, sequence, offset: 1 << 20 };
            for class in Class::ALL {
                let mut transfer = [0; 2 * SECTOR_BYTES];
                fill(&mut transfer, &Stamp { expectation, time: 9 });
                spoil(&mut transfer, class, &expectation, seed);
                let sector = transfer.first_chunk().expect("a sector");
                assert_eq!(classify(sector, &expectation).map(|finding| finding.class), Some(class));
            }
        }
    }
}
