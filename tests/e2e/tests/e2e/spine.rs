//! One job from the command line to the report.

use muster_e2e::{job_number, lab, number, start, stream, test_processes, wait_state};
use muster_testkit::wait_until;

#[test]
fn a_job_runs_stops_and_is_reported_with_every_acknowledged_sample() {
    let (lab, _scratch) = lab(1, 1).expect("the lab comes up");
    let job = start(&lab, "high-io", 3, &["--param", "file_size=1MiB"]).expect("the job starts");
    assert_eq!(test_processes(&lab).len(), 3, "three test processes run");
    lab.muster_ok(&["stop", &job.to_string(), "--wait"]).expect("the job stops");
    wait_state(&lab, job, "finished", 3).expect("all finish");
    wait_until("the test processes are gone", muster_e2e::SETTLE_LIMIT, || test_processes(&lab).is_empty())
        .expect("no test process is left");

    let counts = || stream::acknowledged(&lab).expect("the streams are read");
    wait_until("the store has every acknowledged sample", muster_e2e::SETTLE_LIMIT, || {
        let summary = lab.muster_json(&["report", "summary"]).unwrap_or_default();
        let (samples, finals) = counts();
        finals == 3 && number(&summary, "samples").is_ok_and(|stored| stored == samples)
    })
    .unwrap_or_else(|error| panic!("{error}: {:?} {:?}", counts(), lab.muster_json(&["report", "summary"])));
    let summary = lab.muster_json(&["report", "summary"]).expect("the report answers");
    assert!(number(&summary, "verified_bytes").expect("verified bytes are reported") > 0);
    lab.down().expect("nothing is left running");
}

#[test]
fn a_program_by_exit_code_passes_fails_or_is_skipped() {
    let (lab, _scratch) = lab(1, 1).expect("the lab comes up");
    for (program, arguments, state, verdict) in [
        ("/bin/true", "", "finished", "pass"),
        ("/bin/sh", "-c 'exit 3'", "dead", "fail"),
        ("/nonexistent", "", "finished", "skip"),
    ] {
        let (program, arguments) = (format!("program={program}"), format!("arguments={arguments}"));
        let started = lab
            .muster_json(&["start", "command", "--processes", "1", "--param", &program, "--param", &arguments])
            .expect("the job starts");
        let job = job_number(&started).expect("it has a number");
        wait_state(&lab, job, state, 1).unwrap_or_else(|error| panic!("{program}: {error:?}"));
        let rows = lab.muster_json(&["ps", "--all", "--job", &job.to_string()]).expect("ps answers");
        assert_eq!(rows[0]["verdict"], verdict, "{program}: {rows}");
    }
    lab.down().expect("nothing is left running");
}

/// `nats sub` and `nats stream view` of natscli run the command of `--translate` once for each message that has a body, without a
/// shell, with the message's bytes on its stdin, and show its stdout and stderr together; a status other than 0 is shown as an error.
#[test]
fn every_message_is_decoded_as_the_nats_command_line_would_have_it() {
    let (lab, _scratch) = lab(1, 1).expect("the lab comes up");
    let job = start(&lab, "high-io", 2, &["--param", "file_size=1MiB"]).expect("the job starts");
    lab.muster_ok(&["stop", &job.to_string(), "--wait"]).expect("the job stops");
    for stream in ["JOBS", "MACHINES", "RESERVATIONS", "REPORTS", "TEL"] {
        let messages = stream::messages(&lab, stream).expect("the stream is read");
        assert!(!messages.is_empty(), "{stream} holds something");
        for message in messages {
            let shown = translated(&lab, &message);
            let value: serde_json::Value =
                serde_json::from_slice(&shown).unwrap_or_else(|error| panic!("{stream}: {error}: {shown:?}"));
            assert!(value.is_object(), "{stream}: {value}");
        }
    }
    lab.down().expect("nothing is left running");
}

/// What `--translate 'muster decode'` shows of a message.
fn translated(lab: &muster_testkit::lab::Lab, message: &[u8]) -> Vec<u8> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut command = Command::new(lab.muster_program());
    let mut child = command
        .arg("decode")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("muster runs");
    child.stdin.take().expect("it is a pipe").write_all(message).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    [output.stdout, output.stderr].concat()
}
