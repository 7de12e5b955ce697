//! Exports, read by parsers that are not ours: of JUnit by a crate, of TAP by Perl's, of CTRF by its reference implementation.

use muster_proto::v1::{Cell, Column, ReportReply, Row, cell::Value};
use muster_telemetry::export::{Format, Results};
use muster_testkit::formats::{check_ctrf, read_tap};

const TEXTS: [&str; 10] =
    ["dpid", "step", "task", "module", "machine", "kernel", "state", "verdict", "reason", "messages"];
const NUMBERS: [&str; 5] = ["process", "attempt", "placed_ms", "running_ms", "ended_ms"];
const START: i64 = 1_700_000_000_000;

fn row(texts: [&str; 10], numbers: [Option<i64>; 5]) -> Row {
    let texts = texts.iter().map(|text| Cell { value: Some(Value::Text((*text).to_owned())) });
    let numbers = numbers.into_iter().map(|number| Cell { value: number.map(Value::Integer) });
    Row { cells: texts.chain(numbers).collect() }
}

/// One that passes, one that fails with a text that could end a tag, one that passes after its machine was lost, one that is
/// skipped, one that runs, and a task that was never tried.
fn pages() -> Vec<ReportReply> {
    let column = |name: &str, numeric| Column { name: name.into(), numeric };
    let columns: Vec<Column> =
        TEXTS.map(|name| column(name, false)).into_iter().chain(NUMBERS.map(|name| column(name, true))).collect();
    let of = |dpid, state, verdict, reason, messages| {
        [dpid, "", "", "high-io", "node-1", "6.1.0-test", state, verdict, reason, messages]
    };
    let at = |process, attempt, seconds: i64| {
        [Some(process), Some(attempt), Some(START), Some(START + 500), Some(START + 500 + seconds * 1_000)]
    };
    let live = [Some(5), Some(1), Some(START), Some(START + 500), None];
    let first = vec![
        row(of("00010001", "finished", "pass", "", ""), at(1, 1, 2)),
        row(of("00010002", "finished", "fail", "wrong <data> & \"more\" # 1", "a\nb ]]> \u{1b}[2J"), at(2, 1, 3)),
        row(of("00010003", "lost", "none", "its machine rebooted", ""), at(3, 1, 1)),
        row(of("00010003", "finished", "pass", "", ""), at(3, 2, 1)),
    ];
    let second = vec![
        row(of("00010004", "finished", "skip", "no such device", ""), at(4, 1, 0)),
        row(of("00010005", "running", "none", "", ""), live),
        row(["", "second", "never", "", "", "", "skipped", "", "first failed", ""], [None; 5]),
    ];
    let page = |rows| ReportReply { title: "job 1 of run 1".into(), columns: columns.clone(), rows, notes: Vec::new() };
    vec![page(first), page(second)]
}

#[test]
fn junit_is_read_by_a_parser_that_is_not_ours() {
    let text = Results::of(&pages()).render(Format::Junit);
    let read = junit_parser::from_reader(text.as_bytes()).expect("it is JUnit");
    assert_eq!((read.tests, read.failures, read.errors, read.skipped), (6, 1, 0, 3));
    assert_eq!(read.suites.iter().map(|suite| suite.name.as_str()).collect::<Vec<_>>(), ["high-io", "second.never"]);
    let cases = &read.suites[0].cases;
    assert_eq!(cases[0].name, "high-io::high-io 1");
    assert!(cases[0].status.is_success() && (cases[0].time - 2.0).abs() < 1e-9, "{:?}", cases[0]);
    let failure = cases[1].status.failure_as_ref();
    assert_eq!(failure.message, "wrong <data> & \"more\" # 1");
    assert_eq!(failure.failure_type, "finished/fail");
    // The parser trims what stands around an entity; what was written is beside it.
    assert!(failure.text.starts_with("a\nb ]]") && text.contains(">a\nb ]]&gt; \u{fffd}[2J</failure>"), "{failure:?}");
    assert!(cases[2].status.is_success(), "{:?}", cases[2]);
    assert!(cases[3].status.is_skipped() && cases[4].status.is_skipped(), "{cases:?}");
    let properties = cases[0].properties.vec.iter();
    let told: Vec<(&str, &str)> = properties.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert!(told.contains(&("machine", "node-1")) && told.contains(&("kernel", "6.1.0-test")), "{told:?}");
    assert!(text.contains("<flakyError message=\"its machine rebooted\" type=\"lost/none\">"), "{text}");
}

#[test]
fn tap_is_read_by_a_parser_that_is_not_ours() {
    let results = Results::of(&pages());
    let read = read_tap(&results.render(Format::Tap)).expect("it is TAP");
    let is_test = |line: &&str| line.starts_with("ok ") || line.starts_with("not ok ");
    let tests: Vec<&str> = read.lines().filter(is_test).map(str::trim_end).collect();
    assert_eq!(tests, ["ok 1", "not ok 2", "ok 3", "ok 4 SKIP", "ok 5 SKIP", "ok 6 SKIP"]);
    assert!(read.contains("machine=node-1 message=wrong <data> & \"more\" # 1"), "{read}");
    assert_eq!(results.unfinished(), 1);
    read_tap(&Results::of(&[]).render(Format::Tap)).expect("nothing at all is TAP too");
    read_tap("TAP version 13\n1..2\nok 1\n").expect_err("a plan that is not kept is found out");
}

#[test]
fn ctrf_is_valid_by_its_published_schema() {
    let text = Results::of(&pages()).render(Format::Ctrf);
    check_ctrf(&text).expect("it is CTRF");
    let whole: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let summary = &whole["results"]["summary"];
    let counts = ["tests", "passed", "failed", "skipped", "pending", "flaky"].map(|name| summary[name].as_u64());
    assert_eq!(counts, [6, 2, 1, 2, 1, 1].map(Some));
    let flaky = &whole["results"]["tests"][2];
    assert_eq!((flaky["retries"].as_u64(), flaky["retryAttempts"][0]["status"].as_str()), (Some(1), Some("failed")));
    check_ctrf(&text.replace("\"passed\"", "\"sunny\"")).expect_err("another word is found out");
}
