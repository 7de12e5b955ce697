//! A lab's machine and its faults.

use muster_drivers::simulated::Files;
use muster_drivers::{DriverError, Outcome, act_and_read_back, restore_and_read_back};
use muster_model::{PowerAction, PowerState, SnapshotAction};

use crate::support::*;

#[tokio::test]
async fn a_machine_of_a_lab_meets_its_faults_in_their_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let driver = power(&format!("simulated directory={}", folder.path().display()));
    let files = Files::new(folder.path(), &machine());
    assert_eq!(state(&*driver, LIMIT).await, Ok(PowerState::On), "a machine that nobody switched is on");
    std::fs::write(files.path("faults"), "ok\nfail\nlie\nhang\nslow 30ms\never fail\n").expect("it is written");
    confirmed(&*driver, PowerAction::Off).await;
    let error = failed(&*driver, PowerAction::On, LIMIT).await;
    assert_eq!(error, DriverError::Refused("m1: the script of faults says `fail`".into()));
    let acted = act_and_read_back(&*driver, PowerAction::On, LIMIT, &HASTY).await;
    assert_eq!((acted.outcome, acted.seen), (Outcome::Differs, PowerState::Off));
    let error = failed(&*driver, PowerAction::On, SHORT).await;
    assert_eq!(error, DriverError::Unclear(format!("m1: no answer within {SHORT:?}")));
    confirmed(&*driver, PowerAction::On).await;
    for _ in 0..2 {
        assert_eq!(act(&*driver, PowerAction::Reset).await.outcome, Outcome::Failed, "the last line stays");
    }
    let done = std::fs::read_to_string(files.path("done")).expect("it is kept");
    assert_eq!(done.split_whitespace().collect::<Vec<_>>(), ["off", "on", "on", "on", "on", "reset", "reset"]);
    std::fs::write(files.path("power"), "half").expect("it is written");
    assert_eq!(state(&*driver, LIMIT).await, Ok(PowerState::Unknown));
    std::fs::write(files.path("faults"), "explode\n").expect("it is written");
    let error = failed(&*driver, PowerAction::Off, LIMIT).await;
    assert!(error.to_string().ends_with("`explode` is no fault; write ok, fail, hang, lie or slow TIME"), "{error}");
}

#[tokio::test]
async fn a_machine_of_a_lab_is_taken_back_to_a_snapshot_that_it_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let driver = snapshot(&format!("simulated directory={} name=fresh", folder.path().display()));
    let restored = restore_and_read_back(&*driver, SnapshotAction::Revert, LIMIT).await;
    assert_eq!(restored.outcome, Outcome::Failed);
    for action in [SnapshotAction::Take, SnapshotAction::Revert] {
        let restored = restore_and_read_back(&*driver, action, LIMIT).await;
        assert_eq!((restored.outcome, restored.complaint), (Outcome::Confirmed, None));
    }
}
