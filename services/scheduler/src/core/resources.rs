//! Resources of a placement: a part of one list that all placements of a start share, so that none of them has memory of its own.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use muster_model::ResourceId;

/// Resources of the processes on one machine.
#[derive(Clone, Default)]
pub struct Resources {
    all: Arc<Vec<ResourceId>>,
    part: Range<usize>,
}

impl Resources {
    /// A part of a list.
    ///
    /// # Panics
    /// When the list has no such part.
    #[must_use]
    pub fn part(all: &Arc<Vec<ResourceId>>, part: Range<usize>) -> Self {
        assert!(part.start <= part.end && part.end <= all.len(), "a part lies in its list");
        Self { all: all.clone(), part }
    }
}

impl From<Vec<ResourceId>> for Resources {
    fn from(all: Vec<ResourceId>) -> Self {
        let all = Arc::new(all);
        Self::part(&all, 0..all.len())
    }
}

impl Deref for Resources {
    type Target = [ResourceId];
    fn deref(&self) -> &[ResourceId] {
        &self.all[self.part.clone()]
    }
}

impl PartialEq for Resources {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl Eq for Resources {}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self[..].fmt(f)
    }
}
