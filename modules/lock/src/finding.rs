//! What happens when something is wrong, in this order: fire the trigger, read the record again twice and classify, save expected and
//! actual, report, save the history. Whether the test goes on is the work's matter.

use muster_pattern::{Expectation, Mismatch, verify};
use muster_sdk::{Corruption, Evidence, persistence};

use crate::core::{Wrong, dpid, judge_record, target};
use crate::locks::Locks;
use crate::work::{Work, Worth};

/// What can not be looked at again has this persistence.
const PASSED: &str = "PASSED";

/// A record that is wrong.
pub(crate) struct WrongRecord<'f> {
    pub(crate) lock: u32,
    /// Under which the finder holds the lock.
    pub(crate) token: u64,
    pub(crate) actual: &'f [u8],
    /// Of the whole record.
    pub(crate) expectation: Expectation,
    pub(crate) mismatch: Mismatch,
}

/// Reports a wrong record.
pub(crate) fn record(work: &Work<'_>, locks: &mut dyn Locks, found: &WrongRecord<'_>) {
    fire(work);
    let WrongRecord { lock, token, actual, expectation, .. } = *found;
    let persistence = read_again(locks, found);
    let evidence = Evidence { actual, expectation };
    let at = found.mismatch.sector;
    let Some((finding, wrong)) = judge_record(evidence.sector(at), &expectation.advanced(at), token) else {
        return work.note("verify and classify disagree: a fault of this test".into());
    };
    let (bad, all) = (evidence.wrong_sectors().len(), evidence.sectors().len());
    let summary = format!(
        "{}; {}; {persistence}; {bad} of {all} sectors of the record of {} are wrong, held under token {token}{}",
        wrong.what,
        finding.summary(),
        target(lock),
        locks.read_command(lock).map_or_else(String::new, |command| format!("; read again: {command}")),
    );
    let offset = expectation.advanced(at).offset;
    let name = Evidence::name(offset, expectation.sequence);
    let worth = work.found();
    if worth == Worth::Files {
        evidence.keep(work.session, &name, &summary, |at| format!("sector {at} of the record of {}", target(lock)));
    }
    let corruption = Corruption {
        persistence: persistence.to_owned(),
        detail: format!("{summary}\n{}", evidence.explanation(at)),
        ..evidence.corruption(at, Some(&finding))
    };
    tell(work, worth, &name, lock, &wrong, &summary, corruption);
}

/// Reports a wrong order of grants and releases: it has no data, and can not be looked at again.
pub(crate) fn order(work: &Work<'_>, lock: u32, token: u64, wrong: &Wrong) {
    fire(work);
    let offset = u64::from(lock) * work.settings.record_bytes as u64;
    let worth = work.found();
    let detail = format!("{}: {}, at token {token}", wrong.class, wrong.what);
    let corruption = Corruption { offset, persistence: PASSED.to_owned(), detail: detail.clone(), ..no_corruption() };
    tell(work, worth, &Evidence::name(offset, token), lock, wrong, &detail, corruption);
}

/// Before anything that takes time.
fn fire(work: &Work<'_>) {
    work.session.wrong_data(&work.settings.triggers);
}

fn tell(work: &Work<'_>, worth: Worth, name: &str, lock: u32, wrong: &Wrong, summary: &str, corruption: Corruption) {
    if worth != Worth::Count {
        work.session.corruption(Corruption {
            target: target(lock),
            class: wrong.class.to_owned(),
            owner_run: wrong.by.map_or(0, |owner| owner.run),
            owner_dpid: wrong.by.map_or_else(String::new, |owner| dpid(owner).to_string()),
            ..corruption
        });
    }
    if worth == Worth::Files {
        work.session.keep_result(&format!("{name}-history.csv"), work.history.text().as_bytes());
    }
    work.note(format!("{} of {}: {summary}", wrong.class, target(lock)));
}

fn read_again(locks: &mut dyn Locks, found: &WrongRecord<'_>) -> &'static str {
    let mut again = vec![0; found.actual.len()];
    let (mut good, mut same) = (0, 0);
    for _ in 0..2 {
        if locks.load(found.lock, &mut again).is_ok() {
            good += u32::from(verify(&again, &found.expectation).is_ok());
            same += u32::from(again == found.actual);
        }
    }
    persistence(good, same)
}

fn no_corruption() -> Corruption {
    Corruption {
        target: String::new(),
        resource: String::new(),
        offset: 0,
        class: String::new(),
        persistence: String::new(),
        owner_run: 0,
        owner_dpid: String::new(),
        expected: String::new(),
        actual: String::new(),
        detail: String::new(),
    }
}
