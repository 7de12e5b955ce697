//! Programs of the operator, right ones and wrong ones.

use std::path::Path;
use std::time::Instant;

use muster_drivers::{DriverError, Outcome, act_and_read_back, restore_and_read_back};
use muster_model::{PowerAction, PowerState, SnapshotAction};

use crate::support::*;

/// A power strip: a file that says on or off, and a journal.
const STRIP: &str = r#"cd "$(dirname "$0")"
case $1 in
state) echo "outlet $2: $(cat state)" ;;
*) echo "$1 $2" >> journal; echo $1 > state ;;
esac"#;

fn strip(folder: &Path) -> String {
    let strip = script(folder, "strip", STRIP);
    std::fs::write(folder.join("state"), "off").expect("it is written");
    let strip = strip.display();
    format!("command on='{strip} on {{machine}}' off='{strip} off {{machine}}' state='{strip} state {{machine}}'")
}

#[tokio::test]
async fn a_power_strip_is_switched_and_its_cycle_goes_through_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let driver = power(&strip(folder.path()));
    assert_eq!(state(&*driver, LIMIT).await, Ok(PowerState::Off));
    for action in [PowerAction::On, PowerAction::Off, PowerAction::Cycle] {
        let acted = act(&*driver, action).await;
        assert_eq!((acted.outcome, acted.seen), (Outcome::Confirmed, action.leads_to()), "{acted:?}");
        assert!(acted.took < PACE.settle_max, "it looks no longer than it has to: {acted:?}");
    }
    let journal = std::fs::read_to_string(folder.path().join("journal")).expect("it is kept");
    assert_eq!(journal, "on m1\noff m1\noff m1\non m1\n");
    let error = failed(&*driver, PowerAction::Reset, LIMIT).await;
    assert_eq!(error, DriverError::Unable("this driver can not do `reset`".into()));
}

#[tokio::test]
async fn a_program_that_hangs_is_killed_with_its_children() {
    let folder = tempfile::tempdir().expect("a folder");
    let (pid, child) = (folder.path().join("pid"), folder.path().join("child"));
    let lines = format!("sleep 600 & echo $! > {}; echo $$ > {}; wait", child.display(), pid.display());
    let hangs = script(folder.path(), "hangs", &lines);
    let driver = power(&format!("command on={0} state={0}", hangs.display()));
    let error = failed(&*driver, PowerAction::On, SHORT).await;
    let expected = format!("`{}` did not end within {SHORT:?} and was killed", hangs.display());
    assert_eq!(error, DriverError::Unclear(expected));
    for file in [pid, child] {
        let pid = pid_in(&file).expect("it began");
        until("the program is gone", || !is_alive(pid)).await;
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_no_program_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let pid = folder.path().join("pid");
    let hangs = script(folder.path(), "hangs", &format!("sleep 600 & echo $! > {}; wait", pid.display()));
    let driver = power(&format!("command on={}", hangs.display()));
    let given_up = tokio::time::timeout(SHORT, act(&*driver, PowerAction::On)).await;
    assert!(given_up.is_err(), "{given_up:?}");
    let child = pid_in(&pid).expect("it began");
    until("the program is gone", || !is_alive(child)).await;
}

#[tokio::test]
async fn a_program_that_ends_is_not_waited_for_through_what_it_left_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let pid = folder.path().join("pid");
    let leaves = script(folder.path(), "leaves", &format!("sleep 600 & echo $! > {}; echo on", pid.display()));
    let driver = power(&format!("command on={0} state={0}", leaves.display()));
    let begun = Instant::now();
    assert_eq!(state(&*driver, LIMIT).await, Ok(PowerState::On));
    assert!(begun.elapsed() < LIMIT / 10, "{:?}", begun.elapsed());
    let left = pid_in(&pid).expect("it began");
    assert!(is_alive(left), "what a program means to leave behind is let live: QEMU, a daemon of a power strip");
    kill_by_file(&pid);
}

#[tokio::test]
async fn a_program_that_fails_says_how_and_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let fails =
        script(folder.path(), "fails", "echo >&2; echo 'fuse blown' >&2; echo 'line 2' >&2; echo 'ask Jo' >&2; exit 3");
    let driver = power(&format!("command on={}", fails.display()));
    let error = failed(&*driver, PowerAction::On, LIMIT).await;
    assert_eq!(error, DriverError::Refused(format!("`{}` ended with 3: fuse blown; ask Jo", fails.display())));
    let driver = power("command on=/nowhere/pdu");
    let error = failed(&*driver, PowerAction::On, LIMIT).await;
    assert!(!error.was_begun() && error.to_string().starts_with("run `/nowhere/pdu`: No such file"), "{error}");
    let dies = script(folder.path(), "dies", "kill -9 $$");
    let error = failed(&*power(&format!("command on={}", dies.display())), PowerAction::On, LIMIT).await;
    let expected = format!("`{}` ended with signal: 9 (SIGKILL): it said nothing", dies.display());
    assert_eq!(error, DriverError::Unclear(expected));
}

#[tokio::test]
async fn endless_output_ends_the_program() {
    let driver = power("command on='sh -c \"while :; do echo yes; done\"'");
    let error = failed(&*driver, PowerAction::On, LIMIT).await;
    assert_eq!(error, DriverError::Unclear("`sh` was ended: it printed more than 65536 bytes".into()));
}

#[tokio::test]
async fn a_lie_and_rubbish_are_no_confirmation() {
    let driver = power("command on=true state='echo off'");
    let acted = act_and_read_back(&*driver, PowerAction::On, LIMIT, &HASTY).await;
    assert_eq!((acted.outcome, acted.seen), (Outcome::Differs, PowerState::Off));
    let driver = power("command on=true off=true state='echo segmentation fault'");
    let acted = act_and_read_back(&*driver, PowerAction::On, LIMIT, &HASTY).await;
    assert_eq!((acted.outcome, acted.seen, acted.complaint), (Outcome::Unseen, PowerState::Unknown, None));
    let driver = power("command on=true off=true state='echo on'");
    let acted = act_and_read_back(&*driver, PowerAction::Cycle, LIMIT, &HASTY).await;
    assert_eq!((acted.asked, acted.outcome, acted.seen), (PowerAction::Cycle, Outcome::Differs, PowerState::On));
}

#[tokio::test]
async fn for_on_and_off_the_state_counts_whatever_was_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let says_no = script(folder.path(), "no", "echo 'it is on already' >&2; exit 1");
    let driver = power(&format!("command on={0} reset={0} state='echo on'", says_no.display()));
    let acted = act(&*driver, PowerAction::On).await;
    assert_eq!((acted.outcome, acted.seen), (Outcome::Confirmed, PowerState::On));
    assert!(acted.complaint.is_some_and(|error| error.to_string().ends_with("it is on already")));
    assert_eq!(
        act(&*driver, PowerAction::Reset).await.outcome,
        Outcome::Failed,
        "a reset can not be seen in the state"
    );
}

#[tokio::test]
async fn a_snapshot_by_programs_is_reverted_only_where_it_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("m1.snapshot");
    let (touch, test) = (format!("touch {}", file.display()), format!("test -e {}", file.display()));
    let driver = snapshot(&format!("command take='{touch}' exists='{test}' revert=true"));
    let revert = async || restore_and_read_back(&*driver, SnapshotAction::Revert, LIMIT).await;
    let restored = revert().await;
    assert_eq!(restored.outcome, Outcome::Failed);
    assert!(restored.complaint.is_some_and(|error| !error.was_begun()));
    let taken = restore_and_read_back(&*driver, SnapshotAction::Take, LIMIT).await;
    assert_eq!((taken.outcome, taken.complaint), (Outcome::Confirmed, None));
    assert_eq!(revert().await.outcome, Outcome::Confirmed);
    let driver = snapshot("command revert=false");
    let restored = restore_and_read_back(&*driver, SnapshotAction::Revert, LIMIT).await;
    assert_eq!(restored.complaint, Some(DriverError::Refused("`false` ended with 1: it said nothing".into())));
}
