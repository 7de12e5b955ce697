//! One writer and its readers, over a real file.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use muster_model::{PoolTime, Pulse, PulseNumber};

use super::{PulsePage, PulseWriter, monotonic};

const DEADLINE: Duration = Duration::from_secs(20);

fn pulse(block_ms: u64, free_ms: u64, phase_ms: u64) -> Pulse {
    let [block, free, phase] = [block_ms, free_ms, phase_ms].map(Duration::from_millis);
    Pulse::new(block, free, phase).expect("a good pulse")
}

fn path() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("pulses");
    (directory, path)
}

#[test]
fn definitions_survive_the_writer() {
    let (_directory, path) = path();
    let mut writer = PulseWriter::open(&path, || 1_000).expect("a page");
    let list = [(PulseNumber(0), pulse(5, 7, 1)), (PulseNumber(255), pulse(1, 1, 0))];
    assert!(writer.set(&list) && !writer.set(&list), "the same again changes nothing");
    drop(writer);
    let page = PulsePage::open(&path).expect("a page");
    let seen = page.look(&[PulseNumber(0), PulseNumber(9), PulseNumber(255)]);
    assert_eq!(seen.free_from(PoolTime(1_000_000)), PoolTime(7_000_000), "both of them are free");
    let mut next = PulseWriter::open(&path, || panic!("it has one")).expect("the same page");
    assert_eq!(page.look(&[PulseNumber(0), PulseNumber(9), PulseNumber(255)]), seen);
    assert!(next.set(&[]));
    assert!(!page.look(&[PulseNumber(0)]).blocks(PoolTime(1_000_000)), "what is not in the list is free");
}

#[test]
fn the_pool_time_is_read_from_the_page() {
    let (_directory, path) = path();
    let mut writer = PulseWriter::open(&path, || 5_000_000_000_000).expect("a page");
    let page = PulsePage::open(&path).expect("a page");
    let (before, now) = (monotonic(), page.look(&[]).now().0);
    assert!((before + 5_000_000_000_000..=monotonic() + 5_000_000_000_000).contains(&now));
    let seen = page.look(&[]);
    assert!(!writer.set_offset(5_000_000_050_000), "so little wakes nobody");
    assert!(writer.set_offset(5_000_000_150_000), "but it adds up");
    assert_ne!(page.look(&[]), seen);
}

#[test]
fn a_change_wakes_who_sleeps() {
    let (_directory, path) = path();
    let mut writer = PulseWriter::open(&path, || 0).expect("a page");
    let woken = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            let page = PulsePage::open(&path).expect("a page");
            let seen = page.look(&[PulseNumber(1)]);
            let blocked = || page.look(&[PulseNumber(1)]).blocks(PoolTime(0));
            while !blocked() {
                page.wait_changed(&seen);
            }
            woken.store(true, Ordering::Release);
        });
        assert!(writer.set(&[(PulseNumber(1), pulse(5, 5, 0))]));
        let begin = Instant::now();
        while !woken.load(Ordering::Acquire) && begin.elapsed() < DEADLINE {
            std::thread::yield_now();
        }
        assert!(sleeper.is_finished() || woken.load(Ordering::Acquire), "it sleeps on");
    });
}

#[test]
fn a_look_is_never_half_of_two_definitions() {
    let (_directory, path) = path();
    let mut writer = PulseWriter::open(&path, || 0).expect("a page");
    let (done, seven) = (AtomicBool::new(false), [PulseNumber(7)]);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let page = PulsePage::open(&path).expect("a page");
            let mut looks = 0_u64;
            while !done.load(Ordering::Relaxed) || looks < 1_000 {
                let seen = page.look(&seven);
                // Both definitions have a free time that is twice the block, so their first block ends at half their second edge.
                if let Some(blocked) = seen.blocked_from(PoolTime(0)) {
                    let end = seen.free_from(blocked).0;
                    let again = seen.blocked_from(PoolTime(end)).expect("it is defined").0;
                    assert_eq!(again, end * 3, "half of one and half of another");
                }
                looks += 1;
            }
        });
        for round in 0..20_000_u64 {
            let block = 1 + round % 7;
            writer.set(&[(PulseNumber(7), pulse(block, 2 * block, 0))]);
        }
        done.store(true, Ordering::Relaxed);
        reader.join().expect("no look is torn");
    });
}

#[test]
fn what_is_no_page_is_refused() {
    let (_directory, path) = path();
    assert!(PulsePage::open(&path).is_err(), "there is none");
    std::fs::write(&path, [0; 100]).expect("a file");
    assert!(PulsePage::open(&path).is_err(), "too short");
    std::fs::write(&path, [0; 8_192]).expect("a file");
    assert!(PulsePage::open(&path).is_err(), "no magic");
}
