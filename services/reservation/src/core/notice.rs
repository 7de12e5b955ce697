//! Who is told what of a reservation, and when: derived from where it stands and from what was told already.
//!
//! Responsible for what is due and when a failed attempt is made again. Not for how somebody is told: that is an effect, and what
//! came of it comes back as an input.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_model::{KernelName, MachineId, NotifyTarget, PoolTime, ReservationId};

use super::limits::{ENDS_SOON, ENDS_VERY_SOON, LETTER_MACHINES_MAX, NOTICE_RETRIES, WARNED_FROM};
use super::reservation::{End, Ended, Grant, Reservation, Stage};

/// What somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Notice {
    /// The machines are there.
    Ready,
    /// It ends soon.
    EndsSoon,
    /// It ends very soon.
    EndsVerySoon,
    /// It is over.
    Ended,
}

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recipient {
    /// Its user.
    User,
    /// The administrator.
    Administrator,
}

/// Where both are told; as it was when the reservation was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notify {
    /// Its user.
    pub user: NotifyTarget,
    /// The administrator.
    pub administrator: NotifyTarget,
}

/// How far a notice is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Attempts until now.
    pub attempts: u32,
    /// What came of the last.
    pub outcome: Outcome,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// They were told.
    Told,
    /// It failed, and is made again.
    Failed {
        /// Why, for people.
        reason: String,
        /// When.
        next: PoolTime,
    },
    /// It failed for the last time.
    GivenUp {
        /// Why, for people.
        reason: String,
    },
}

/// What was told of one reservation, and what is on its way.
pub type Notices = BTreeMap<(Notice, Recipient), Delivery>;

/// What is to be told, and to whom: plain words are made of it outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The reservation.
    pub id: ReservationId,
    /// When it was asked for: numbers begin again in a new system.
    pub queued: PoolTime,
    /// What.
    pub notice: Notice,
    /// Whom.
    pub recipient: Recipient,
    /// Where.
    pub target: NotifyTarget,
    /// Attempts before this one.
    pub attempts: u32,
    /// Whose it is.
    pub user: String,
    /// Its machines, sorted; of very many only the first.
    pub machines: Vec<MachineId>,
    /// How many they are.
    pub machine_count: usize,
    /// Machines that a rollout went on without, sorted; of very many only the first.
    pub dropped: Vec<MachineId>,
    /// The kernel that they run.
    pub kernel: Option<KernelName>,
    /// When it ends; none where it has no deadline.
    pub deadline: Option<PoolTime>,
    /// So long after it is told, it ends if nobody shows up.
    pub no_show: Option<Duration>,
    /// How it ended, and why.
    pub ended: Option<(End, String)>,
    /// What it is for.
    pub comment: String,
}

impl Delivery {
    /// Nothing more is to be done about it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self.outcome {
            Outcome::Told | Outcome::GivenUp { .. } => true,
            Outcome::Failed { .. } => false,
        }
    }

    /// After another attempt at `now`, which failed for a reason, or did not.
    pub(super) fn after(before: Option<&Self>, failed: Option<&str>, now: PoolTime) -> Self {
        let made = before.map_or(0, |before| before.attempts);
        let retry = NOTICE_RETRIES.get(made as usize);
        let outcome = match (failed, retry) {
            (None, _) => Outcome::Told,
            (Some(reason), Some(after)) => Outcome::Failed { reason: reason.to_owned(), next: now + *after },
            (Some(reason), None) => Outcome::GivenUp { reason: reason.to_owned() },
        };
        Self { attempts: made + 1, outcome }
    }

    fn is_due(&self, now: PoolTime) -> bool {
        match self.outcome {
            Outcome::Told | Outcome::GivenUp { .. } => false,
            Outcome::Failed { next, .. } => next.is_due(now),
        }
    }
}

impl Notify {
    /// Where somebody is told.
    #[must_use]
    pub fn target(&self, recipient: Recipient) -> &NotifyTarget {
        match recipient {
            Recipient::User => &self.user,
            Recipient::Administrator => &self.administrator,
        }
    }

    fn recipients(&self) -> impl Iterator<Item = Recipient> {
        let all = [Recipient::User, Recipient::Administrator];
        all.into_iter().filter(|recipient| !self.target(*recipient).is_none())
    }
}

impl Reservation {
    /// Something of it is, or may come to be, told.
    pub(super) fn may_be_told(&self) -> bool {
        let notify = &self.request.notify;
        match &self.stage {
            Stage::Queued | Stage::Preparing(_) => false,
            Stage::Ready(_) => notify.recipients().next().is_some(),
            Stage::Ended(ended) => {
                let unsettled = |to| !self.notices.get(&(Notice::Ended, to)).is_some_and(Delivery::is_settled);
                is_told_of(ended) && notify.recipients().any(unsettled)
            }
        }
    }

    /// What is to be told now.
    pub(super) fn letters(&self, now: PoolTime) -> Vec<Letter> {
        let due = |notice: &(Notice, Recipient)| self.notices.get(notice).is_none_or(|sent| sent.is_due(now));
        let wanted: Vec<_> = match &self.stage {
            Stage::Queued | Stage::Preparing(_) => Vec::new(),
            Stage::Ready(grant) => {
                let ready = self.request.notify.recipients().map(|to| (Notice::Ready, to));
                let warned = self.warning(grant, now).map(|notice| (notice, Recipient::User));
                ready.chain(warned.filter(|_| !self.request.notify.user.is_none())).collect()
            }
            Stage::Ended(ended) if is_told_of(ended) => {
                self.request.notify.recipients().map(|to| (Notice::Ended, to)).collect()
            }
            Stage::Ended(_) => Vec::new(),
        };
        wanted.into_iter().filter(due).map(|notice| self.letter(notice)).collect()
    }

    /// The warning that its end calls for. Short reservations are warned later, very short ones not at all.
    fn warning(&self, grant: &Grant, now: PoolTime) -> Option<Notice> {
        let length = self.request.duration;
        if grant.deadline == PoolTime::NEVER || length < WARNED_FROM {
            return None;
        }
        let before = |lead: Duration, part: u32| (grant.deadline - lead.min(length / part)).is_due(now);
        match (before(ENDS_VERY_SOON, 12), before(ENDS_SOON, 4)) {
            (true, _) => Some(Notice::EndsVerySoon),
            (false, true) => Some(Notice::EndsSoon),
            (false, false) => None,
        }
    }

    fn letter(&self, (notice, recipient): (Notice, Recipient)) -> Letter {
        let (request, grant) = (&self.request, self.grant());
        let some = |machines: Option<&super::MachineSet>| -> Vec<MachineId> {
            machines.into_iter().flatten().take(LETTER_MACHINES_MAX).cloned().collect()
        };
        let ended = match &self.stage {
            Stage::Ended(ended) => Some((ended.end, ended.reason.clone())),
            Stage::Queued | Stage::Preparing(_) | Stage::Ready(_) => None,
        };
        Letter {
            id: self.id,
            queued: self.queued,
            notice,
            recipient,
            target: request.notify.target(recipient).clone(),
            attempts: self.notices.get(&(notice, recipient)).map_or(0, |sent| sent.attempts),
            user: request.user.clone(),
            machines: some(grant.map(|grant| &grant.machines)),
            machine_count: grant.map_or(0, |grant| grant.machines.len()),
            dropped: some(grant.map(|grant| &grant.dropped)),
            kernel: request.rollout.as_ref().map(|rollout| rollout.kernel.clone()),
            deadline: grant.map(|grant| grant.deadline).filter(|deadline| *deadline != PoolTime::NEVER),
            no_show: request.no_show,
            ended,
            comment: request.comment.clone(),
        }
    }
}

/// Whoever took a request back before anything was told of it knows.
fn is_told_of(ended: &Ended) -> bool {
    match ended.end {
        End::Released | End::Expired | End::Failed | End::NoShow | End::Revoked | End::MasterEnded => true,
        End::Canceled => false,
    }
}
