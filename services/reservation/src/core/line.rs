//! The line of reservations that wait: who is first, second, ...
//!
//! First those that have waited too long, then by priority, then by fair share (who has used less of their share), then first come first.
//! It is kept by user, so that what changes a user's use moves nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use muster_model::ReservationId;

use super::quota::Quotas;
use super::usage::Usage;

/// Those that wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line {
    users: BTreeMap<String, BTreeSet<Place>>,
    places: BTreeMap<ReservationId, (String, Place)>,
}

/// Where one of a user's requests stands among theirs: the least is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// It has waited too long.
    pub(super) aged: Reverse<bool>,
    pub(super) priority: Reverse<u32>,
    pub(super) id: ReservationId,
}

/// Where a request stands among all.
type Rank = (Reverse<bool>, Reverse<u32>, u128, ReservationId);

impl Line {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn join(&mut self, user: &str, place: Place) {
        self.leave(place.id);
        self.users.entry(user.to_owned()).or_default().insert(place);
        self.places.insert(place.id, (user.to_owned(), place));
    }

    pub(super) fn leave(&mut self, id: ReservationId) {
        let Some((user, place)) = self.places.remove(&id) else { return };
        let Some(places) = self.users.get_mut(&user) else { return };
        places.remove(&place);
        if places.is_empty() {
            self.users.remove(&user);
        }
    }

    /// All that wait, first come first.
    pub(super) fn by_number(&self) -> impl Iterator<Item = ReservationId> {
        self.places.keys().copied()
    }

    /// All that wait, and a newcomer, the first in line first.
    pub(super) fn in_order<'a>(
        &'a self,
        usage: &Usage,
        quotas: &Quotas,
        newcomer: Option<(&str, Place)>,
    ) -> impl Iterator<Item = ReservationId> + 'a {
        let used = |user: &str| usage.of(user) / u128::from(quotas.share_of(user));
        let mut heads: BinaryHeap<Reverse<(Rank, Option<&'a str>)>> = BinaryHeap::new();
        let mut weights = BTreeMap::new();
        for (user, places) in &self.users {
            weights.insert(user.as_str(), used(user));
            heads.extend(places.first().map(|place| Reverse((rank(*place, used(user)), Some(user.as_str())))));
        }
        heads.extend(newcomer.map(|(user, place)| Reverse((rank(place, used(user)), None))));
        std::iter::from_fn(move || {
            let Reverse((first, user)) = heads.pop()?;
            if let Some(user) = user {
                let here = Place { aged: first.0, priority: first.1, id: first.3 };
                let behind = (std::ops::Bound::Excluded(here), std::ops::Bound::Unbounded);
                let next = self.users.get(user).and_then(|places| places.range(behind).next());
                let weight = weights.get(user).copied().unwrap_or_default();
                heads.extend(next.map(|place| Reverse((rank(*place, weight), Some(user)))));
            }
            Some(first.3)
        })
    }
}

fn rank(place: Place, used: u128) -> Rank {
    (place.aged, place.priority, used, place.id)
}
