//! Limits of reservation. What is beyond them is refused, and the refusal names them.

use std::time::Duration;

/// Longest time from now to a deadline.
pub const DURATION_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Longest time that what runs on a machine may be given to end.
pub const DRAIN_MAX: Duration = Duration::from_secs(3600);
/// How long, after the drain, the machines of a reservation may take to be ready before it ends as failed.
pub const PREPARATION_MAX: Duration = Duration::from_secs(600);
/// The same where they are taken back to an image: an order on power may wait for ten minutes, and a cold boot follows.
pub(super) const IMAGE_PREPARATION_MAX: Duration = Duration::from_secs(1_800);
/// Most machines of one reservation.
pub const MACHINES_MAX: u32 = 10_000;
/// Most reservations that wait.
pub const QUEUE_MAX: usize = 20_000;
/// Highest priority.
pub(super) const PRIORITY_MAX: u32 = 100;
/// A reservation with a minimum is served with it once it has waited so long.
pub(super) const MINIMUM_AFTER: Duration = Duration::from_secs(300);
/// Who has waited so long is before all who have not, whatever their priority and share.
pub(super) const AGED_AFTER: Duration = Duration::from_secs(2 * 24 * 3600);
/// A machine is back in the pool so long after the deadline of who had it.
pub(super) const BACK_WITHIN: Duration = Duration::from_secs(120);
/// What was used so long ago counts for half in fair share.
pub(super) const USE_HALVES_AFTER: Duration = Duration::from_secs(3 * 24 * 3600 + 12 * 3600);
/// A client that has been down for so long is replaced by another machine.
pub(super) const CLIENT_PATIENCE: Duration = Duration::from_secs(120);
/// A master whose machines have all been down for so long is over, and so are its clients.
pub(super) const MASTER_SILENT_AFTER: Duration = Duration::from_secs(25);
/// The machines of a task that failed are kept for the owner of its plan for so long.
pub(super) const CHECKOUT_FOR: Duration = Duration::from_secs(8 * 3600);
/// Clients that a module asks for are wanted for so long; they end with their process.
pub(super) const CLIENTS_FOR: Duration = Duration::from_secs(24 * 3600);
/// Reservations that one command asks for.
pub(super) const EACH_MAX: u32 = 1_000;
/// Quotas that are kept.
pub(super) const QUOTAS_MAX: usize = 1_000;
/// Members of one group.
pub(super) const MEMBERS_MAX: usize = 1_000;
/// A reservation is warned so long before its end, and again; a short one when a quarter, and a twelfth, of it is left.
pub(super) const ENDS_SOON: Duration = Duration::from_secs(900);
/// The second warning.
pub(super) const ENDS_VERY_SOON: Duration = Duration::from_secs(300);
/// A shorter one is not warned: nobody could do anything about it in time.
pub(super) const WARNED_FROM: Duration = Duration::from_secs(120);
/// A notice that failed is tried again after so long, one after the other; then it is given up.
pub(super) const NOTICE_RETRIES: [Duration; 5] = [
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(900),
    Duration::from_secs(1_800),
];
/// Notices that one pass begins to send; the others wait for the next.
pub(super) const LETTERS_MAX: usize = 256;
/// Machines that a notice names; more are counted.
pub(super) const LETTER_MACHINES_MAX: usize = 200;
/// Longest reason for a revocation, bytes.
pub const REASON_SIZE_MAX: usize = 200;
/// Ended reservations that are remembered; the oldest are forgotten first, once all of their machines are back.
pub const ENDED_KEPT: usize = 1_000;
/// Longest comment, bytes.
pub const COMMENT_SIZE_MAX: usize = 200;
/// Longest selector, bytes.
pub const SELECTOR_SIZE_MAX: usize = 4_096;
