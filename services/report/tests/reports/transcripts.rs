//! What a person sees of each report.

use muster_proto::v1;
use muster_proto::v1::report_query::Kind;
use muster_telemetry::export::{Format, Results};
use muster_testkit::formats::{check_ctrf, read_tap};

use crate::recorded::at;
use crate::world::World;

fn of(run: u32) -> Option<v1::ReportFilter> {
    Some(v1::ReportFilter { run, ..Default::default() })
}

fn of_process(run: u32, job: u32, process: u32) -> Option<v1::ReportFilter> {
    Some(v1::ReportFilter { run, job, process, ..Default::default() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_report_tells_of_the_recorded_run() {
    let world = World::recorded().await;
    let period = v1::ReportFilter { from_ns: at(650).0, to_ns: at(10_000).0, ..Default::default() };
    for (name, kind) in [
        ("summary", Kind::Summary(v1::SummaryQuery { filter: of(1) })),
        ("summary_of_a_period", Kind::Summary(v1::SummaryQuery { filter: Some(period) })),
        ("errors", Kind::Errors(v1::ErrorsQuery { filter: of(1) })),
        ("history", Kind::History(v1::HistoryQuery { filter: of_process(1, 1, 3) })),
        (
            "timeline",
            Kind::Timeline(v1::TimelineQuery {
                filter: of(1),
                bucket_ns: 60_000_000_000,
                metric: "written_bytes".into(),
            }),
        ),
        ("worst", Kind::Worst(v1::WorstQuery { filter: of(1), metrics: vec!["written_bytes".into()] })),
        ("compare", Kind::Compare(v1::CompareQuery { filter: of(1), run: 2, ..Default::default() })),
        ("quiet", Kind::Quiet(v1::QuietQuery { filter: of(2), longer_than_ns: 0 })),
        ("coverage", Kind::Coverage(v1::CoverageQuery { filter: of(1), pairs: false })),
        ("coverage_pairs", Kind::Coverage(v1::CoverageQuery { filter: of(1), pairs: true })),
        ("use", Kind::Usage(v1::UsageQuery { filter: of(1), by_machine: false })),
        ("use_by_machine", Kind::Usage(v1::UsageQuery { filter: of(1), by_machine: true })),
    ] {
        insta::assert_snapshot!(name, world.table(kind).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_limit_every_dimension_and_what_does_not_exist_is_refused() {
    let world = World::recorded().await;
    let rows = async |filter: v1::ReportFilter| {
        world.ask(Kind::Errors(v1::ErrorsQuery { filter: Some(filter) })).await.expect("an answer").rows.len()
    };
    let run = || v1::ReportFilter { run: 1, ..Default::default() };
    let all = rows(run()).await;
    assert_eq!(all, 5, "an error, a corruption, a death, a failed task and an agent's word");
    for (filter, count) in [
        (v1::ReportFilter { machine: "m3".into(), ..run() }, 3),
        (v1::ReportFilter { module: "high-io".into(), ..run() }, 3),
        (v1::ReportFilter { device_type: "SSD".into(), ..run() }, 4),
        (v1::ReportFilter { device_type: "10G".into(), ..run() }, 0),
        (v1::ReportFilter { machine_type: "type-x".into(), ..run() }, 5),
        (v1::ReportFilter { machine_type: "type-y".into(), ..run() }, 0),
        (v1::ReportFilter { device: "disk-a".into(), ..run() }, 4),
        (v1::ReportFilter { job: 1, process: 3, ..run() }, 3),
        (v1::ReportFilter { from_ns: at(500).0, to_ns: at(700).0, ..run() }, 1),
    ] {
        assert_eq!(rows(filter.clone()).await, count, "{filter:?}");
    }
    for (kind, code) in [
        (Kind::History(v1::HistoryQuery { filter: of_process(1, 9, 9) }), v1::RefusalCode::NotFound),
        (Kind::History(v1::HistoryQuery { filter: of(1) }), v1::RefusalCode::Invalid),
        (Kind::Results(v1::ResultsQuery { filter: of_process(1, 9, 0), after_process: 0 }), v1::RefusalCode::NotFound),
        (Kind::Compare(v1::CompareQuery { filter: of(1), run: 9, ..Default::default() }), v1::RefusalCode::NotFound),
    ] {
        assert_eq!(world.ask(kind).await.expect_err("a refusal").code(), code);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_of_a_plan_are_exported_with_tasks_and_attempts() {
    let world = World::recorded().await;
    let page = async |job, after_process| {
        let filter = Some(v1::ReportFilter { run: 1, job, ..Default::default() });
        world.ask(Kind::Results(v1::ResultsQuery { filter, after_process })).await.expect("an answer")
    };
    let results = Results::of(&[page(3, 0).await, page(3, 1).await]);
    insta::assert_snapshot!("export_junit", results.render(Format::Junit));
    insta::assert_snapshot!("export_tap", results.render(Format::Tap));
    check_ctrf(&results.render(Format::Ctrf)).expect("it is CTRF");
    let read = read_tap(&Results::of(&[page(1, 0).await]).render(Format::Tap)).expect("it is TAP");
    assert_eq!(read.lines().filter(|line| line.starts_with("ok")).count(), 11, "{read}");
    assert!(read.contains("not ok 3"), "{read}");
}
