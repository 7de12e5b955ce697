//! One reservation: what was asked for, and where it stands.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use muster_model::{GroupMaster, MachineId, PoolTime, Position, ReservationId, Selector, SnapshotName, SshKey};

use super::MachineSet;
use super::limits::{DURATION_MAX, IMAGE_PREPARATION_MAX, MINIMUM_AFTER, PREPARATION_MAX};
use super::line::Place;
use super::machine::Machine;
use super::notice::{Notices, Notify};
use super::quorum::Rollout;
use super::usage::Use;

/// What was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Who: `user:anna`.
    pub user: String,
    /// Which machines.
    pub selector: Selector,
    /// How many; the target of a rollout.
    pub count: u32,
    /// For how long, from when they are ready.
    pub duration: Duration,
    /// How long what runs there may take to end.
    pub drain: Duration,
    /// For people.
    pub comment: String,
    /// Its kernel and quorum, where it is a rollout.
    pub rollout: Option<Rollout>,
    /// Where it stands in the line: a higher one is served before a lower one.
    pub priority: u32,
    /// With so many machines it is served as well, once it has waited for a while; 0 means all of them.
    pub minimum: u32,
    /// It ends then, whenever it begins; its duration is not read.
    pub until: Option<PoolTime>,
    /// Whose client it is.
    pub master: Option<GroupMaster>,
    /// Where its user and the administrator are told of it.
    pub notify: Notify,
    /// So long after its user was told it ends, if nobody shows up.
    pub no_show: Option<Duration>,
    /// Ssh key that is installed on its machines for its time, where their policy permits.
    pub ssh_key: Option<SshKey>,
    /// The snapshot that its machines are taken back to before they are ready.
    pub image: Option<SnapshotName>,
}

impl Request {
    /// The fewest machines that it may be served with: all of them, or its minimum.
    pub(super) fn count_min(&self) -> u32 {
        match (&self.rollout, self.minimum) {
            (Some(rollout), _) => rollout.minimum,
            (None, 0) => self.count,
            (None, minimum) => minimum,
        }
    }

    /// Not every machine that matches can be prepared as it is asked for.
    pub(super) fn is_particular(&self) -> bool {
        self.rollout.is_some() || self.image.is_some()
    }

    /// A machine can be prepared as it is asked for.
    pub(super) fn suits(&self, machine: &Machine) -> bool {
        let is_there = self.image.is_none() || self.image == machine.image;
        is_there && (self.rollout.is_none() || machine.bootable)
    }

    /// How long, after the drain, its machines may take to be ready.
    pub(super) fn preparation_max(&self) -> Duration {
        match (&self.rollout, &self.image) {
            (Some(rollout), _) => rollout.give_up + rollout.countdown,
            (None, Some(_)) => IMAGE_PREPARATION_MAX,
            (None, None) => PREPARATION_MAX,
        }
    }
}

/// A timed claim on machines.
#[derive(Debug, Clone, PartialEq)]
pub struct Reservation {
    /// Its number.
    pub id: ReservationId,
    /// What was asked for.
    pub request: Request,
    /// When.
    pub queued: PoolTime,
    /// It has waited so long that it is before all that have not.
    pub aged: bool,
    /// Where it stands.
    pub stage: Stage,
    /// Who was told of it, or could not be.
    pub notices: Notices,
}

/// Where a reservation stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// Waits for machines.
    Queued,
    /// Its machines are named, and on their way to it.
    Preparing(Grant),
    /// It has all of its machines. Prepared, ready or active, by what its grant says.
    Ready(Grant),
    /// Over.
    Ended(Ended),
}

/// What a reservation got.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// Its machines.
    pub machines: MachineSet,
    /// When the first of them were named.
    pub granted: PoolTime,
    /// Its deadline; the latest that it can be, before it is ready; never, where it has none.
    pub deadline: PoolTime,
    /// Machines of which MACHINES has said that they go or went to it, or were removed. Only such a machine can be back.
    pub arrived: MachineSet,
    /// Machines that a rollout or a group went on without: it does not get them again.
    pub dropped: MachineSet,
    /// Those of them that are not back yet, and where in RESERVATIONS they were dropped.
    pub returning: BTreeMap<MachineId, Position>,
    /// When a rollout starts with what is ready; none while it does not count down.
    pub countdown: Option<PoolTime>,
    /// When all of its machines were ready.
    pub ready: Option<PoolTime>,
    /// When its user was told that, or could not be told after all attempts, or was to look for themselves.
    pub told: Option<PoolTime>,
    /// When its holder showed up.
    pub taken_up: Option<PoolTime>,
}

impl Grant {
    pub(super) fn of(machines: MachineSet, deadline: PoolTime, now: PoolTime) -> Self {
        Self {
            machines,
            granted: now,
            deadline,
            arrived: MachineSet::new(),
            dropped: MachineSet::new(),
            returning: BTreeMap::new(),
            countdown: None,
            ready: None,
            told: None,
            taken_up: None,
        }
    }
}

/// How a reservation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its user checked it in.
    Released,
    /// Its deadline passed.
    Expired,
    /// It was taken back before it was ready.
    Canceled,
    /// It could not be prepared.
    Failed,
    /// Nobody showed up in time.
    NoShow,
    /// An administrator took it back.
    Revoked,
    /// Its master is over, or silent.
    MasterEnded,
}

/// A reservation that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// How.
    pub end: End,
    /// Why, for people.
    pub reason: String,
    /// When.
    pub time: PoolTime,
    /// Where in RESERVATIONS that stands.
    pub position: Position,
    /// What it had got; none when it only waited.
    pub grant: Option<Grant>,
    /// Its machines that are not back yet.
    pub returning: MachineSet,
}

impl Reservation {
    /// What it got, however it stands.
    #[must_use]
    pub fn grant(&self) -> Option<&Grant> {
        match &self.stage {
            Stage::Queued => None,
            Stage::Preparing(grant) | Stage::Ready(grant) => Some(grant),
            Stage::Ended(ended) => ended.grant.as_ref(),
        }
    }

    pub(super) fn grant_mut(&mut self) -> Option<&mut Grant> {
        match &mut self.stage {
            Stage::Queued => None,
            Stage::Preparing(grant) | Stage::Ready(grant) => Some(grant),
            Stage::Ended(ended) => ended.grant.as_mut(),
        }
    }

    /// The machines that it has or is to have; none while it waits, and once it is over.
    #[must_use]
    pub(super) fn machines(&self) -> Option<&MachineSet> {
        match &self.stage {
            Stage::Preparing(grant) | Stage::Ready(grant) => Some(&grant.machines),
            Stage::Queued | Stage::Ended(_) => None,
        }
    }

    /// Machines that nobody else can have: granted, and not back.
    pub fn outstanding(&self) -> impl Iterator<Item = &MachineId> {
        let none = (None, None);
        let (machines, dropped) = match &self.stage {
            Stage::Queued => none,
            Stage::Preparing(grant) | Stage::Ready(grant) => (Some(&grant.machines), Some(&grant.returning)),
            Stage::Ended(ended) => (Some(&ended.returning), None),
        };
        machines.into_iter().flatten().chain(dropped.into_iter().flat_map(BTreeMap::keys))
    }

    /// A machine is what was asked for: held, fenced, working, taken back to the image and in the kernel where there are such.
    #[must_use]
    pub fn is_served_by(&self, machine: &Machine) -> bool {
        let proven = machine.boot.reservation == Some(self.id) && machine.boot.proven;
        let restored = machine.restored_for != Some(self.id);
        machine.is_ready_for(self.id) && restored && (self.request.rollout.is_none() || proven)
    }

    /// The fewest machines that it may be served with.
    #[must_use]
    pub fn count_min(&self) -> u32 {
        self.request.count_min()
    }

    /// Machines without which it waits: its minimum counts at once for a rollout, and after a while for others.
    pub(super) fn count_wanted(&self, now: PoolTime) -> u32 {
        let waits_for_all = self.request.rollout.is_none() && !(self.queued + MINIMUM_AFTER).is_due(now);
        if waits_for_all { self.request.count } else { self.count_min() }
    }

    /// Its deadline, when it is ready now.
    pub(super) fn deadline_from(&self, now: PoolTime) -> PoolTime {
        self.request.until.unwrap_or(now + self.request.duration)
    }

    /// When it ends for want of a holder; none once somebody was there, and while its user is not told.
    pub(super) fn no_show_at(&self, grant: &Grant) -> Option<PoolTime> {
        let after = self.request.no_show.filter(|_| grant.taken_up.is_none())?;
        Some(grant.told? + after)
    }

    /// Its place among what its user waits for.
    pub(super) fn place(&self) -> Place {
        Place { aged: Reverse(self.aged), priority: Reverse(self.request.priority), id: self.id }
    }

    /// Machine time that its user is charged with: until its deadline, or its end.
    pub(super) fn charged(&self) -> Use {
        let has_none = |grant: &Grant| grant.deadline == PoolTime::NEVER;
        let until = |grant: &Grant| match &self.stage {
            Stage::Ended(ended) if has_none(grant) => ended.time,
            Stage::Ended(ended) => ended.time.min(grant.deadline),
            // One without a deadline counts like the longest that has one.
            Stage::Queued | Stage::Preparing(_) | Stage::Ready(_) if has_none(grant) => grant.granted + DURATION_MAX,
            Stage::Queued | Stage::Preparing(_) | Stage::Ready(_) => grant.deadline,
        };
        let of = |grant: &Grant| Use {
            machines: grant.machines.len(),
            time: until(grant).since(grant.granted),
            granted: grant.granted,
        };
        self.grant().map_or(Use { machines: 0, time: Duration::ZERO, granted: PoolTime::NEVER }, of)
    }

    /// It is not over.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !matches!(self.stage, Stage::Ended(_))
    }

    /// It is under way, and takes further machines for those that it goes on without.
    pub(super) fn may_be_granted_more(&self) -> bool {
        match &self.stage {
            Stage::Preparing(_) => self.request.is_particular() || self.is_kept_full(),
            Stage::Ready(_) => self.is_kept_full(),
            Stage::Queued | Stage::Ended(_) => false,
        }
    }

    /// Machines that will not serve it are replaced by others, when it is ready too.
    pub(super) fn is_kept_full(&self) -> bool {
        self.request.master.is_some() && self.request.rollout.is_none()
    }

    /// It is over, and nothing of it is left to wait for.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(&self.stage, Stage::Ended(ended) if ended.returning.is_empty())
    }
}

impl End {
    /// The word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Canceled => "canceled",
            Self::Failed => "failed",
            Self::NoShow => "no_show",
            Self::Revoked => "revoked",
            Self::MasterEnded => "master ended",
        }
    }
}
