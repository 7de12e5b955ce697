//! Properties: what is packed comes back, and a question is answered the same however its values were stored.

use std::collections::{BTreeMap, HashMap};

use muster_telemetry::chunk::{
    Bounds, Chunk, Gather, HOUR, Hot, Line, Placed, Points, Segment, Sketch, Span, Summary, Tally, groups, pack, unpack,
};
use muster_telemetry::records::MetricKind;
use proptest::collection::vec;
use proptest::prelude::*;

const MINUTE: i64 = HOUR / 60;

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), -1e12..1e12, -1.0..1.0, Just(f64::MAX), Just(f64::MIN_POSITIVE), Just(-5e-324)]
}

/// The value of the nearest rank.
fn exact(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

proptest! {
    #[test]
    fn what_is_packed_comes_back(steps in vec((1_i64..2 * MINUTE, any_value()), 1..200)) {
        let mut points = Points::default();
        let mut at = 400_000 * HOUR;
        for (step, value) in steps {
            points.push(at, value);
            at += step;
        }
        let (times, values) = pack(400_000 * HOUR, &points);
        prop_assert_eq!(unpack(400_000 * HOUR, &times, &values), Ok(points));
    }

    #[test]
    fn damaged_bytes_are_an_error_and_no_panic(times in vec(any::<u8>(), 0..40), values in vec(any::<u8>(), 0..40)) {
        let _ = unpack(0, &times, &values);
        let _ = Sketch::decode(&values);
    }

    #[test]
    fn a_sketch_reads_back_and_merges_as_if_it_had_counted_all(one in vec(any_value(), 0..99), two in vec(any_value(), 0..99)) {
        let mut merged = Sketch::of(&one);
        merged.merge(&Sketch::of(&two));
        let both: Vec<f64> = one.into_iter().chain(two).collect();
        prop_assert_eq!(&merged, &Sketch::of(&both));
        prop_assert_eq!(Sketch::decode(&merged.encode()), Ok(merged));
    }

    #[test]
    fn a_quantile_is_within_one_percent(values in vec(prop_oneof![-1e9..1e9, 1e-9..1e-6, Just(0.0)], 1..300)) {
        let sketch = Sketch::of(&values);
        for percent in [1, 50, 95, 99, 100] {
            let (exact, found) = (exact(&values, percent), sketch.quantile(percent as f64 / 100.0).expect("not empty"));
            prop_assert!((found - exact).abs() <= exact.abs() * 0.010_001, "{} for {} at {}", found, exact, percent);
        }
    }

    #[test]
    fn layouts_that_share_series_are_in_one_group(lists in vec(vec(0_i64..40, 1..5), 0..20)) {
        let layouts = || lists.iter().enumerate().map(|(id, list)| (id as i64, list.as_slice()));
        let groups = groups(layouts());
        for (one, ours) in layouts() {
            for (other, theirs) in layouts() {
                let share = ours.iter().any(|series| theirs.contains(series));
                prop_assert!(!share || groups[&one] == groups[&other]);
            }
        }
        for (layout, group) in &groups {
            prop_assert!(group <= layout && groups[group] == *group, "a group is its least layout");
        }
    }
}

/// A sample as it was taken: when, how long after it was stored, and its value.
#[derive(Debug, Clone)]
struct Taken {
    at: i64,
    late: i64,
    value: f64,
}

fn taken() -> impl Strategy<Value = Vec<Taken>> {
    let late = prop_oneof![4 => Just(0_i64), 1 => 0_i64..200, 1 => Just(-1_i64)];
    vec((0_i64..300, late, 0_i32..50), 0..60).prop_map(|list| {
        let taken = |(at, late, value)| Taken { at, late, value: f64::from(value) };
        let mut list: Vec<Taken> = list.into_iter().map(taken).collect();
        list.sort_by_key(|taken| taken.at + taken.late);
        list
    })
}

fn kind() -> impl Strategy<Value = MetricKind> {
    prop_oneof![Just(MetricKind::Gauge), Just(MetricKind::Counter), Just(MetricKind::Delta)]
}

/// The series as the store has it when hours before `compacted` are chunks, held to so few values in memory.
fn stored(list: &[Taken], kind: MetricKind, compacted: i64, values_max: usize) -> (Line, Vec<Chunk>) {
    let mut hours: BTreeMap<i64, Vec<(i64, u64, f64)>> = BTreeMap::new();
    for (sequence, taken) in (1..).zip(list) {
        let row = (taken.at * MINUTE, sequence, taken.value);
        hours.entry((taken.at + taken.late).div_euclid(60)).or_default().push(row);
    }
    let mut line =
        Line { kind, from_zero: true, running_at: None, seen: (i64::MIN, i64::MAX), segments: vec![], hot: vec![] };
    let mut chunks = Vec::new();
    for (hour, mut rows) in hours {
        if hour >= compacted {
            line.hot.extend(rows.into_iter().map(|(at, sequence, value)| Hot { at, sequence, value }));
            continue;
        }
        rows.sort_by_key(|(at, sequence, _)| (*at, *sequence));
        let layouts = HashMap::from([(1, Placed { group: 1, series: vec![(7, kind)] })]);
        let mut gather = Gather::new(layouts, hour, 0).holding(values_max);
        for (at, _, value) in rows {
            assert!(gather.push(1, at, &[value]));
        }
        gather.finish();
        chunks.extend(gather.ready);
    }
    line.segments = chunks.iter().map(segment).collect();
    (line, chunks)
}

fn segment(chunk: &Chunk) -> Segment {
    let sketch = Sketch::decode(&chunk.sketch).expect("our own");
    Segment { span: Span::Hour, start: chunk.hour, part: chunk.part, summary: chunk.summary, sketch }
}

/// What a question finds, bucket by bucket: count, increase, span, levels, quantiles.
type Answer = BTreeMap<i64, (u64, Option<f64>, Option<(i64, i64)>, [Option<f64>; 3], [Option<f64>; 2])>;

fn answer(line: &Line, chunks: &[Chunk], bounds: &Bounds) -> Answer {
    let open = |place: usize| {
        let chunk = &chunks[place];
        (place, unpack(chunk.hour, &chunk.times, &chunk.values).expect("our own"))
    };
    let opened = line.to_open(bounds).into_iter().map(open).collect();
    let mut tallies: BTreeMap<i64, Tally> = BTreeMap::new();
    line.count(&opened, bounds, |bucket, add| add(tallies.entry(bucket).or_default()));
    let told = |(bucket, mut tally): (i64, Tally)| {
        let quantiles = tally.quantiles([0.5, 0.99]);
        (bucket, (tally.count, tally.increase, tally.since_until, tally.levels(), quantiles))
    };
    tallies.into_iter().map(told).collect()
}

proptest! {
    #[test]
    fn an_answer_does_not_depend_on_how_values_are_stored(
        list in taken(),
        kind in kind(),
        compacted in 0_i64..9,
        values_max in prop_oneof![Just(3_usize), Just(1_000)],
        from in prop_oneof![Just(i64::MIN), (0_i64..300).prop_map(|minute| minute * MINUTE)],
        span in prop_oneof![Just(None), (0_i64..200).prop_map(Some)],
        bucket in prop_oneof![Just(None), Just(Some(7 * MINUTE)), Just(Some(HOUR)), Just(Some(2 * HOUR))],
    ) {
        let to = span.map_or(i64::MAX, |span| from.max(0) + span * MINUTE);
        let bounds = Bounds { from, to, bucket };
        let (all_hot, none) = stored(&list, kind, i64::MIN, values_max);
        let (line, chunks) = stored(&list, kind, compacted, values_max);
        prop_assert_eq!(answer(&line, &chunks, &bounds), answer(&all_hot, &none, &bounds));
    }

    #[test]
    fn every_chunk_has_a_key_of_its_own(list in taken(), values_max in 1_usize..5) {
        let (_, chunks) = stored(&list, MetricKind::Gauge, i64::MAX, values_max);
        let keys: std::collections::BTreeSet<(i64, i64)> = chunks.iter().map(|chunk| (chunk.hour, chunk.part)).collect();
        prop_assert_eq!(keys.len(), chunks.len());
    }
}

#[test]
fn a_missing_value_is_no_value_and_a_repeated_one_counts_once() {
    let layouts =
        HashMap::from([(1, Placed { group: 1, series: vec![(7, MetricKind::Gauge), (8, MetricKind::Counter)] })]);
    let mut gather = Gather::new(layouts, 0, 0);
    for (at, values) in [(1, [1.0, 5.0]), (2, [f64::NAN, 9.0]), (2, [4.0, f64::NAN]), (3, [f64::NAN, 2.0])] {
        assert!(gather.push(1, at, &values));
    }
    assert!(!gather.push(9, 4, &[1.0]), "nobody knows that layout");
    gather.finish();
    let [level, counter] = &gather.ready[..] else { panic!("two chunks: {:?}", gather.ready) };
    assert_eq!((level.summary.count, level.summary.sum, level.summary.max), (2, 5.0, 4.0));
    assert_eq!((counter.summary.count, counter.summary.increase), (3, Some(4.0 + 2.0)));
    assert!(counter.sketch.is_empty() && !level.sketch.is_empty());
}

#[test]
fn a_sum_that_no_number_can_hold_stays_a_number() {
    let points = Points { times: vec![1, 2, 3], values: vec![f64::MAX, f64::MAX, -f64::MAX] };
    let summary = Summary::of(MetricKind::Gauge, &points).expect("points");
    assert!(summary.sum.is_finite() && summary.sum_squares.is_finite());
}
