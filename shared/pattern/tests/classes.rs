//! Every class of corruption, made on purpose in random places, is found and named.

use muster_pattern::{
    Class, Expectation, Finding, Owner, SECTOR_BYTES, Stamp, classify, expected_sector, explain_sector, fill,
};
use proptest::prelude::*;

type Sector = [u8; SECTOR_BYTES];

fn sector(expectation: Expectation) -> Sector {
    let mut sector = [0; SECTOR_BYTES];
    fill(&mut sector, &Stamp { expectation, time: 1_700_000_000_000_000_000 });
    sector
}

fn found(actual: &Sector, expectation: &Expectation) -> Finding {
    let finding = classify(actual, expectation).expect("a wrong sector is found wrong");
    assert!(finding.summary().starts_with(finding.class.as_str()));
    assert!(explain_sector(actual, expectation).lines().count() > 2);
    finding
}

fn class(actual: &Sector, expectation: &Expectation) -> Class {
    found(actual, expectation).class
}

/// Passes to be behind by; beyond 131,071 a word alone can not tell.
fn passes() -> impl Strategy<Value = u64> {
    prop_oneof![Just(1u64), Just(2), 3u64..131_072]
}

prop_compose! {
    /// Any place of a disk and any pass from the third on, of a small owner.
    fn expectations()(
        run in 1u32..100, job in 1u32..250, process in 1u32..250, target: u32, machine: u32,
        sequence in 2u64..1 << 40, sector in 0u64..1 << 36,
    ) -> Expectation {
        let owner = Owner { run, job, process, attempt: 1 };
        Expectation { owner, target, machine, sequence, offset: sector * SECTOR_BYTES as u64 }
    }
}

proptest! {
    #[test]
    fn right_sectors_have_no_finding(e in expectations()) {
        prop_assert_eq!(classify(&sector(e), &e), None);
        prop_assert_eq!(expected_sector(&e, &sector(e)), sector(e));
    }

    #[test]
    fn one_flipped_bit_anywhere_is_a_bitflip(e in expectations(), bit in 0usize..SECTOR_BYTES * 8) {
        let mut actual = sector(e);
        actual[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(class(&actual, &e), Class::Bitflip);
    }

    #[test]
    fn one_bit_stuck_in_many_words_is_a_bitflip(e in expectations(), bit in 0usize..64, from in 8usize..60) {
        let mut actual = sector(e);
        for word in from..64 {
            actual[word * 8 + bit / 8] ^= 1 << (bit % 8);
        }
        prop_assert_eq!(class(&actual, &e), Class::Bitflip);
    }

    #[test]
    fn zeros_are_zero(e in expectations()) {
        prop_assert_eq!(class(&[0; SECTOR_BYTES], &e), Class::Zero);
    }

    #[test]
    fn an_older_pass_is_stale_and_says_by_how_many(e in expectations(), behind in passes()) {
        let behind = behind.min(e.sequence);
        let finding = found(&sector(Expectation { sequence: e.sequence - behind, ..e }), &e);
        prop_assert_eq!(finding.class, Class::Stale);
        prop_assert_eq!(finding.passes_behind, behind.cast_signed());
        prop_assert_eq!(finding.source.unwrap().owner, Some(e.owner));
    }

    #[test]
    fn a_single_stale_word_names_its_pass(e in expectations(), behind in passes(), word in 9usize..63) {
        let behind = behind.min(e.sequence);
        let old = sector(Expectation { sequence: e.sequence - behind, ..e });
        let mut actual = sector(e);
        actual[word * 8..word * 8 + 8].copy_from_slice(&old[word * 8..word * 8 + 8]);
        let finding = found(&actual, &e);
        prop_assert_eq!(finding.class, Class::Stale);
        prop_assert_eq!(finding.passes_behind, behind.cast_signed());
        prop_assert_eq!(finding.wrong_words, 1 << word);
    }

    #[test]
    fn another_place_of_the_same_writer_is_misdirected_and_named(e in expectations(), other in 0u64..1 << 36) {
        let offset = other * SECTOR_BYTES as u64;
        prop_assume!(offset != e.offset);
        let finding = found(&sector(Expectation { offset, ..e }), &e);
        prop_assert_eq!(finding.class, Class::Misdirected);
        prop_assert_eq!(finding.source.unwrap().offset, offset);
    }

    #[test]
    fn the_same_place_modulo_32_gib_or_on_another_target_is_misdirected(e in expectations(), times in 1u64..8) {
        let far = Expectation { offset: e.offset + (times << 35), ..e };
        prop_assert_eq!(class(&sector(far), &e), Class::Misdirected);
        prop_assert_eq!(class(&sector(Expectation { target: !e.target, ..e }), &e), Class::Misdirected);
    }

    #[test]
    fn another_writer_is_foreign_and_named(e in expectations(), job in 1u32..250, process in 1u32..250) {
        prop_assume!((job, process) != (e.owner.job, e.owner.process));
        let owner = Owner { job, process, ..e.owner };
        let mut actual = sector(Expectation { owner, sequence: 7, ..e });
        let finding = found(&actual, &e);
        prop_assert_eq!(finding.class, Class::Foreign);
        prop_assert_eq!(finding.source.unwrap().owner, Some(owner));
        // Without its header the tag still tells.
        actual[..64].fill(0x55);
        let finding = found(&actual, &e);
        prop_assert_eq!(finding.class, Class::Foreign);
        prop_assert_eq!((finding.source.unwrap().owner, finding.source.unwrap().tag), (None, owner.tag()));
    }

    #[test]
    fn a_complemented_sector_is_the_wrong_form(e in expectations()) {
        let whole = sector(e).map(|byte| !byte);
        prop_assert_eq!(class(&whole, &e), Class::WrongForm);
        let mut body = sector(e);
        body[64..].iter_mut().for_each(|byte| *byte = !*byte);
        prop_assert_eq!(class(&body, &e), Class::WrongForm);
    }

    #[test]
    fn a_sector_of_two_writings_is_torn(e in expectations(), behind in passes(), word in 9usize..64, first: bool) {
        let behind = behind.min(e.sequence);
        let (new, old) = (sector(e), sector(Expectation { sequence: e.sequence - behind, ..e }));
        let (head, tail) = if first { (new, old) } else { (old, new) };
        let mut actual = tail;
        actual[..word * 8].copy_from_slice(&head[..word * 8]);
        let finding = found(&actual, &e);
        prop_assert_eq!(finding.class, Class::Torn);
        prop_assert_eq!(finding.source.unwrap().sequence % (1 << 17), (e.sequence - behind) % (1 << 17));
    }

    #[test]
    fn a_sector_that_ends_or_begins_in_zeros_is_torn(e in expectations(), word in 8usize..64, first: bool) {
        let mut actual = sector(e);
        if first { actual[..word * 8].fill(0) } else { actual[word * 8..].fill(0) }
        prop_assert_eq!(class(&actual, &e), Class::Torn);
    }

    #[test]
    fn displaced_data_are_shifted_by_how_many_bytes(e in expectations(), bytes in 1usize..400, forward: bool) {
        let mut three = vec![0; 3 * SECTOR_BYTES];
        let before = Expectation { offset: e.offset.max(SECTOR_BYTES as u64) - SECTOR_BYTES as u64, ..e };
        let e = before.advanced(1);
        fill(&mut three, &Stamp { expectation: before, time: 9 });
        let from = if forward { SECTOR_BYTES - bytes } else { SECTOR_BYTES + bytes };
        let actual: Sector = three[from..from + SECTOR_BYTES].try_into().unwrap();
        let finding = found(&actual, &e);
        prop_assert_eq!(finding.class, Class::Shifted);
        let displaced = i64::from(finding.displaced_bytes);
        let (bytes, all) = (bytes.cast_signed() as i64, SECTOR_BYTES as i64);
        let possible = if forward { [bytes, bytes - all] } else { [-bytes, all - bytes] };
        prop_assert!(possible.contains(&displaced), "{} {:?}", displaced, possible);
    }

    #[test]
    fn noise_is_unknown(e in expectations(), noise in proptest::collection::vec(any::<u64>(), 64)) {
        let bytes: Vec<u8> = noise.iter().flat_map(|word| word.to_le_bytes()).collect();
        prop_assert_eq!(class(&bytes.try_into().unwrap(), &e), Class::Unknown);
        prop_assert_eq!(class(&[0xFF; SECTOR_BYTES], &e), Class::Unknown);
    }
}
