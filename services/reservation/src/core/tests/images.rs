//! Images: which machines can be had, when they are ready, and what replaces those that could not be taken back.

use muster_model::{RefusalCode, SnapshotName};

use super::*;
use crate::core::explain::explain;
use crate::core::limits::IMAGE_PREPARATION_MAX;

fn image(name: &str) -> SnapshotName {
    SnapshotName::new(name).expect("a name")
}

fn asked(count: u32, name: &str) -> Reserve {
    Reserve { count, duration: HOUR, image: Some(image(name)), ..Reserve::default() }
}

impl Pool {
    /// A pool of which these machines have the snapshot `clean`.
    fn with_images(count: usize, having: &[usize]) -> Self {
        let mut pool = Self::of(count);
        for index in having {
            pool.hear(*index, News::Settings { bootable: true, image: Some(image("clean")) });
        }
        pool
    }

    fn restore(&mut self, reserve: Reserve) -> Result<ReservationId, Refusal> {
        Ok(self.command("user:anna", Command::Reserve(reserve))?.reservation.id)
    }

    /// machine-lifecycle moves a machine to a reservation, and begins to take it back.
    fn begin_restoring(&mut self, index: usize, id: ReservationId) {
        self.hear(index, News::Restored(Some(id)));
        self.move_to(index, Some(id));
    }

    fn is_restored(&mut self, index: usize) {
        self.hear(index, News::Phase { ready: false, offline: false });
        self.hear(index, News::Restored(None));
        self.hear(index, News::Phase { ready: true, offline: false });
    }

    fn had_by(&self, id: ReservationId) -> Vec<String> {
        let reservation = self.state.reservation(id).expect("it was queued");
        reservation.machines().into_iter().flatten().map(ToString::to_string).collect()
    }
}

#[test]
fn only_machines_that_have_the_image_are_granted_and_they_are_ready_once_they_were_taken_back() {
    let mut pool = Pool::with_images(4, &[1, 3]);
    let id = pool.restore(asked(2, "clean")).unwrap();
    assert_eq!(pool.had_by(id), ["m1", "m3"]);
    for index in [1, 3] {
        pool.begin_restoring(index, id);
    }
    assert!(is_preparing(pool.stage(id)), "they are held and ready, and not taken back");
    pool.is_restored(1);
    assert!(is_preparing(pool.stage(id)));
    pool.is_restored(3);
    assert!(is_ready(pool.stage(id)));
    assert_eq!(pool.folded_again(), pool.state);
}

#[test]
fn an_image_that_no_machine_has_is_refused_with_those_that_there_are() {
    let mut pool = Pool::with_images(3, &[1]);
    let unknown = pool.restore(asked(1, "cleen")).unwrap_err();
    assert_eq!(unknown.code, RefusalCode::NotFound);
    assert!(unknown.why.contains("`cleen`") && unknown.next.contains("there are clean"), "{unknown}");
    let many = pool.restore(asked(2, "clean")).unwrap_err();
    assert!(many.why.contains("2 wanted, 1 of 3") && many.why.contains("whose snapshot is clean"), "{many}");
    let none = Pool::of(1).restore(asked(1, "clean")).unwrap_err();
    assert!(none.next.contains("snapshot='...'"), "{none}");
}

#[test]
fn one_that_waits_says_which_machines_lack_the_image() {
    let mut pool = Pool::with_images(3, &[1]);
    let first = pool.restore(asked(1, "clean")).unwrap();
    let waits = pool.restore(asked(1, "clean")).unwrap();
    assert!(is_queued(pool.stage(waits)));
    let waiting = pool.state.reservation(waits).unwrap();
    let explained = explain(&pool.state, waiting, pool.now.time);
    let kept: Vec<_> = explained.kept.iter().map(|kept| (kept.count, kept.what.as_str())).collect();
    let held = format!("user:anna has it: reservation {first}");
    assert_eq!(kept, [(2, "without the image"), (1, held.as_str())]);
    assert!(explained.expected.is_some());
}

#[test]
fn a_machine_that_could_not_be_taken_back_is_replaced_while_others_are_free() {
    let mut pool = Pool::with_images(3, &[0, 1]);
    let id = pool.restore(asked(1, "clean")).unwrap();
    assert_eq!(pool.had_by(id), ["m0"]);
    pool.begin_restoring(0, id);
    pool.hear(0, News::Phase { ready: false, offline: true });
    pool.hear(0, News::Restored(None));
    pool.wait(Duration::ZERO);
    assert_eq!(pool.had_by(id), ["m1"]);
    pool.begin_restoring(1, id);
    pool.hear(1, News::Phase { ready: false, offline: true });
    pool.wait(Duration::ZERO);
    assert!(pool.had_by(id).is_empty() && is_preparing(pool.stage(id)), "there is no other");
    pool.wait(IMAGE_PREPARATION_MAX);
    let Stage::Ended(ended) = pool.stage(id) else { panic!("it ended") };
    assert_eq!((ended.end, ended.reason.contains("m0, m1")), (End::Failed, true), "{}", ended.reason);
    assert_eq!(pool.folded_again(), pool.state);
}
