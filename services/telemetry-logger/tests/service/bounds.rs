//! A module that says too much, or what is no number, harms nobody else; and what people may say about what is kept.

use std::time::Duration;

use muster_bus::Authority;
use muster_bus::subjects::{self, Service};
use muster_proto::v1;
use muster_proto::v1::envelope::Body;
use muster_proto::v1::{telemetry_command, telemetry_reply};
use muster_telemetry::{Format, query, render};

use crate::support::{World, batch, process};

const TAKEN: &str = "SELECT coalesce(max(last_seq), 0) FROM stream_offset WHERE stream = 'TEL'";
/// Metrics of one message: layouts of 200.
const LAYOUTS: u32 = 25;

/// A batch of process 9 with 5,000 names that nobody has heard of.
fn invented(number: u64) -> v1::SampleBatch {
    let metric = |layout: u32, nth: u32| v1::Metric {
        name: format!("invented_{number}_{layout}_{nth}"),
        kind: v1::MetricKind::Gauge.into(),
        unit: "1".into(),
    };
    let layout = |layout: u32| v1::Layout {
        id: Some(process(9)),
        module: "talker".into(),
        metrics: (0..200).map(|nth| metric(layout, nth)).collect(),
        ..Default::default()
    };
    let time_ns = 1_700_000_000_000_000_000 + i64::try_from(number).expect("small");
    let row = |layout| v1::SampleRow { time_ns, layout, values: vec![1.0; 200] };
    v1::SampleBatch {
        machine: "m1".into(),
        batch: number,
        layouts: (0..LAYOUTS).map(layout).collect(),
        rows: (0..LAYOUTS).map(row).collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_invents_names_fills_its_own_bound_and_nobody_elses() {
    let world = World::start().await;
    let logger = world.logger();
    for number in 1..=20 {
        world.samples("m1", 1, invented(number), &format!("invented {number}")).await;
    }
    world.samples("m1", 1, batch("m1", 21, 10), "after").await;
    world.wait_for(TAKEN, 21).await;
    logger.stop().await;
    let logger = world.logger();
    world.samples("m1", 1, invented(22), "invented again").await;
    world.samples("m2", 1, batch("m2", 1, 10), "another machine").await;
    world.wait_for(TAKEN, 23).await;
    assert_eq!(world.count("SELECT count(*) FROM series WHERE process = 9").await, 2_000);
    let event = "SELECT scope || ' ' || bound || ' ' || left(metric, 10) FROM series_bound";
    assert_eq!(world.text(event).await, "process 2000 invented_1", "one event, in the first message");
    assert_eq!(world.count("SELECT sum(samples) FROM layout_total").await, 2_000 + 2 * 10 * 2, "the others have all");
    assert_eq!(world.count("SELECT count(*) FROM reject").await, 0);
    let kept = render(&query::kept(&world.store, "TEL", None).await.expect("answers"), Format::Table);
    assert!(kept.contains("process 1/00010009 has 2000 series: `invented_1_"), "{kept}");
    logger.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_infinite_value_is_refused_with_its_row_alone() {
    let world = World::start().await;
    let mut odd = batch("m1", 1, 4);
    odd.rows[1].values[0] = f64::INFINITY;
    odd.rows[2].values[1] = f64::NEG_INFINITY;
    odd.rows[3].values[0] = f64::NAN;
    world.samples("m1", 1, odd, "odd").await;
    let logger = world.logger();
    world.wait_for(TAKEN, 1).await;
    assert_eq!(world.text("SELECT reason || ' ' || items FROM reject").await, "a value is infinite 2");
    assert_eq!(world.count("SELECT count(*) FROM sample_value").await, 2 + 1);
    logger.stop().await;
}

async fn command(world: &World, kind: telemetry_command::Kind) -> Result<telemetry_reply::Kind, v1::Refusal> {
    let body = Body::TelemetryCommand(v1::TelemetryCommand { kind: Some(kind) });
    let subject = subjects::service(Service::TelemetryLogger, "command");
    let envelope = world.bus.envelope(body, Authority::default());
    let answer = world.bus.request(&subject, &envelope, Duration::from_secs(10)).await.expect("an answer");
    match answer.body.expect("a body") {
        Body::TelemetryReply(reply) => Ok(reply.kind.expect("a kind")),
        Body::Refusal(refusal) => Err(refusal),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_is_set_by_table_and_samples_are_taken_away_when_told() {
    let world = World::start().await;
    let logger = world.logger();
    world.samples("m1", 1, batch("m1", 1, 5), "one").await;
    world.wait_for(TAKEN, 1).await;
    let set = |table: &str, keep_seconds| {
        telemetry_command::Kind::SetRetention(v1::SetRetention { table: table.into(), keep_seconds })
    };
    for (table, seconds, expected) in [("chunk", 60, 60), ("", 0, 60), ("chunk", 0, 0)] {
        let kind = command(&world, set(table, seconds)).await.expect("set");
        let telemetry_reply::Kind::Retentions(all) = kind else { panic!("{kind:?}") };
        let chunk = v1::Retention { table: "chunk".into(), keep_seconds: expected };
        assert!(all.tables.len() == 4 && all.tables.contains(&chunk), "{all:?}");
    }
    assert_eq!(command(&world, set("archive", 60)).await.expect_err("kept").code(), v1::RefusalCode::NotFound);
    assert_eq!(command(&world, set("chunk", -1)).await.expect_err("wrong").code(), v1::RefusalCode::Invalid);
    let reinitialise = || telemetry_command::Kind::Reinitialise(v1::ReinitialiseTelemetry {});
    let kind = command(&world, reinitialise()).await.expect("done");
    assert_eq!(kind, telemetry_reply::Kind::Reinitialised(v1::TelemetryReinitialised { samples: 10, series: 2 }));
    // The logger that runs has layouts in memory that are gone: it finds out, and stores what comes.
    world.samples("m1", 1, batch("m1", 2, 5), "two").await;
    world.wait_for(TAKEN, 2).await;
    assert_eq!(world.count("SELECT count(*) FROM sample_value").await, 10);
    assert_eq!(world.count("SELECT count(*) FROM reject").await, 0);
    logger.stop().await;
}
