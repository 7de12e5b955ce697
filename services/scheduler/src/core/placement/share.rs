//! How many processes each machine gets, when all are alike: always one more for the machine that is least loaded after it, ties by
//! order.
//!
//! That greedy choice is the choice of the smallest of all (load after the n-th process, machine), and loads only rise with n: so
//! everything below some load is given at once (water-fill), and only what is left goes through a heap. The result is the one of
//! looking at every machine for every process.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::loads::Loads;

/// Rounds of the search for the level below which all is given at once. More would save less than they cost.
const ROUNDS_MAX: usize = 24;

/// Shares of each machine. The loads are those after it.
#[must_use]
pub fn shares(loads: &mut Loads, processes: u32) -> Vec<u32> {
    let mut counts = vec![0; loads.len()];
    if loads.is_empty() {
        return counts;
    }
    let mut left = processes;
    if processes as usize >= loads.len() {
        let level = level(loads, u64::from(processes));
        for (machine, count) in counts.iter_mut().enumerate() {
            // At the level all of them together have at most `processes`, so each fits.
            *count = level.map_or(0, |level| loads.room(machine, level) as u32);
            loads.add(machine, u64::from(*count));
            left -= *count;
        }
    }
    one_by_one(loads, &mut counts, left);
    counts
}

/// A load up to which all machines together take at most `processes` more; none where they take more already.
fn level(loads: &Loads, processes: u64) -> Option<u64> {
    let taken = |level: u64| loads.rooms(level);
    let (mut low, mut taken_low) = (0, taken(0));
    if taken_low > processes {
        return None;
    }
    let mut high = (1 << 10).max(loads.after(0, processes / loads.len() as u64 + 1));
    let mut taken_high = taken(high);
    while taken_high <= processes {
        (low, taken_low) = (high, taken_high);
        high = high.saturating_mul(2).min(u64::MAX >> 1);
        if high == low {
            return Some(low);
        }
        taken_high = taken(high);
    }
    let enough = loads.len() as u64 / 8;
    for round in 0..ROUNDS_MAX {
        if processes - taken_low <= enough || high - low <= 1 {
            break;
        }
        let middle = if round % 2 == 0 {
            let part = u128::from(high - low) * u128::from(processes - taken_low) / u128::from(taken_high - taken_low);
            (low + part as u64).clamp(low + 1, high - 1)
        } else {
            low + (high - low) / 2
        };
        let at_middle = taken(middle);
        if at_middle <= processes {
            (low, taken_low) = (middle, at_middle);
        } else {
            (high, taken_high) = (middle, at_middle);
        }
    }
    Some(low)
}

/// The same one by one.
fn one_by_one(loads: &mut Loads, counts: &mut [u32], processes: u32) {
    if processes == 0 {
        return;
    }
    let mut heap = least_loaded(loads, processes as usize);
    for _ in 0..processes {
        let Some(mut least) = heap.peek_mut() else { break };
        let machine = least.0.1 as usize;
        counts[machine] += 1;
        loads.add(machine, 1);
        // Writing through the peek moves it to its new place when `least` is dropped.
        least.0.0 = loads.after(machine, 1);
    }
}

/// Machines by load after one more process.
pub(super) type Heap = BinaryHeap<Reverse<(u64, u32)>>;

/// The `count` machines that are least loaded after one more process: `count` choices never take another one.
pub(super) fn least_loaded(loads: &Loads, count: usize) -> Heap {
    let mut keys: Vec<Reverse<(u64, u32)>> = Vec::with_capacity(loads.len());
    loads.all_after(1, |load| keys.push(Reverse((load, keys.len() as u32))));
    if count < keys.len() {
        keys.select_nth_unstable_by_key(count, |Reverse(key)| *key);
        keys.truncate(count);
    }
    keys.into()
}
