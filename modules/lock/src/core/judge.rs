//! What is wrong with a grant, or with a record that a lock protects.

use muster_pattern::{Class, Expectation, Finding, Owner, SECTOR_BYTES, classify, decode_header};

use super::{Grant, Last, Writer};

/// What can be wrong with locks beside the data that they protect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disorder {
    /// A grant or a release that was said did not arrive.
    Dropped,
    /// The same grant was given twice.
    Duplicated,
    /// Who asked later was served earlier.
    Reordered,
}

impl Disorder {
    pub(crate) const ALL: [Self; 3] = [Self::Dropped, Self::Duplicated, Self::Reordered];

    /// Its name in reports.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Dropped => "DROPPED",
            Self::Duplicated => "DUPLICATED",
            Self::Reordered => "REORDERED",
        }
    }
}

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Its class, as reports name it.
    pub(crate) class: &'static str,
    /// Who did it, where that is known.
    pub(crate) by: Option<Owner>,
    /// What it is, for people.
    pub(crate) what: String,
}

/// Checks what a grant says of its order; `seen` is the greatest token of the lock that this taker was granted before.
pub(crate) fn check_grant(grant: &Grant, seen: u64) -> Result<(), Wrong> {
    let wrong = |class, by: Option<Writer>, what| Err(Wrong { class, by: by.map(|writer| writer.owner), what });
    let (stale, duplicated) = (Class::Stale.as_str(), Disorder::Duplicated.as_str());
    let Grant { ticket, token, .. } = *grant;
    if let Some(before) = grant.before {
        let by = Some(before.writer);
        if token == before.token {
            return wrong(duplicated, by, format!("token {token} was granted twice"));
        }
        if token < before.token {
            return wrong(stale, by, format!("token {token} came after token {}: it went back", before.token));
        }
        if ticket < before.ticket {
            let what =
                format!("ticket {ticket} came after ticket {}: who asked later was served earlier", before.ticket);
            return wrong(Disorder::Reordered.as_str(), by, what);
        }
    }
    if token < seen {
        let last = match grant.last {
            Last::Written(writer, _) => Some(writer),
            Last::Never | Last::Unknown => None,
        };
        let by = grant.before.map(|before| before.writer).or(last);
        return wrong(stale, by, format!("token {token} came after token {seen}, which this taker had: it went back"));
    }
    Ok(())
}

/// What a wrong sector of a record is, to a taker that holds the lock under `token`. None where it is right.
pub(crate) fn judge_record(
    sector: &[u8; SECTOR_BYTES],
    expectation: &Expectation,
    token: u64,
) -> Option<(Finding, Wrong)> {
    let finding = classify(sector, expectation)?;
    let said = decode_header(sector).map(|(_, header)| header.stamp.expectation);
    let here = said.filter(|said| said.target == expectation.target && said.offset == expectation.offset);
    let by = finding.source.and_then(|source| source.owner).filter(|owner| *owner != expectation.owner);
    let wrong = match here {
        // At its grant, when nobody but another one with this token can have written under it.
        Some(said) if said.sequence == token && expectation.sequence != token => Wrong {
            class: Disorder::Duplicated.as_str(),
            by: Some(said.owner),
            what: format!("token {token} was granted twice: its other holder has written the record"),
        },
        // Another taker of the same process: the pattern alone would call it another pass.
        Some(said) if expectation.sequence == token && said.sequence > token && said.owner == expectation.owner => {
            Wrong {
                class: Class::Foreign.as_str(),
                by: Some(said.owner),
                what: format!(
                    "another taker wrote the record under token {}: two held the lock at once",
                    said.sequence
                ),
            }
        }
        Some(said) if finding.class == Class::Foreign => Wrong {
            class: Class::Foreign.as_str(),
            by,
            what: format!("another one wrote the record under token {}: two held the lock at once", said.sequence),
        },
        _ => Wrong { class: finding.class.as_str(), by, what: "the record is not what was written".into() },
    };
    Some((finding, wrong))
}

#[cfg(test)]
mod tests {
    use muster_pattern::{Stamp, fill, spoil};

    use super::*;
    use crate::core::{Before, Mode, record_of};

    fn writer(process: u32) -> Writer {
        Writer { owner: Owner { run: 3, job: 2, process, attempt: 1 }, machine: 7 }
    }

    fn class(ticket: u64, token: u64, before: (u64, u64), seen: u64) -> Result<(), (&'static str, Option<Owner>)> {
        let before = Some(Before { writer: writer(9), ticket: before.0, token: before.1 });
        let grant = Grant { lock: 0, mode: Mode::Shared, ticket, token, last: Last::Never, before };
        check_grant(&grant, seen).map_err(|wrong| (wrong.class, wrong.by))
    }

    #[test]
    fn a_grant_follows_the_one_before_it_in_token_and_ticket() {
        let by = Some(writer(9).owner);
        assert_eq!(class(6, 11, (5, 10), 4), Ok(()));
        assert_eq!(class(6, 10, (5, 10), 4), Err(("DUPLICATED", by)));
        assert_eq!(class(6, 9, (5, 10), 4), Err(("STALE", by)));
        assert_eq!(class(5, 11, (6, 10), 4), Err(("REORDERED", by)));
        assert_eq!(class(6, 11, (5, 10), 12), Err(("STALE", by)));
    }

    fn sector(writer: Writer, token: u64) -> [u8; SECTOR_BYTES] {
        let mut sector = [0; SECTOR_BYTES];
        fill(&mut sector, &Stamp { expectation: record_of(5, SECTOR_BYTES, writer, token), time: 1 });
        sector
    }

    /// What a sector is to a holder under `token` that expects what `writer` wrote under `expected`.
    fn judged(
        sector: &[u8; SECTOR_BYTES],
        writer: Writer,
        expected: u64,
        token: u64,
    ) -> Option<(&'static str, Option<Owner>)> {
        let judged = judge_record(sector, &record_of(5, SECTOR_BYTES, writer, expected), token);
        judged.map(|(_, wrong)| (wrong.class, wrong.by))
    }

    #[test]
    fn a_record_says_who_else_holds_the_lock() {
        let (own, other) = (writer(1), writer(2));
        assert_eq!(judged(&sector(own, 8), own, 8, 8), None);
        assert_eq!(judged(&sector(other, 9), own, 8, 8), Some(("FOREIGN", Some(other.owner))));
        assert_eq!(judged(&sector(other, 7), own, 8, 8), Some(("FOREIGN", Some(other.owner))));
        assert_eq!(judged(&sector(own, 9), own, 8, 8), Some(("FOREIGN", Some(own.owner))), "another taker here");
        assert_eq!(judged(&sector(own, 6), own, 8, 8), Some(("STALE", None)), "a write was lost");
        assert_eq!(judged(&sector(other, 8), own, 8, 8), Some(("FOREIGN", Some(other.owner))), "whatever its token");
        // At the grant of token 8, the record of token 7 is expected.
        assert_eq!(judged(&sector(other, 8), own, 7, 8), Some(("DUPLICATED", Some(other.owner))));
        assert_eq!(judged(&sector(own, 8), own, 7, 8), Some(("DUPLICATED", Some(own.owner))));
    }

    #[test]
    fn damage_keeps_the_class_of_the_pattern() {
        let own = writer(1);
        for known in Class::ALL.into_iter().filter(|class| *class != Class::Foreign) {
            let mut spoiled = sector(own, 9);
            spoil(&mut spoiled, known, &record_of(5, SECTOR_BYTES, own, 9), 77);
            assert_eq!(judged(&spoiled, own, 9, 9).map(|(class, _)| class), Some(known.as_str()), "{known}");
        }
    }
}
