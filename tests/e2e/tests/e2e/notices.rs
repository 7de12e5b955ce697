//! People are told: by mail, webhooks and commands that take it, fail or hang, across a restart of the service; and whoever does not show
//! up loses what they have.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use muster_e2e::{SETTLE_LIMIT, options};
use muster_testkit::lab::Lab;
use muster_testkit::{Reception, Sink, Terminal, wait_until};
use serde_json::Value;

/// A service that waits for nobody answers a question within this, on a machine that is busy with other tests.
const PROMPT_MAX: Duration = Duration::from_secs(8);

fn reservation(lab: &Lab, number: u64) -> Value {
    let shown = lab.muster_json(&["reservation", "show", &number.to_string()]).unwrap_or_default();
    shown[0].clone()
}

fn reserve(lab: &Lab, arguments: &[&str]) -> u64 {
    let made = lab.muster_json(&[&["reserve", "--for", "1h"], arguments].concat()).expect("it is taken");
    made[0]["reservation"].as_u64().expect("a number")
}

fn wait_for(lab: &Lab, number: u64, what: &str, arrived: impl Fn(&Value) -> bool) {
    wait_until(&format!("reservation {number} {what}"), SETTLE_LIMIT, || arrived(&reservation(lab, number)))
        .unwrap_or_else(|error| panic!("{error}\n{}\n{}", reservation(lab, number), lab.tails()));
}

fn has_notice(row: &Value, text: &str) -> bool {
    row["notices"].as_array().into_iter().flatten().filter_map(Value::as_str).any(|notice| notice.contains(text))
}

fn refused(lab: &Lab, arguments: &[&str], why: &str) {
    let output = lab.muster(arguments).expect("muster runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(3) && error.contains(why), "{arguments:?}: {error}");
}

/// A lab whose reservation service tells people by the sink, and has two commands.
fn up(mail: &Sink, machines: u32) -> (Lab, tempfile::TempDir) {
    let (mut options, scratch) = options(0, 1).expect("a folder is made");
    options.simulated = machines;
    let mut lab = Lab::up(options, &|_| ()).expect("the lab comes up");
    let (said, smtp) = (said(scratch.path()), format!("smtp://127.0.0.1:{}", mail.port()));
    let script = scratch.path().join("tell");
    std::fs::write(&script, format!("echo \"$MUSTER_NOTICE_SUBJECT\" >> {said}\n")).expect("it is written");
    let tell = format!("tell=/bin/sh {}", script.display());
    let reservation = lab.service("reservation-a").expect("it runs");
    reservation.give(&["--smtp", &smtp, "--mail-from", "muster@lab.example", "--administrator", "root"]);
    reservation.give(&["--notify-command", &tell, "--notify-command", "hang=/bin/sleep 600"]);
    reservation.give(&["--notify-admin", "command:tell", "--log-in", "ssh root@{machine}.lab"]);
    reservation.restart().expect("it starts again");
    (lab, scratch)
}

/// The file that the administrator's command writes.
fn said(scratch: &Path) -> String {
    scratch.join("said").display().to_string()
}

#[test]
fn people_are_told_whatever_fails_or_hangs_and_once_across_a_kill() {
    let mail = Sink::mail(&[Reception::Take]).expect("it listens");
    let hook = Sink::webhook(&[Reception::Fail, Reception::Take]).expect("it listens");
    let (mut lab, scratch) = up(&mail, 4);
    let hanging = reserve(&lab, &["sim-3", "--notify", "command:hang"]);
    let by_mail = reserve(&lab, &["sim-1", "--notify", "anna@example.com", "--comment", "the nightly"]);
    let url = format!("http://127.0.0.1:{}/hook/secret", hook.port());
    let by_hook = reserve(&lab, &["sim-2", "--notify", &url]);
    wait_for(&lab, by_mail, "is told by mail", |row| has_notice(row, "ready to user: told"));
    let first = &mail.got()[0];
    for line in ["To: anna@example.com", "ssh root@sim-1.lab", "What for: the nightly", "muster extend"] {
        assert!(first.contains(line), "{line}: {first}");
    }
    let begun = Instant::now();
    let shown = reservation(&lab, hanging);
    assert_eq!(shown["state"], "prepared", "it is set up, and nobody is told: {shown}");
    assert!(begun.elapsed() < PROMPT_MAX, "a command that hangs keeps nobody waiting: {:?}", begun.elapsed());

    // The first attempt failed; whoever leads next makes the second, and none that was made.
    wait_for(&lab, by_hook, "failed once", |row| has_notice(row, "failed 1 times"));
    lab.service("reservation-a").and_then(|service| service.restart()).expect("it starts again");
    wait_for(&lab, by_hook, "is told by the webhook", |row| has_notice(row, "ready to user: told"));
    assert_eq!(hook.asked(), 2);
    let document: Value = serde_json::from_str(&hook.got()[0]).expect("a document");
    assert_eq!((&document["notice"], &document["machines"][0]["machine"]), (&"ready".into(), &"sim-2".into()));
    let shown = lab.muster_ok(&["reservation", "show", &by_hook.to_string()]).expect("it is shown");
    assert!(!shown.contains("secret"), "of a webhook only its host is shown: {shown}");
    wait_for(&lab, hanging, "failed", |row| has_notice(row, "was killed"));

    lab.muster_ok(&["checkin", &by_mail.to_string()]).expect("it is given back");
    wait_for(&lab, by_mail, "is told to be over", |row| has_notice(row, "ended to user: told"));
    assert_eq!(mail.got().len(), 2, "once each: {:?}", mail.got());
    refused(&lab, &["checkin", &by_mail.to_string()], "already ended");
    let told = std::fs::read_to_string(said(scratch.path())).expect("the administrator is told");
    assert!(told.contains(&format!("reservation {by_mail} is over (released)")), "{told}");
    refused(&lab, &["reserve", "sim-4", "--notify", "command:none"], "no command `none`");
    lab.down().expect("nothing is left running");
}

/// What a command says on a terminal of what its user holds.
fn is_told(lab: &Lab, user: &str) -> bool {
    let mut command = Command::new(lab.muster_program());
    command.args(["machine", "list", "--user", user]).envs(lab.environment());
    let mut terminal = Terminal::start(command).expect("muster runs");
    terminal.wait_end(SETTLE_LIMIT).expect("it ends");
    terminal.screen().contains("you hold reservation")
}

/// Who holds something is told so after another command, unless nobody answers at once; who holds nothing is not.
fn holders_are_told_on_a_terminal(lab: &Lab) {
    wait_until("a holder is told", SETTLE_LIMIT, || is_told(lab, "lab")).expect("they are");
    assert!(!is_told(lab, "bert"), "nothing is held");
}

#[test]
fn who_does_not_show_up_loses_it_and_only_administrators_revoke() {
    let mail = Sink::mail(&[Reception::Take]).expect("it listens");
    let (lab, _scratch) = up(&mail, 3);
    let missed = reserve(&lab, &["sim-1", "--notify", "anna@example.com", "--no-show", "2s"]);
    let kept = reserve(&lab, &["sim-2", "--no-show", "10m"]);
    let used = reserve(&lab, &["sim-3", "--no-show", "10m"]);
    wait_for(&lab, kept, "is ready", |row| row["state"] == "ready");
    lab.muster_ok(&["reservation", "accept", &kept.to_string()]).expect("it is accepted");
    wait_for(&lab, used, "is ready", |row| row["state"] == "ready");
    let on = ["start", "idle", "--processes", "1", "--reservation", &used.to_string()];
    lab.muster_ok(&on).expect("a job starts");
    wait_for(&lab, used, "is in use", |row| row["state"] == "active");
    wait_for(&lab, missed, "is over", |row| row["end"] == "no_show");
    wait_for(&lab, missed, "is told to be over", |row| has_notice(row, "ended to user: told"));
    assert!(mail.got().last().is_some_and(|text| text.contains("nobody showed up within 2s")), "{:?}", mail.got());

    holders_are_told_on_a_terminal(&lab);
    let number = kept.to_string();
    for arguments in
        [["extend", &number, "--by", "1h", "--user", "bert"].as_slice(), &["checkin", &number, "--user", "bert"]]
    {
        refused(&lab, arguments, "it belongs to user:lab");
    }
    let revoke = ["checkin", &number, "--revoke", "--reason", "the rack burns", "--yes"];
    refused(&lab, &revoke, "no administrator");
    refused(&lab, &["checkin", &number, "--revoke", "--reason", "x", "--user", "root"], "say --yes");
    refused(&lab, &["extend", &number, "--no-deadline"], "no quota permits");
    lab.muster_ok(&["quota", "set", "lab", "no-deadline=yes"]).expect("it is permitted");
    lab.muster_ok(&["extend", &number, "--no-deadline"]).expect("it has none");
    assert_eq!(reservation(&lab, kept)["deadline_time"], Value::Null);
    let listed = lab.muster_ok(&["reservation", "list"]).expect("they are listed");
    assert!(listed.lines().any(|line| line.contains("sim-2") && line.contains("none")), "{listed}");
    let machine = lab.muster_json(&["machine", "list"]).expect("machines are listed");
    assert!(machine.as_array().into_iter().flatten().any(|row| row["machine"] == "sim-2" && row["tenure"] == "held"));
    lab.muster_ok(&[&revoke[..], &["--user", "root"]].concat()).expect("an administrator may");
    wait_for(&lab, kept, "is revoked", |row| row["end"] == "revoked");
    let over = reservation(&lab, kept);
    assert_eq!(over["reason"], "user:root: the rack burns", "{over}");
    lab.down().expect("nothing is left running");
}
