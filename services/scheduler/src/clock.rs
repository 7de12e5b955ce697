//! The pool clock of a replica that stands by: it follows the leader's, so that it can continue it.
//!
//! The leader follows nobody: its own clock is the pool's (design: a new leader continues the clock that it followed).

use muster_bus::Bus;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Follows the pool clock whenever this replica does not lead, until `stop`.
pub(crate) async fn follow_while_standing_by(bus: Bus, mut leading: watch::Receiver<bool>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let standing_by = stop.child_token();
        tokio::select! {
            () = stop.cancelled() => return,
            changed = leading.wait_for(|leads| !leads) => if changed.is_err() { return },
        }
        tokio::select! {
            () = muster_chassis::follow_pool_clock(bus.clone(), standing_by.clone()) => {}
            _ = leading.wait_for(|leads| *leads) => standing_by.cancel(),
        }
    }
}
