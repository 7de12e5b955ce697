//! A person is asked.

use muster_drivers::{Outcome, restore_and_read_back};
use muster_model::{PowerAction, PowerState, SnapshotAction};

use crate::support::*;

#[tokio::test]
async fn a_person_is_asked_and_nothing_is_claimed() {
    let driver = power("manual");
    for action in [PowerAction::On, PowerAction::Off, PowerAction::Cycle, PowerAction::Reset] {
        let acted = act(&*driver, action).await;
        assert_eq!((acted.asked, acted.outcome, acted.seen), (action, Outcome::Asked, PowerState::Unknown));
    }
    let restored = restore_and_read_back(&*snapshot("manual"), SnapshotAction::Revert, LIMIT).await;
    assert_eq!((restored.outcome, restored.complaint), (Outcome::Asked, None));
}
