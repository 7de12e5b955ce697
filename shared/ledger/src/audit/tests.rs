//! Every way to falsify a log that one can think of, each in either copy, and each found where it is.

use muster_bus::Authority;
use muster_model::{Position, Term};
use muster_proto::v1::{Cause, Entry, Envelope, Genesis, TurnBlock, cause::Kind, envelope::Body};
use prost::Message as _;

use super::*;
use crate::chain::Place;
use crate::seal::seal_genesis;

const MESSAGES: u64 = 9;

fn blank(body: Body, authority: Authority) -> Envelope {
    let Position { lineage, sequence } = authority.position;
    let (lineage, sequence, term) = (lineage.0, sequence.0, authority.term.0);
    Envelope { lineage, sequence, term, body: Some(body), ..Envelope::default() }
}

fn at(sequence: u64) -> Position {
    Position::new(1, sequence)
}

/// A log of one command a message, all by `actor`.
fn chain_by(actor: &str) -> Vec<Bytes> {
    let genesis = Genesis { system: vec![7; 16].into(), log: "JOBS".into(), ..Genesis::default() };
    let mut messages = vec![seal_genesis(at(1), genesis, PoolTime(1), &blank)];
    for sequence in 2..=MESSAGES {
        let cause = Some(Cause { kind: Some(Kind::Command(vec![7; 16].into())) });
        let sender = if sequence % 2 == 0 { "user/anna" } else { "" };
        let time_ns = i64::try_from(sequence).expect("few");
        let entry = Entry { cause, actor: actor.into(), sender: sender.into(), time_ns, ..Entry::default() };
        let previous = chain::hash(messages.last().expect("there is one"));
        let place = Place { position: at(sequence), previous, term: Term(1) };
        messages.push(chain::seal(&blank, place, "", TurnBlock { entries: vec![entry] }.encode_to_vec()));
    }
    messages
}

type Rows = Vec<(Position, Hash, Bytes)>;

fn rows(messages: &[Bytes]) -> Rows {
    (1..).zip(messages).map(|(sequence, payload)| (at(sequence), chain::hash(payload), payload.clone())).collect()
}

fn audited(log: &Rows, archive: &Rows, seals: Vec<Seal>) -> Audited {
    let mut auditor = Auditor::new(seals, PoolTime(0));
    let mut archive = archive.iter().peekable();
    for (position, _, payload) in log {
        while let Some((at, kept, payload)) = archive.next_if(|(at, _, _)| at <= position) {
            auditor.archived(*at, kept, Message::of(payload));
        }
        auditor.logged(*position, Message::of(payload));
    }
    for (at, kept, payload) in archive {
        auditor.archived(*at, kept, Message::of(payload));
    }
    auditor.finish(log.last().map(|(position, _, _)| *position), String::new())
}

fn breaks(log: &Rows, archive: &Rows) -> Vec<(Side, u64)> {
    audited(log, archive, Vec::new()).breaks.iter().map(|one| (one.copy, one.position.sequence.0)).collect()
}

/// The same after one byte in the middle of a message is another; `kept` where the hash beside it is made to fit.
fn altered(rows: &Rows, sequence: u64, kept: bool) -> Rows {
    let mut rows = rows.clone();
    let (_, hash, payload) = rows.iter_mut().find(|(at, _, _)| at.sequence.0 == sequence).expect("it is there");
    let text = payload.windows(4).position(|part| part == b"anna").expect("it names who asked");
    let mut bytes = payload.to_vec();
    bytes[text] = b'A';
    *payload = bytes.into();
    if !kept {
        *hash = chain::hash(payload);
    }
    rows
}

#[test]
fn a_log_that_is_as_it_was_written_has_no_break_and_is_counted_once() {
    let rows = rows(&chain_by("user:anna"));
    for archive in [rows.clone(), rows[..4].to_vec(), Vec::new()] {
        for log in [rows.clone(), rows[3..].to_vec()] {
            let found = audited(&log, &archive, Vec::new());
            assert_eq!(found.breaks, [], "{} and {}", log.len(), archive.len());
            let whole = archive.len() >= 4 || log.len() == rows.len();
            assert_eq!(found.messages, if whole { MESSAGES } else { MESSAGES - 3 });
            assert_eq!(found.head.map(|head| head.position), Some(at(MESSAGES)));
            if whole {
                assert_eq!((found.commands, found.proven), (8, 4));
                assert_eq!(found.times, Some((PoolTime(1), PoolTime(9))));
            }
        }
    }
}

#[test]
fn one_byte_that_was_changed_is_found_in_either_copy_and_in_both() {
    let rows = rows(&chain_by("user:anna"));
    assert_eq!(breaks(&altered(&rows, 4, false), &rows), [(Side::Log, 4), (Side::Log, 5)]);
    assert_eq!(breaks(&rows, &altered(&rows, 4, true)), [(Side::Archive, 4), (Side::Log, 4), (Side::Archive, 5)]);
    assert_eq!(breaks(&rows, &altered(&rows, 4, false)), [(Side::Log, 4), (Side::Archive, 5)]);
    let both = altered(&rows, 4, false);
    assert_eq!(breaks(&both, &both), [(Side::Archive, 5), (Side::Log, 5)]);
    assert_eq!(breaks(&both, &Vec::new()), [(Side::Log, 5)], "without an archive too");
    assert_eq!(
        breaks(&altered(&rows, MESSAGES, false), &rows),
        [(Side::Log, MESSAGES)],
        "the last one has no successor"
    );
}

#[test]
fn one_that_was_removed_and_two_that_were_exchanged_are_found() {
    let rows = rows(&chain_by("user:anna"));
    let mut without = rows.clone();
    without.remove(4);
    assert_eq!(breaks(&without, &rows), [(Side::Log, 6)]);
    assert_eq!(breaks(&rows, &without), [(Side::Archive, 6)]);
    assert_eq!(breaks(&without, &without), [(Side::Archive, 6), (Side::Log, 6)]);
    // Removed, and the others moved up.
    let moved: Rows =
        (1..).zip(&without).map(|(sequence, (_, hash, payload))| (at(sequence), *hash, payload.clone())).collect();
    assert_eq!(breaks(&moved, &Vec::new()).first(), Some(&(Side::Log, 5)));
    let mut exchanged = rows.clone();
    let (four, five) = (rows[3].clone(), rows[4].clone());
    exchanged[3] = (at(4), five.1, five.2);
    exchanged[4] = (at(5), four.1, four.2);
    assert_eq!(breaks(&exchanged, &Vec::new()).first(), Some(&(Side::Log, 4)));
    assert_eq!(breaks(&rows, &exchanged).first(), Some(&(Side::Archive, 4)));
}

#[test]
fn an_end_that_was_cut_off_is_found_by_the_archive_and_in_both_by_a_seal() {
    let rows = rows(&chain_by("user:anna"));
    let cut = rows[..6].to_vec();
    let found = audited(&cut, &rows, Vec::new());
    assert!(found.breaks[0].what.contains("cut off"), "{:?}", found.breaks);
    assert_eq!(breaks(&cut, &rows), [(Side::Log, 6)]);
    assert_eq!(breaks(&rows, &cut), [], "an archive is behind");
    assert_eq!(breaks(&Vec::new(), &rows), [(Side::Log, 0)], "all of it is gone");
    assert_eq!(breaks(&cut, &cut), [], "nobody can know");
    let seal = Seal { position: at(8), hash: rows[7].1 };
    let found = audited(&cut, &cut, vec![seal.clone()]);
    assert!(found.breaks[0].what.contains("there is no such message"), "{:?}", found.breaks);
    assert_eq!(audited(&rows, &rows, vec![seal]).breaks, []);
}

#[test]
fn a_log_that_was_written_anew_from_its_beginning_is_found_by_the_other_copy_or_by_a_seal() {
    let (rows, forged) = (rows(&chain_by("user:anna")), rows(&chain_by("user:bert")));
    assert_eq!(breaks(&forged, &rows).first(), Some(&(Side::Log, 2)));
    assert_eq!(breaks(&forged, &forged), [], "nobody can know");
    let seal = Seal { position: at(5), hash: rows[4].1 };
    assert_eq!(audited(&forged, &forged, vec![seal]).breaks.len(), 1);
}

#[test]
fn a_log_that_begins_where_the_archive_ends_is_held_against_it() {
    let rows = rows(&chain_by("user:anna"));
    assert_eq!(breaks(&rows[4..].to_vec(), &rows[..4].to_vec()), []);
    assert_eq!(breaks(&rows[4..].to_vec(), &altered(&rows, 4, false)[..4].to_vec()), [(Side::Log, 5)]);
}

#[test]
fn breaks_are_told_up_to_a_bound_and_then_counted() {
    let mut auditor = Auditor::new(Vec::new(), PoolTime(0));
    for sequence in 1..=30 {
        auditor.logged(at(sequence), Message::of(&Bytes::from_static(b"none")));
    }
    let found = auditor.finish(Some(at(30)), String::new());
    assert_eq!((found.breaks.len(), found.breaks_more), (BREAKS_MAX, 10));
}
