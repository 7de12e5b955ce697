//! Nothing grows: memory and descriptors of each part after its warm-up, and the streams.

use std::time::Duration;

use crate::facts::{Facts, Life, Size, Stream};
use crate::oracle::Violation;

/// A life counts after its warm-up,
const WARM_UP: Duration = Duration::from_secs(60);
/// and is judged when so much of it is left.
const JUDGED_MIN: Duration = Duration::from_secs(120);
/// Memory may grow from the first third to the last by so much of what it was ...
const GROWTH_SHARE_MAX: f64 = 0.5;
/// ... and by so many bytes: a part that is asked more remembers more, within its bounds.
const GROWTH_BYTES_MAX: u64 = 48 << 20;
/// Descriptors may grow by so many: an agent has one for each process.
const DESCRIPTORS_GROWTH_MAX: usize = 64;
/// A part that has nothing to do any more needs no more descriptors than this, whatever it did before.
const DESCRIPTORS_REST_MAX: usize = 64;
/// No part of so small a pool needs more, however short it lived.
const RESIDENT_MAX: u64 = 1 << 30;
/// Likewise.
const DESCRIPTORS_MAX: usize = 512;

pub(super) fn judge(facts: &Facts) -> Vec<Violation> {
    let parts =
        facts.lives.iter().flat_map(|life| bounded(life).into_iter().chain(grown(life)).chain(kept(facts, life)));
    parts.chain(facts.streams.iter().filter_map(full)).collect()
}

/// A part beyond what any may have.
fn bounded(life: &Life) -> Option<Violation> {
    let over = life.sizes.iter().find(|size| size.resident > RESIDENT_MAX || size.descriptors > DESCRIPTORS_MAX)?;
    let (mib, descriptors) = (over.resident >> 20, over.descriptors);
    Some(Violation::at(format!("{} has {mib} MiB and {descriptors} descriptors", life.part), over.at))
}

/// A part that grew from the first third of its life to the last.
fn grown(life: &Life) -> Option<Violation> {
    let begun = life.sizes.first()?.at + WARM_UP;
    let warm: Vec<&Size> = life.sizes.iter().filter(|size| size.at >= begun).collect();
    let (first, last) = (warm.first()?, warm.last()?);
    if last.at - first.at < JUDGED_MIN {
        return None;
    }
    let third = warm.len() / 3;
    let (early, late) = (&warm[..third], &warm[warm.len() - third..]);
    let (before, after) = (middle(early, |size| size.resident), middle(late, |size| size.resident));
    let growth = after.saturating_sub(before);
    let is_large = growth > GROWTH_BYTES_MAX && growth as f64 > before as f64 * GROWTH_SHARE_MAX;
    let (held, holds) = (middle(early, |size| size.descriptors), middle(late, |size| size.descriptors));
    let leaks = holds > held + DESCRIPTORS_GROWTH_MAX;
    let (mib_before, mib_after) = (before >> 20, after >> 20);
    (is_large || leaks).then(|| {
        let what =
            format!("{} grew from {mib_before} to {mib_after} MiB, from {held} to {holds} descriptors", life.part);
        Violation::at(what, last.at)
    })
}

/// A part that keeps descriptors of what is over.
fn kept(facts: &Facts, life: &Life) -> Option<Violation> {
    let rested = facts.rested?;
    let size = life.sizes.last().filter(|size| size.at >= rested && size.descriptors > DESCRIPTORS_REST_MAX)?;
    Some(Violation::at(format!("{} has {} descriptors at rest", life.part, size.descriptors), size.at))
}

/// The middle one of some sizes.
fn middle<T: Ord + Copy + Default>(sizes: &[&Size], of: impl Fn(&Size) -> T) -> T {
    let mut sorted: Vec<T> = sizes.iter().map(|size| of(size)).collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// A stream at its limit.
fn full(stream: &Stream) -> Option<Violation> {
    let is_over = stream.size_max > 0 && stream.size > stream.size_max;
    is_over.then(|| Violation::new(format!("{} holds {} of {} bytes", stream.name, stream.size, stream.size_max)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::made_up::{finds, good};

    fn life(mut size: impl FnMut(u64) -> (u64, usize)) -> Life {
        let sizes = (0..400).step_by(3).map(|second| {
            let (mib, descriptors) = size(second);
            Size { at: Duration::from_secs(second), resident: mib << 20, descriptors }
        });
        Life { part: "scheduler a".into(), pid: 1, sizes: sizes.collect() }
    }

    #[test]
    fn memory_that_grows_after_the_warm_up_is_found_and_warming_up_is_not() {
        let mut facts = good();
        facts.lives.push(life(|second| (40 + second.min(60) * 3, 20)));
        assert_eq!(judge(&facts), []);
        facts.lives.push(life(|second| (40 + second, 20)));
        finds(&facts, "scheduler a grew from");
    }

    #[test]
    fn descriptors_that_are_not_given_back_are_found() {
        let mut facts = good();
        facts.lives.push(life(|second| (40, 20 + second as usize / 3)));
        finds(&facts, "descriptors");
    }

    #[test]
    fn descriptors_that_are_kept_at_rest_are_found() {
        let mut facts = good();
        facts.lives.push(life(|_| (40, 100)));
        assert_eq!(judge(&facts), []);
        facts.rested = Some(Duration::from_secs(300));
        finds(&facts, "has 100 descriptors at rest");
    }

    #[test]
    fn a_part_or_a_stream_beyond_its_bound_is_found() {
        let mut facts = good();
        facts.lives.push(Life { sizes: life(|_| (2_000, 20)).sizes[..1].to_vec(), ..life(|_| (1, 1)) });
        finds(&facts, "has 2000 MiB");
        let mut facts = good();
        facts.streams.push(Stream { name: "TEL".into(), size: 11, size_max: 10 });
        finds(&facts, "TEL holds 11 of 10 bytes");
    }
}
