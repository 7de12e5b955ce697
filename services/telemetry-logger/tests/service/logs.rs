//! The decision logs and the reports in the store.

use std::time::Duration;

use crate::support::{Leader, World, process};
use muster_bus::subjects::{self, Service};
use muster_bus::{Authority, Bus};
use muster_proto::v1;
use muster_proto::v1::envelope::Body;
use muster_proto::v1::job_event::Kind;
use prost::Message;

const TIME: i64 = 1_700_000_000_000_000_000;

fn job_event(kind: Kind) -> Vec<u8> {
    v1::JobEvent { kind: Some(kind) }.encode_to_vec()
}

async fn archive(bus: &Bus, query: v1::ArchiveQuery) -> Result<v1::ArchiveReply, v1::Refusal> {
    let envelope = bus.envelope(Body::ArchiveQuery(query), Authority::default());
    let subject = subjects::service(Service::TelemetryLogger, "archive");
    let answer = bus.request(&subject, &envelope, Duration::from_secs(10)).await.expect("an answer");
    match answer.body.expect("a body") {
        Body::ArchiveReply(reply) => Ok(reply),
        Body::Refusal(refusal) => Err(refusal),
        other => panic!("{other:?}"),
    }
}

fn query(from: u64, limit: u32) -> v1::ArchiveQuery {
    v1::ArchiveQuery {
        log: "JOBS".into(),
        from: Some(v1::Position { lineage: 1, sequence: from }),
        head_only: false,
        limit,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_archive_serves_the_chain_of_a_log_and_refuses_while_postgresql_is_away() {
    let mut world = World::start_alone().await;
    let logger = world.logger();
    let mut leader = Leader::new(Service::Scheduler, "muster.v1.JobEvent");
    for nth in 1..=20 {
        leader.turn(&world, TIME + nth, vec![job_event(Kind::RunStarted(v1::RunStarted { run: 1 }))]).await;
    }
    world.wait_for("SELECT count(*) FROM archive WHERE log = 'JOBS'", 20).await;
    assert_eq!(world.count("SELECT count(*) FROM archive_break").await, 0);

    let first = archive(&world.bus, query(1, 12)).await.expect("a page").messages;
    let second = archive(&world.bus, query(13, 0)).await.expect("a page").messages;
    assert_eq!((first.len(), second.len()), (12, 8));
    let mut previous = [0_u8; 32].to_vec();
    for (sequence, message) in (1..).zip(first.iter().chain(&second)) {
        assert_eq!(message.position, Some(v1::Position { lineage: 1, sequence }));
        assert_eq!(message.hash, blake3::hash(&message.payload).as_bytes().as_slice());
        let envelope = v1::Envelope::decode(message.payload.clone()).expect("an envelope");
        let Some(Body::Turn(turn)) = envelope.body else { panic!("no turn") };
        assert_eq!(turn.previous_hash, previous);
        previous = message.hash.to_vec();
    }
    let head = v1::ArchiveQuery { head_only: true, ..query(0, 0) };
    let head = archive(&world.bus, head).await.expect("a head").messages;
    assert_eq!((head.len(), head[0].payload.len()), (1, 0));
    assert_eq!(head[0].hash, previous);

    world.kill_postgres();
    let refusal = archive(&world.bus, query(1, 1)).await.expect_err("away");
    assert_eq!(refusal.code(), v1::RefusalCode::Unavailable);
    world.restart_postgres();
    leader.turn(&world, TIME + 21, vec![]).await;
    world.wait_for("SELECT count(*) FROM archive WHERE log = 'JOBS'", 21).await;
    logger.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_history_of_the_same_log_stops_the_service_and_says_so() {
    let world = World::start().await;
    let mut leader = Leader::new(Service::Reservation, "muster.v1.ReservationEvent");
    leader.turn(&world, TIME, vec![]).await;
    let logger = world.logger();
    world.wait_for("SELECT count(*) FROM archive", 1).await;
    world.bus.jetstream().delete_stream("RESERVATIONS").await.expect("deletes");
    crate::support::init(&world.bus).await;
    Leader::new(Service::Reservation, "muster.v1.ReservationEvent").turn(&world, TIME + 1, vec![]).await;
    let failure = logger.failure().await;
    assert!(
        failure.contains("another history of RESERVATIONS") && failure.contains("database of its own"),
        "{failure}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_and_reports_become_rows() {
    let world = World::start().await;
    let logger = world.logger();
    let mut machines = Leader::new(Service::MachineLifecycle, "muster.v1.MachineEvent");
    let fenced = v1::machine_event::Kind::FenceReported(v1::FenceReported { epoch: 4 });
    let event = v1::MachineEvent { machine: "m1".into(), kind: Some(fenced) };
    machines.turn(&world, TIME, vec![event.encode_to_vec(), b"\xff".to_vec()]).await;
    let mut reservations = Leader::new(Service::Reservation, "muster.v1.ReservationEvent");
    let queued = v1::ReservationQueued { user: "anna".into(), count: 2, ..Default::default() };
    let ended = v1::ReservationEnded { end: v1::ReservationEnd::Expired.into(), reason: "deadline".into() };
    let kinds = [v1::reservation_event::Kind::Queued(queued), v1::reservation_event::Kind::Ended(ended)];
    for (time, kind) in (TIME..).zip(kinds) {
        let event = v1::ReservationEvent { reservation: 7, kind: Some(kind) };
        reservations.turn(&world, time, vec![event.encode_to_vec()]).await;
    }
    let totals = vec![v1::KeyNumber { key: "verified_bytes".into(), value: 5e9 }];
    let report = v1::FinalReport {
        id: Some(process(1)),
        module: "high-io".into(),
        totals,
        resources: vec!["disk-a".into()],
        ..Default::default()
    };
    let corruption = v1::CorruptionReport {
        id: Some(process(1)),
        offset: u64::MAX,
        expected: vec![0, 255].into(),
        owner: Some(process(2)),
        ..Default::default()
    };
    let kinds = [
        v1::report::Kind::Final(report),
        v1::report::Kind::Corruption(corruption),
        v1::report::Kind::Error(v1::ErrorReport { id: None, message: "no\0space".into() }),
        v1::report::Kind::Fence(v1::FenceDone { epoch: 3 }),
    ];
    let reports = kinds.into_iter().map(|kind| v1::Report { time_ns: TIME, kind: Some(kind) }).collect();
    world.reports("m1", 1, reports).await;

    world.wait_for("SELECT count(*) FROM log_event", 3).await;
    world.wait_for("SELECT last_seq FROM stream_offset WHERE stream = 'REPORTS'", 1).await;
    let machine = "SELECT machine || ' ' || kind || ' ' || (detail ->> 'epoch') FROM machine_event";
    assert_eq!(world.text(machine).await, "m1 fence_reported 4");
    let reservation = "SELECT reservation || ' ' || username || ' ' || count || ' ' || ending FROM reservation";
    world.wait_for("SELECT count(*) FROM reservation WHERE ended_at IS NOT NULL", 1).await;
    assert_eq!(world.text(reservation).await, "7 anna 2 RESERVATION_END_EXPIRED");
    assert_eq!(
        world.text("SELECT reason FROM reject WHERE stream = 'MACHINES'").await.split(':').next(),
        Some("event 1")
    );
    assert_eq!(world.text("SELECT totals ->> 'verified_bytes' FROM final_report").await, "5000000000.0");
    assert_eq!(world.text("SELECT byte_offset FROM corruption_report").await, u64::MAX.to_string());
    assert_eq!(world.text("SELECT message FROM error_report").await, "no\u{fffd}space");
    assert_eq!(world.count("SELECT epoch FROM fence_report").await, 3);
    logger.stop().await;
}

fn placed(task: u32, first: u32) -> Kind {
    let placement = v1::MachinePlacement { machine: "m1".into(), first, count: 2, ..Default::default() };
    let parts = vec![v1::PartPlacement { placements: vec![placement], module: "idle".into(), ..Default::default() }];
    let placed =
        v1::PlanTaskPlaced { run: 1, job: 1, task, attempt: 1, process_attempt: 1, parts, ..Default::default() };
    Kind::PlanTaskPlaced(placed)
}

fn changed(number: u32, to: v1::ProcessState) -> v1::ProcessChange {
    v1::ProcessChange { id: Some(process(number)), to: to.into(), machine: "m1".into(), ..Default::default() }
}

fn completed(task: u32) -> Kind {
    let end = v1::PlanTaskEnd { task, state: v1::TaskState::Completed.into(), ..Default::default() };
    Kind::PlanTasksEnded(v1::PlanTasksEnded { run: 1, job: 1, ends: vec![end] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_has_the_processes_of_its_tasks_and_is_over_with_the_last_of_them() {
    let world = World::start().await;
    let logger = world.logger();
    let mut jobs = Leader::new(Service::Scheduler, "muster.v1.JobEvent");
    let task = |name: &str| v1::PlannedTask { name: name.into(), ..Default::default() };
    let steps = vec![v1::PlannedStep { name: "s".into(), tasks: vec![task("a"), task("b")], ..Default::default() }];
    let plan = v1::PlanStarted { run: 1, job: 1, name: "nightly".into(), steps, ..Default::default() };
    let ran = |first: u32| {
        let states = [v1::ProcessState::Running, v1::ProcessState::Finished];
        let changes = (first..first + 2).flat_map(|number| states.map(|to| changed(number, to))).collect();
        Kind::ProcessesChanged(v1::ProcessesChanged { changes })
    };
    let outcome = "SELECT processes || ' ' || finished || ' ' || coalesce(extract(epoch FROM all_running_at - started_at)::bigint::text, '-') \
        || ' ' || coalesce(extract(epoch FROM ended_at - started_at)::bigint::text, '-') FROM job_outcome";
    for (second, kinds, expected) in [
        (0, vec![Kind::RunStarted(v1::RunStarted { run: 1 }), Kind::PlanStarted(plan)], "0 0 - -"),
        (1, vec![placed(0, 1), ran(1), completed(0)], "2 2 - -"),
        (2, vec![placed(1, 3), ran(3)], "4 4 2 -"),
        (3, vec![completed(1)], "4 4 2 3"),
    ] {
        jobs.turn(&world, TIME + second * 1_000_000_000, kinds.into_iter().map(job_event).collect()).await;
        world.wait_for("SELECT last_seq FROM stream_offset WHERE stream = 'JOBS'", second + 1).await;
        assert_eq!(world.text(outcome).await, expected);
    }
    let tasks = "SELECT string_agg(step || '/' || name || ' ' || state, ', ' ORDER BY task) FROM plan_task";
    assert_eq!(world.text(tasks).await, "s/a completed, s/b completed");
    assert_eq!(world.text("SELECT string_agg(DISTINCT module || ' ' || machine, ',') FROM process").await, "idle m1");
    logger.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_postgresql_refuses_is_archived_and_rejected_alone() {
    let world = World::start().await;
    let mut machines = Leader::new(Service::MachineLifecycle, "muster.v1.MachineEvent");
    let unfit: String = (0..400_u32).map(|nth| blake3::hash(&nth.to_be_bytes()).to_hex().to_string()).collect();
    for (time, machine) in (TIME..).zip(["m1", &unfit, "m2"]) {
        let kind = v1::machine_event::Kind::FenceReported(v1::FenceReported { epoch: 1 });
        let event = v1::MachineEvent { machine: machine.into(), kind: Some(kind) };
        machines.turn(&world, time, vec![event.encode_to_vec()]).await;
    }
    let logger = world.logger();
    world.wait_for("SELECT last_seq FROM stream_offset WHERE stream = 'MACHINES'", 3).await;
    assert_eq!(world.text("SELECT string_agg(machine, ' ' ORDER BY machine) FROM machine_event").await, "m1 m2");
    assert_eq!(world.count("SELECT count(*) FROM archive").await, 3);
    assert_eq!(world.count("SELECT sequence FROM reject WHERE reason LIKE 'the store can not hold it: %'").await, 2);
    logger.stop().await;
}
