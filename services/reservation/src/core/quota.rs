//! What users may have at once, for how long and how urgently, and what share is theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_model::quantity::print_duration;

use super::limits::{DURATION_MAX, PRIORITY_MAX};

/// The name of what holds for everybody who has no quota of their own.
pub const EVERYBODY: &str = "*";

/// Limits of a user, of a group of users, or of everybody else; none is no limit but those of Muster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quota {
    /// Machines at once.
    pub machines: Option<u32>,
    /// Longest time of one reservation, with its extensions.
    pub length: Option<Duration>,
    /// No deadline lies further ahead.
    pub ahead: Option<Duration>,
    /// Highest priority.
    pub priority: Option<u32>,
    /// Fair share: twice the share is twice the machine time. None is 1.
    pub share: Option<u32>,
    /// Members, where it is a group: `user:anna`.
    pub members: BTreeSet<String>,
    /// A reservation may be extended to have no deadline.
    pub no_deadline: bool,
}

impl Quota {
    /// It says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// All quotas, by name: `user:anna`, `group:storage`, or [`EVERYBODY`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quotas(pub(super) BTreeMap<String, Quota>);

impl Quotas {
    /// Those of a record.
    #[must_use]
    pub fn new(quotas: BTreeMap<String, Quota>) -> Self {
        Self(quotas)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Quota)> {
        self.0.iter().map(|(name, quota)| (name.as_str(), quota))
    }

    /// What holds for a user: their own or that of everybody else, and those of their groups.
    pub(super) fn of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = (&'a str, &'a Quota)> {
        let own = self.0.get_key_value(user).or_else(|| self.0.get_key_value(EVERYBODY));
        let groups = self.0.iter().filter(move |(_, quota)| quota.members.contains(user));
        own.into_iter().chain(groups).map(|(name, quota)| (name.as_str(), quota))
    }

    /// The share of a user: their own, or that of everybody else.
    #[must_use]
    pub fn share_of(&self, user: &str) -> u32 {
        let own = self.0.get(user).or_else(|| self.0.get(EVERYBODY));
        own.and_then(|quota| quota.share).unwrap_or(1).max(1)
    }

    /// A user may have reservations without a deadline: something that holds for them says so.
    pub(super) fn permits_no_deadline(&self, user: &str) -> bool {
        self.of(user).any(|(_, quota)| quota.no_deadline)
    }

    /// Who shares a limit on machines with a user: the user alone, or all members of the group.
    pub(super) fn machines_at_once<'a>(&'a self, user: &'a str) -> impl Iterator<Item = Limit<'a>> {
        self.of(user).filter_map(move |(name, quota)| {
            let most = quota.machines?;
            let of: Vec<&str> = match quota.members.is_empty() {
                true => vec![user],
                false => quota.members.iter().map(String::as_str).collect(),
            };
            Some(Limit { name, most, of })
        })
    }

    /// Says which limit a request is beyond by itself, whatever else its user has.
    ///
    /// # Errors
    /// The limit, for people.
    pub(super) fn check(&self, user: &str, wish: Wish) -> Result<(), String> {
        for (name, quota) in self.of(user) {
            let beyond = |what: &str, is: String, most: String| {
                Err(format!("{what} is {is}, and the quota of {name} is {most}"))
            };
            if let Some(most) = quota.machines.filter(|most| wish.machines > *most) {
                return beyond("the count", wish.machines.to_string(), most.to_string());
            }
            if let Some(most) = quota.length.filter(|most| wish.length > *most) {
                return beyond("its length", in_seconds(wish.length), print_duration(most));
            }
            if let Some(most) = quota.ahead.filter(|most| wish.ahead > *most) {
                return beyond("the time to its deadline", in_seconds(wish.ahead), print_duration(most));
            }
            if let Some(most) = quota.priority.filter(|most| wish.priority > *most) {
                return beyond("the priority", wish.priority.to_string(), most.to_string());
            }
        }
        Ok(())
    }
}

/// A time for people: nobody wants to know of its nanoseconds.
fn in_seconds(time: Duration) -> String {
    print_duration(Duration::from_secs(time.as_secs()))
}

/// What a request is measured by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) machines: u32,
    pub(super) length: Duration,
    pub(super) ahead: Duration,
    pub(super) priority: u32,
}

/// A limit on machines at once.
#[derive(Debug)]
pub(super) struct Limit<'a> {
    /// Whose quota it is.
    pub(super) name: &'a str,
    /// So many.
    pub(super) most: u32,
    /// The users whose machines count.
    pub(super) of: Vec<&'a str>,
}

/// Says what is wrong with a quota that somebody wants to set.
///
/// # Errors
/// What is wrong, for people.
pub(super) fn check(name: &str, quota: &Quota) -> Result<(), String> {
    let is_group = name.starts_with("group:");
    if name != EVERYBODY && !is_group && !name.starts_with("user:") {
        return Err(format!("`{name}` is neither `user:NAME`, `group:NAME` nor `*`"));
    }
    if is_group && quota.members.is_empty() && !quota.is_empty() {
        return Err("a group without members limits nobody".into());
    }
    if !is_group && !quota.members.is_empty() {
        return Err("only a group has members".into());
    }
    if is_group && quota.share.is_some() {
        return Err("shares are of users".into());
    }
    let zero = [
        (quota.length == Some(Duration::ZERO), "the length is 0"),
        (quota.ahead == Some(Duration::ZERO), "the time ahead is 0"),
        (quota.share == Some(0), "the share is 0"),
        (quota.length > Some(DURATION_MAX), "the length is beyond what Muster gives"),
        (quota.priority > Some(PRIORITY_MAX), "the priority is beyond what Muster knows"),
    ];
    zero.into_iter().find(|(wrong, _)| *wrong).map_or(Ok(()), |(_, what)| Err(what.into()))
}
