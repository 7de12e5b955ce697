//! Hours of hot rows become chunks: nothing is lost, nothing counts twice, and answers stay what they were.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_model::{Attempt, Dpid, JobNumber, PoolTime, ProcessId, ProcessNumber, RunId};
use muster_proto::v1;
use muster_store::Store;
use muster_telemetry::records::{Layout, MetricKind, Records, Sample, Series};
use muster_telemetry::write::{self, Compaction, KnownLayouts, Outcome, Rollup};
use muster_telemetry::{Format, query, render};

use crate::support::World;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
/// An hour of November 2023, since 1970.
const FIRST: i64 = 472_222;
const GRACE: Duration = Duration::from_secs(300);

fn layout(id: i64, process: u32, machine: &str, metrics: &[(&str, MetricKind)]) -> Layout {
    let dpid = Dpid { job: JobNumber(1), process: ProcessNumber(process) };
    let process = ProcessId { run: RunId(1), dpid, attempt: Attempt(1) };
    let series = |(nth, (metric, kind)): (i64, &(&str, MetricKind))| Series {
        id: i64::from(process.dpid.process.0) * 100 + nth,
        machine: machine.into(),
        machine_type: "x".into(),
        process: Some(process),
        module: "high-io".into(),
        device: "disk-a".into(),
        device_type: "SSD".into(),
        metric: (*metric).into(),
        kind: *kind,
        unit: "1".into(),
    };
    Layout { id, series: (0..).zip(metrics).map(series).collect() }
}

const METRICS: [(&str, MetricKind); 3] =
    [("level", MetricKind::Gauge), ("done", MetricKind::Counter), ("more", MetricKind::Delta)];

/// A row: when it was measured and when it was stored, seconds after the first hour's start.
fn row(layout: i64, at: i64, received: i64, values: &[f64]) -> Sample {
    let time = |second: i64| PoolTime(FIRST * HOUR + second * SECOND);
    Sample { at: time(at), received: time(received), sequence: 0, layout, values: values.into() }
}

/// Stores rows as one batch of TEL.
async fn store(store: &Store, layouts: Vec<Layout>, samples: Vec<Sample>) {
    store_in(store, 1, layouts, samples).await;
}

/// The same in one life of the stream.
async fn store_in(store: &Store, epoch: i64, layouts: Vec<Layout>, mut samples: Vec<Sample>) {
    let loaded = write::load_offset(store, "TEL", epoch).await.expect("reads").offset;
    for (nth, sample) in (1..).zip(&mut samples) {
        sample.sequence = loaded.last + nth;
    }
    let to = loaded.last + samples.len() as u64;
    let records = Records {
        stored: samples.iter().map(|sample| sample.received).max(),
        layouts: layouts.into_iter().map(|layout| (layout.id, layout)).collect(),
        samples,
        runs: BTreeMap::from([(1, PoolTime(FIRST * HOUR))]),
        ..Records::default()
    };
    let committed = write::commit(store, &mut KnownLayouts::default(), &loaded, to, &records).await;
    assert_eq!(committed.expect("commits"), Outcome::Committed);
}

/// Everything that `report perf` says, by every dimension, with and without bounds.
async fn answers(store: &Store) -> Vec<String> {
    let run = query::find_run(store, RunId(1)).await.expect("answers").expect("a run");
    let mut all = Vec::new();
    let time = |second: i64| FIRST * HOUR + second * SECOND;
    for (from_ns, to_ns) in [(0, 0), (time(1_800), 0), (0, time(4_000)), (time(3_000), time(9_100))] {
        for by in [v1::Dimension::Process, v1::Dimension::Machine, v1::Dimension::DeviceType, v1::Dimension::Time] {
            let filter = v1::ReportFilter { from_ns, to_ns, ..Default::default() };
            let query = v1::PerfQuery { filter: Some(filter), by: by.into(), ..Default::default() };
            for seconds in [600, 3_600] {
                let bucket = query::Bucket { nanoseconds: seconds * SECOND };
                let reply = query::perf(store, &run, &query, bucket).await.expect("answers").expect("a dimension");
                all.push(render(&reply, Format::Csv));
            }
        }
    }
    all
}

async fn compact_all(world: &World) -> Vec<i64> {
    let hours = write::closed_hours(&world.store, "TEL", GRACE).await.expect("lists");
    for hour in &hours {
        let done = write::compact(&world.store, *hour).await.expect("compacts");
        assert!(matches!(done, Compaction::Done(_)), "{done:?}");
    }
    hours
}

/// Three hours of two processes; process 2's layout changes in the middle of an hour.
async fn fill(world: &World) {
    let layouts =
        || vec![layout(1, 1, "m1", &METRICS), layout(2, 2, "m2", &METRICS), layout(3, 2, "m2", &METRICS[..2])];
    let mut rows = Vec::new();
    for nth in 0..1_080_i64 {
        let (at, step) = (nth * 10, f64::from(i32::try_from(nth).expect("small")));
        let counter = if nth < 500 { step } else { step - 500.0 };
        rows.push(row(1, at, at + 1, &[step % 7.0, counter, 1.0]));
        match nth {
            0..500 => rows.push(row(2, at, at + 9, &[f64::NAN, step * 2.0, 0.5])),
            _ => rows.push(row(3, at, at + 9, &[step % 3.0, step * 2.0])),
        }
    }
    store(&world.store, layouts(), rows).await;
}

/// Machines of [`fill_hours`].
const MANY: u32 = 12;

/// So many hours of many processes: each takes a while to compact.
pub(crate) async fn fill_hours(world: &World, hours: i64) {
    let layouts = (1..=MANY).map(|nth| layout(i64::from(nth), nth, &format!("m{nth}"), &METRICS)).collect();
    let mut rows = Vec::new();
    for at in (0..hours * 3_600).step_by(10) {
        let step = f64::from(i32::try_from(at).expect("small"));
        rows.extend((1..=i64::from(MANY)).map(|nth| row(nth, at, at + 1, &[step % 7.0, step, 1.0])));
    }
    store(&world.store, layouts, rows).await;
}

/// How many hours are chunks.
pub(crate) async fn compacted_hours(world: &World) -> i64 {
    world.count("SELECT count(*) FROM compaction").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_the_same_before_and_after_compaction() {
    let world = World::start().await;
    fill(&world).await;
    let hours = "SELECT string_agg(concat_ws(' ', series_id, t0, n, min, max, sum, sum_squares, first_ts, last_ts), ',' \
                 ORDER BY series_id, t0) FROM sample_hour";
    let before = (answers(&world.store).await, world.text(hours).await);
    assert_eq!(compact_all(&world).await, [FIRST, FIRST + 1], "the third hour is not over by more than the grace");
    assert_eq!((answers(&world.store).await, world.text(hours).await), before);
    assert_eq!(world.count("SELECT count(*) FROM pg_inherits WHERE inhparent = 'sample'::regclass").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM chunk WHERE part = 1").await, 0, "stored 9 s later, in the same hour");
    store(&world.store, vec![], vec![row(1, 10_800, 18_000, &[1.0, 2.0, 3.0])]).await;
    let before = answers(&world.store).await;
    assert_eq!(compact_all(&world).await, [FIRST + 2]);
    assert_eq!(answers(&world.store).await, before);
    assert_eq!(world.count("SELECT count(*) FROM sample").await, 1, "the newest hour stays hot");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_and_repeated_samples_and_wrong_clocks_leave_the_numbers_of_others_alone() {
    let world = World::start().await;
    fill(&world).await;
    let others = |answers: &[String]| -> Vec<String> {
        answers
            .iter()
            .flat_map(|csv| csv.lines())
            .filter(|line| line.starts_with("00010001"))
            .map(String::from)
            .collect()
    };
    let untouched = others(&answers(&world.store).await);
    let rows = vec![
        row(2, 4_995, 15_800, &[9.0, f64::NAN, 0.5]),
        row(2, 4_990, 15_801, &[9.0, 998.0, 0.5]),
        row(2, 5_001 - 86_400, 15_802, &[5.0, f64::NAN, f64::NAN]),
        row(2, 5_002 - 400 * 86_400, 15_803, &[6.0, f64::NAN, f64::NAN]),
    ];
    store(&world.store, vec![], rows).await;
    store(&world.store, vec![], vec![row(3, 30_000, 30_000, &[0.0, 0.0])]).await;
    let before = answers(&world.store).await;
    compact_all(&world).await;
    assert_eq!(answers(&world.store).await, before);
    assert_eq!(world.count("SELECT count(*) FROM chunk WHERE part = 3 AND series_id = 200").await, 1, "3 h late");
    assert_eq!(world.count("SELECT count(*) FROM chunk_rest").await, 1, "a clock that is wrong by a year");
    // 1080 values less the 500 missing, two late ones (one of a time whose value was missing), two of a wrong clock.
    assert_eq!(world.count("SELECT sum(n) FROM chunk WHERE series_id = 200").await, 580 + 2 + 2);
    assert_eq!(others(&before), untouched);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_each_sample_once_while_two_replicas_compact() {
    let world = World::start().await;
    fill(&world).await;
    store(&world.store, vec![], vec![row(1, 10_800, 18_000, &[1.0, 2.0, 3.0])]).await;
    let sum = "SELECT sum(n) FROM sample_hour";
    let expected = world.count(sum).await;
    let perf = answers(&world.store).await;
    let compacting = async |store: Store| {
        let mut done = 0;
        for hour in FIRST..FIRST + 3 {
            match write::compact(&store, hour).await.expect("compacts") {
                Compaction::Done(_) => done += 1,
                Compaction::Gone | Compaction::Busy => {}
            }
        }
        done
    };
    let one = tokio::spawn(compacting(world.store.clone()));
    let two = tokio::spawn(compacting(world.store.clone()));
    let mut looks = 0;
    while looks < 3 || !(one.is_finished() && two.is_finished()) {
        assert_eq!(world.count(sum).await, expected);
        looks += 1;
    }
    let done = one.await.expect("no panic") + two.await.expect("no panic");
    let compacted = world.count("SELECT count(*) FROM compaction").await;
    assert_eq!(done, compacted, "each hour by one of them");
    compact_all(&world).await;
    assert_eq!((world.count(sum).await, answers(&world.store).await), (expected, perf));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_whose_partition_comes_back_is_compacted_again_beside_the_first() {
    let world = World::start().await;
    fill(&world).await;
    compact_all(&world).await;
    store(&world.store, vec![], vec![row(1, 5, 6, &[3.0, 4.0, 5.0]), row(1, 10_800, 18_000, &[0.0, 0.0, 0.0])]).await;
    let before = answers(&world.store).await;
    assert_eq!(compact_all(&world).await, [FIRST, FIRST + 2]);
    assert_eq!(answers(&world.store).await, before);
    assert_eq!(world.count("SELECT count(*) FROM chunk WHERE part = 10000000000").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_of_two_lives_of_a_stream_in_one_hour_count_once_each() {
    let world = World::start().await;
    fill(&world).await;
    store_in(&world.store, 2, vec![], vec![row(1, 5, 3_000, &[7.0, 7.0, 7.0])]).await;
    assert!(
        write::closed_hours(&world.store, "TEL", GRACE).await.expect("lists").is_empty(),
        "the newest life decides"
    );
    store_in(&world.store, 2, vec![], vec![row(1, 10_800, 18_000, &[0.0, 0.0, 0.0])]).await;
    let before = answers(&world.store).await;
    assert_eq!(compact_all(&world).await, [FIRST, FIRST + 1, FIRST + 2]);
    assert_eq!(answers(&world.store).await, before);
    assert_eq!(world.count("SELECT sum(n) FROM chunk WHERE series_id = 100").await, 1_081);
    assert_eq!(world.count("SELECT count(*) FROM gap WHERE reason LIKE 'the stream was made again%'").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_older_than_the_retention_goes_and_a_reinitialised_store_goes_on() {
    let world = World::start().await;
    fill(&world).await;
    compact_all(&world).await;
    assert_eq!(write::retain(&world.store).await.expect("retains"), 0, "everything is kept at first");
    assert!(!write::set_retention(&world.store, "process", None, "test").await.expect("answers"), "never dropped");
    let day = Duration::from_secs(86_400);
    assert!(write::set_retention(&world.store, "chunk", Some(day), "test").await.expect("sets"));
    assert_eq!(write::retain(&world.store).await.expect("retains"), 1, "one day of 2023");
    assert_eq!(world.count("SELECT count(*) FROM chunk").await, 0);
    let emptied = write::reinitialise(&world.store).await.expect("empties");
    assert_eq!((emptied.samples, emptied.series), (1_080 * 3 + 500 * 2 + 580 * 2, 6));
    assert_eq!(world.count("SELECT count(*) FROM sample").await + world.count("SELECT count(*) FROM series").await, 0);
    let position = world.count("SELECT last_seq FROM stream_offset WHERE stream = 'TEL'").await;
    assert_eq!(position, 2_160, "positions stay");
    fill(&world).await;
    assert_eq!(compact_all(&world).await, [FIRST, FIRST + 1]);
}

/// 62 hours of four days, of four processes; process 2 is a counter that resets, process 4 only measures now and then.
async fn fill_days(world: &World) {
    let layouts = (1..=4).map(|nth| layout(i64::from(nth), nth, &format!("m{nth}"), &METRICS)).collect();
    let mut rows = Vec::new();
    // The first hour is the 22nd of its day.
    for at in (0..62 * 3_600).step_by(120) {
        let step = f64::from(i32::try_from(at).expect("small"));
        rows.extend((1..=3).map(|nth| row(nth, at, at + 1, &[step % 7.0, step % 40_000.0, 0.5])));
        if at % 36_000 == 0 {
            rows.push(row(4, at, at + 2, &[f64::NAN, step, f64::NAN]));
        }
    }
    store(&world.store, layouts, rows).await;
}

/// Rolls up what is over; gives the days, since the one of [`FIRST`].
async fn roll_up_all(world: &World) -> Vec<i64> {
    let days = write::closed_days(&world.store, "TEL", GRACE).await.expect("lists");
    for day in &days {
        let done = write::roll_up(&world.store, *day).await.expect("rolls up");
        assert!(matches!(done, Rollup::Done(_, _)), "{done:?}");
        assert_eq!(write::roll_up(&world.store, *day).await.expect("looks"), Rollup::Known);
    }
    days.into_iter().map(|day| day - FIRST / 24).collect()
}

/// What [`answers`] asks, and the same of times that whole days lie in or are cut by.
async fn daily_answers(store: &Store) -> Vec<String> {
    let mut all = answers(store).await;
    let run = query::find_run(store, RunId(1)).await.expect("answers").expect("a run");
    let midnight = (FIRST / 24 + 1) * 24 * HOUR;
    for (from_ns, to_ns) in
        [(midnight, 0), (midnight - 1, midnight + 24 * HOUR), (midnight + HOUR, midnight + 30 * HOUR)]
    {
        for by in [v1::Dimension::Process, v1::Dimension::Time] {
            let filter = v1::ReportFilter { from_ns, to_ns, ..Default::default() };
            let query = v1::PerfQuery { filter: Some(filter), by: by.into(), ..Default::default() };
            for hours in [1, 24, 48] {
                let bucket = query::Bucket { nanoseconds: hours * HOUR };
                let reply = query::perf(store, &run, &query, bucket).await.expect("answers").expect("a dimension");
                all.push(render(&reply, Format::Csv));
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_the_same_before_and_after_days_are_rolled_up() {
    let world = World::start().await;
    fill_days(&world).await;
    compact_all(&world).await;
    let before = daily_answers(&world.store).await;
    assert_eq!(roll_up_all(&world).await, [0, 1, 2], "the fourth day is not over");
    assert_eq!(daily_answers(&world.store).await, before);
    assert_eq!(world.count("SELECT count(*) FROM chunk_day WHERE n > 0").await, 3 * 3 * 3 + 3);
    // From here on the answers come from the days: what they say is what is told.
    let client = world.store.client().await.expect("connects");
    client.batch_execute("UPDATE chunk_day SET n = n + 1").await.expect("updates");
    assert_ne!(daily_answers(&world.store).await, before, "days are what is read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_after_its_day_was_rolled_up_counts_and_a_day_that_goes_takes_its_rows_along() {
    let world = World::start().await;
    fill_days(&world).await;
    compact_all(&world).await;
    roll_up_all(&world).await;
    // Two values of the first midnight, one of them of a time that is there, 60 hours late; they are hot at first.
    let late = vec![row(1, 7_201, 223_000, &[9.0, 7_201.0, 0.5]), row(2, 7_200, 223_001, &[9.0, 7_200.0, 0.5])];
    store(&world.store, vec![], late).await;
    let hot = daily_answers(&world.store).await;
    store(&world.store, vec![], vec![row(3, 240_000, 240_000, &[0.0, 0.0, 0.0])]).await;
    let hot_too = daily_answers(&world.store).await;
    assert_ne!(hot, hot_too);
    compact_all(&world).await;
    assert_eq!(daily_answers(&world.store).await, hot_too);
    assert_eq!(world.count("SELECT count(*) FROM unrolled_series").await, 6, "three series of two processes");
    assert_eq!(world.count("SELECT count(*) FROM chunk_day WHERE series_id = 100 AND t0 < '2023-11-15'").await, 1);
    assert!(
        write::set_retention(&world.store, "chunk", Some(Duration::from_secs(86_400)), "test").await.expect("sets")
    );
    write::retain(&world.store).await.expect("retains");
    let left = "SELECT (SELECT count(*) FROM chunk_day) + (SELECT count(*) FROM rolled_day) + (SELECT count(*) FROM unrolled_series)";
    assert_eq!(world.count(left).await, 0);
}
