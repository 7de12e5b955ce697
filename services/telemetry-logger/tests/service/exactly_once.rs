//! Exactly once: whatever is killed, every acknowledged batch is stored, and none twice.

use crate::support::{World, batch};

const ROWS: &str = "SELECT count(*) FROM sample";
const TAKEN: &str = "SELECT coalesce(max(last_seq), 0) FROM stream_offset WHERE stream = 'TEL'";

/// Every batch of `machines` x `batches` is there once, with all of its rows.
async fn check_complete(world: &World, batches: i64, rows: i64) {
    world.wait_for(TAKEN, batches).await;
    assert_eq!(world.count(ROWS).await, batches * rows, "rows");
    assert_eq!(world.count("SELECT count(DISTINCT stream_seq) FROM sample").await, batches, "batches");
    assert_eq!(world.count("SELECT sum(reports) FROM layout_total").await, batches * rows, "totals");
    assert_eq!(world.count("SELECT count(*) FROM gap").await + world.count("SELECT count(*) FROM reject").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_logger_or_postgresql_or_nats_loses_nothing_and_repeats_nothing() {
    let mut world = World::start_alone().await;
    let mut number = 0;
    for round in 0..6 {
        let logger = world.logger();
        for _ in 0..15 {
            number += 1;
            world.samples("m1", 1, batch("m1", number, 20), &number.to_string()).await;
        }
        match round % 3 {
            0 => {}
            1 => {
                world.kill_postgres();
                number += 1;
                world.samples("m1", 1, batch("m1", number, 20), &number.to_string()).await;
                world.restart_postgres();
            }
            _ => {
                world.nats.kill9();
                tokio::task::block_in_place(|| world.nats.restart().expect("nats-server restarts"));
            }
        }
        logger.kill().await;
    }
    let logger = world.logger();
    check_complete(&world, i64::try_from(number).expect("small"), 20).await;
    logger.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_at_once_store_each_batch_once() {
    let world = World::start().await;
    let (one, two) = (world.logger(), world.logger());
    for number in 1..=60 {
        world.samples("m1", 1, batch("m1", number, 50), &number.to_string()).await;
    }
    check_complete(&world, 60, 50).await;
    one.kill().await;
    world.samples("m1", 1, batch("m1", 61, 50), "61").await;
    check_complete(&world, 61, 50).await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_taken_is_written_down_and_passed_over() {
    let world = World::start().await;
    let subject = "muster.v1.agent.m1.tel";
    world.store_message(subject, "poison", b"\xff\xff\xff".to_vec()).await;
    world.samples("m1", 1, batch("m1", 1, 3), "one").await;
    world.samples("m1", 1, batch("m1", 1, 3), "the same batch, sent again after the duplicate window").await;
    let mut unfit = batch("m1", 2, 3);
    unfit.layouts[0].module = "nul\0".into();
    unfit.rows[0].values = vec![f64::NAN, f64::NAN];
    world.samples("m1", 1, unfit, "two").await;
    let logger = world.logger();
    world.wait_for(TAKEN, 4).await;
    assert_eq!(world.count("SELECT count(*) FROM reject WHERE stream = 'TEL' AND sequence = 1").await, 1);
    assert_eq!(world.count(ROWS).await, 6, "the repeat is dropped");
    assert_eq!(world.count("SELECT count(*) FROM series WHERE module = E'nul\u{fffd}'").await, 2);
    assert_eq!(world.count("SELECT sum(samples) FROM layout_total").await, 10, "missing values do not count");
    logger.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_stream_no_longer_holds_is_a_gap_and_a_stream_made_again_is_noticed() {
    let world = World::start().await;
    for number in 1..=5 {
        world.samples("m1", 1, batch("m1", number, 1), &number.to_string()).await;
    }
    let stream = world.bus.jetstream().get_stream("TEL").await.expect("a stream");
    stream.purge().sequence(4).await.expect("purges");
    let logger = world.logger();
    world.wait_for(TAKEN, 5).await;
    assert_eq!(world.text("SELECT first || '-' || last FROM gap WHERE place = 'TEL'").await, "1-3");
    world.bus.jetstream().delete_stream("TEL").await.expect("deletes");
    crate::support::init(&world.bus).await;
    for number in 6..=7 {
        world.samples("m1", 1, batch("m1", number, 1), &format!("again {number}")).await;
    }
    world.wait_for("SELECT count(*) FROM stream_offset WHERE stream = 'TEL' AND last_seq = 2", 1).await;
    assert_eq!(world.count(ROWS).await, 4, "two of the first life, two of the second");
    assert_eq!(world.count("SELECT count(*) FROM gap WHERE reason LIKE 'the stream was made again%'").await, 1);
    logger.stop().await;
}
