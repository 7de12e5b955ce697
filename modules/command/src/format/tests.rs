//! What each format says of output that the tools printed (`tests/outputs`, captured from fio 3.33, stress-ng 0.15.06,
//! iperf3 3.12 and memtester 4.6.0), and of output that their documents show.

use proptest::prelude::*;

use super::*;

struct Read {
    said: Said,
    totals: Values,
    text: String,
    samples: Vec<Sample>,
}

impl Read {
    fn total(&self, name: &str) -> f64 {
        let found = self.totals.iter().find(|(known, _)| known == name);
        found.unwrap_or_else(|| panic!("no {name} in {:?}", self.totals)).1
    }
}

fn read_as(format: Format, warnings: Warnings, code: Option<i32>, output: &str) -> Read {
    let mut parser = format.parser(warnings).expect("a format with a parser");
    let samples = output.lines().filter_map(|line| parser.line(line)).collect();
    let Verdict { said, totals, text } = parser.finish(code);
    Read { said, totals, text, samples }
}

fn read(format: Format, code: i32, output: &str) -> Read {
    read_as(format, Warnings::Fail, Some(code), output)
}

/// A verdict in one word and its reason.
fn verdict(format: Format, code: i32, output: &str) -> String {
    match read(format, code, output).said {
        Said::Pass => "pass".into(),
        Said::Fail(reason) => format!("fail: {reason}"),
        Said::Error(reason) => format!("error: {reason}"),
        Said::Skip(reason) => format!("skip: {reason}"),
    }
}

#[test]
fn fio_gives_samples_while_it_runs_and_totals_at_its_end() {
    let read = read(Format::Fio, 0, include_str!("../../tests/outputs/fio.json"));
    assert_eq!((read.said.clone(), read.samples.len()), (Said::Pass, 3));
    assert_eq!(read.samples[0].counters[0], ("read_bytes".to_owned(), 724_992.0));
    for name in ["read_bytes", "reads", "written_bytes", "writes"] {
        let of = |sample: &Sample| sample.counters.iter().find(|(known, _)| known == name).expect("a counter").1;
        assert!(read.samples.iter().map(of).is_sorted(), "{name}");
    }
    let levels = ["p50", "p99", "p999", "max"].map(|level| read.total(&format!("read_latency_{level}_seconds")));
    assert!(levels[0] > 1e-6 && levels[3] < 1.0 && levels.is_sorted(), "{levels:?}");
    assert!(read.total("read_iops") > 100.0);
}

#[test]
fn fio_fails_by_data_that_do_not_verify_and_is_an_error_where_it_can_not_work() {
    let wrong = verdict(Format::Fio, 1, include_str!("../../tests/outputs/fio-verify.txt"));
    assert!(wrong.starts_with("fail: job v: error 84, data did not verify: "), "{wrong}");
    assert!(wrong.contains("crc32c: verify failed at file /data/v offset 16384, length 4096"), "{wrong}");
    let nowhere = verdict(Format::Fio, 1, include_str!("../../tests/outputs/fio-nowhere.txt"));
    assert!(nowhere.starts_with("error: ") && nowhere.contains("/nowhere is not a directory"), "{nowhere}");
    assert_eq!(verdict(Format::Fio, 0, "nothing"), "error: it printed no results: give it --output-format=json");
    let full = "{\n\"jobs\": [{\"jobname\": \"a\", \"error\": 28}]\n}\n";
    assert_eq!(verdict(Format::Fio, 1, full), "error: job a: error 28, No space left on device (os error 28)");
}

#[test]
fn stress_ng_gives_operations_of_each_stressor_and_its_codes_are_told_apart() {
    let output = include_str!("../../tests/outputs/stress-ng.txt");
    let read = read(Format::StressNg, 0, output);
    assert_eq!(read.said, Said::Pass);
    assert_eq!((read.total("cpu_operations"), read.total("vm_operations_per_second")), (486.0, 10_916.38));
    assert_eq!(read.totals.len(), 4);
    let untrustworthy = super::tests::read(Format::StressNg, 7, output);
    assert_eq!((untrustworthy.said, untrustworthy.totals), (Said::Pass, vec![]));
    assert!(untrustworthy.text.contains("untrustworthy"));
    let fail = "stress-ng: fail:  [7] vm: detected 4 bit errors in chunk\n";
    assert_eq!(verdict(Format::StressNg, 2, fail), "fail: a stressor failed: vm: detected 4 bit errors in chunk");
    let skip = "stress-ng: info:  [7] skipping rdrand, not implemented\n";
    assert_eq!(
        verdict(Format::StressNg, 4, skip),
        "skip: a stressor is not for this machine: skipping rdrand, not implemented"
    );
    assert!(verdict(Format::StressNg, 3, "").starts_with("skip: no resources"));
    assert_eq!(
        verdict(Format::StressNg, 1, "cpu-method must be one of: all"),
        "error: it ended by exit code 1: cpu-method must be one of: all"
    );
}

#[test]
fn iperf3_gives_bytes_and_rates_and_never_fails_the_product() {
    let read = read(Format::Iperf3, 0, include_str!("../../tests/outputs/iperf3.json"));
    assert_eq!(read.said, Said::Pass);
    assert_eq!((read.total("sent_bytes"), read.total("received_bytes")), (2_588_672_000.0, 2_580_676_608.0));
    assert_eq!((read.total("retransmits"), read.total("sent_rate_bytes_per_second").round()), (4.0, 2_588_594_342.0));
    // It says so with exit code 0.
    let refused = include_str!("../../tests/outputs/iperf3-refused.json");
    assert_eq!(verdict(Format::Iperf3, 0, refused), "error: unable to connect to server: Connection refused");
    assert_eq!(verdict(Format::Iperf3, 1, "iperf3: parameter error - x\n"), "error: parameter error - x");
    assert_eq!(verdict(Format::Iperf3, 0, "text"), "error: it printed no results: give it -J");
}

#[test]
fn memtester_is_judged_by_its_bits_and_its_failures_are_told() {
    let output = include_str!("../../tests/outputs/memtester.txt");
    let read = read(Format::Memtester, 0, output);
    assert_eq!((read.said.clone(), read.total("loops")), (Said::Pass, 1.0));
    assert_eq!(read.total("tests_passed") as usize, read.samples.len());
    assert!(read.samples.len() >= 16, "{:?}", read.totals);
    let failure = format!("{output}FAILURE: 0x00000000 != 0x00000400 at offset 0x000a0000.\n");
    assert_eq!(
        verdict(Format::Memtester, 4, &failure),
        "fail: a test of memory failed: FAILURE: 0x00000000 != 0x00000400 at offset 0x000a0000."
    );
    assert!(verdict(Format::Memtester, 3, &failure).starts_with("fail: the test of stuck addresses failed"));
    let small = "memtester version 4.6.0 (64-bit)\nfailed to allocate any memory\n";
    assert_eq!(verdict(Format::Memtester, 1, small), "error: it could not test: failed to allocate any memory");
}

#[test]
fn ltp_is_judged_by_its_bits() {
    let output = "tst_test.c:1250: TINFO: Timeout per run is 0h 05m 00s\n\
                  read02.c:90: TPASS: read() failed as expected: EBADF\n\
                  read02.c:95: TFAIL: read() succeeded: wrong\n\
                  read03  1  TPASS  :  old style\n\
                  read04.c:1: TCONF: O_DIRECT not supported\n\
                  Summary:\npassed   2\nfailed   1\n";
    let read = read(Format::Ltp, 1, output);
    assert_eq!(read.said, Said::Fail("failed: read() succeeded: wrong".into()));
    assert_eq!((read.total("tests_passed"), read.total("tests_failed"), read.total("tests_skipped")), (2.0, 1.0, 1.0));
    assert_eq!(verdict(Format::Ltp, 0, output), "pass");
    assert_eq!(verdict(Format::Ltp, 32, output), "skip: not for this machine: O_DIRECT not supported");
    assert_eq!(verdict(Format::Ltp, 2 | 32, "a.c:1: TBROK: no disk"), "error: broken: no disk");
    assert_eq!(verdict(Format::Ltp, 4, "a.c:1: TWARN: slow"), "fail: warned: slow");
    assert_eq!(read_as(Format::Ltp, Warnings::Pass, Some(4), "").said, Said::Pass);
    assert_eq!(verdict(Format::Ltp, 64, ""), "error: no test of LTP ends by exit code 64");
}

#[test]
fn nagios_plugins_give_their_text_and_values_in_units() {
    let output = "DISK OK - free space: / 3326 MB (56%); | /=2643MB;5948;5958;0;5968 '/var log'=7%;80;90 time=12ms\n\
                  more text\n/boot 68 MB | /boot=68MB;88;93;0;98\n/home=69357MB;253404;253409;0;253414\n";
    let read = read(Format::Nagios, 0, output);
    assert_eq!((read.said.clone(), read.text.as_str()), (Said::Pass, "DISK OK - free space: / 3326 MB (56%);"));
    let mebibyte = 1024.0 * 1024.0;
    assert_eq!(read.total("boot_bytes"), 68.0 * mebibyte);
    assert_eq!(read.total("home_bytes"), 69_357.0 * mebibyte);
    assert_eq!((read.total("var_log_percent"), read.total("time_seconds")), (7.0, 0.012));
    assert_eq!(read.totals.len(), 5);
    assert_eq!(verdict(Format::Nagios, 2, "LOAD CRITICAL | a=1"), "fail: LOAD CRITICAL");
    assert_eq!(verdict(Format::Nagios, 1, "slow"), "fail: slow");
    assert_eq!(read_as(Format::Nagios, Warnings::Pass, Some(1), "slow").said, Said::Pass);
    assert_eq!(verdict(Format::Nagios, 3, "?"), "error: the plugin does not know: ?");
    assert_eq!(verdict(Format::Nagios, 127, ""), "error: no plugin ends by exit code 127: ");
}

#[test]
fn tap_counts_outer_points_and_says_which_failed() {
    let output = "TAP version 14\n1..5\nok 1 - input\n# Subtest: deep\n    1..1\n    not ok 1 - inner\nok 2 - deep\n\
                  not ok 3 - broken # TODO later\nok 4 - \\# escaped # SKIP no disk\n  ---\n  a: b\n  ...\nok 5\n";
    let read = read(Format::Tap, 0, output);
    assert_eq!((read.said.clone(), read.text.as_str()), (Said::Pass, "3 passed, 0 failed, 1 skipped, 1 known to fail"));
    assert_eq!((read.samples.len(), read.total("tests_passed")), (5, 3.0));
    let cases = [
        (1, "1..2\nok 1\nnot ok 2 - the disk", "fail: test 2 the disk failed"),
        (0, "1..2\nnot ok 1 - a\nnot ok 2", "fail: test 1 a failed; test 2 failed"),
        (0, "1..3\nok 1\nok 2\n", "fail: 3 tests were planned and 2 came"),
        (0, "ok 1\n", "error: it printed no plan, like 1..4: cut off?"),
        (0, "1..0 # SKIP no such device\n", "skip: no such device"),
        (0, "1..1\nok 1 - a # skip: not root\n", "skip: not root"),
        (0, "ok 1\nBail out! no database\n", "error: it bailed out: no database"),
        (0, "ok 2\nok 1\n1..2\n", "error: test 2 came where 1 was next"),
        (3, "1..1\nok 1\n", "fail: no test failed, but it ended by exit code 3"),
        (127, "sh: not found\n", "error: it printed no test results, and ended by exit code 127"),
        (0, "okay\nnot okay\nok 1\n1..1", "pass"),
    ];
    for (code, output, expected) in cases {
        assert_eq!(verdict(Format::Tap, code, output), expected, "{output}");
    }
}

#[test]
fn the_kernels_dialect_nests_by_two_and_has_directives_of_its_own() {
    let output = "KTAP version 1\n1..2\n  KTAP version 1\n  1..2\n    ok 1 inner\n  not ok 1 test_1\n  ok 2 test_2\n\
                  not ok 1 suite # XFAIL known\n# [ 1.2 ] a message\n[ 3.4 ] kernel noise\nok 2 other # SKIP\n";
    let read = read(Format::Ktap, 0, output);
    assert_eq!((read.said, read.text.as_str()), (Said::Pass, "0 passed, 0 failed, 1 skipped, 1 known to fail"));
    assert_eq!(
        verdict(Format::Ktap, 0, "KTAP version 1\nnot ok 1 slow # TIMEOUT 45 seconds\n"),
        "fail: test 1 slow (TIMEOUT 45 seconds) failed"
    );
    assert_eq!(verdict(Format::Ktap, 0, "ok 1 a\nok 2 b\n"), "pass");
}

proptest! {
    #[test]
    fn no_output_breaks_a_parser_and_what_it_keeps_is_bounded(
        lines in proptest::collection::vec(
            prop_oneof![
                ".{0,60}",
                "(not )?ok [0-9]{0,25} .{0,9}(#.{0,9})?",
                "1\\.\\.[0-9]{0,22}.{0,5}",
                "[a-z|'=;%0-9. ]{0,40}",
                "stress-ng: (metrc|fail): {0,3}\\[[0-9]{1,4}\\].{0,40}",
                "[{}]",
            ],
            0..200,
        ),
        code in proptest::option::of(0..256),
    ) {
        let output = lines.join("\n");
        for (_, format) in Format::ALL.into_iter().filter(|(_, format)| *format != Format::Exit) {
            let read = read_as(format, Warnings::Fail, code, &output);
            prop_assert!(read.totals.len() <= 256);
            prop_assert!(read.totals.iter().all(|(name, value)| value.is_finite() && name.len() <= 100));
            if let Said::Fail(reason) | Said::Error(reason) | Said::Skip(reason) = read.said {
                prop_assert!(reason.len() < 8 * LINE_BYTES_MAX);
            }
        }
    }
}
