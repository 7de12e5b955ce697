//! Which layouts share series: those have to be compacted together, for a series is one row of its hour.

use std::collections::{BTreeMap, HashMap};

/// Layout -> its group: the least of all layouts that share series with it, directly or through others.
#[must_use]
pub fn groups<'a>(layouts: impl IntoIterator<Item = (i64, &'a [i64])>) -> BTreeMap<i64, i64> {
    let mut parents = BTreeMap::new();
    let mut owners = HashMap::new();
    for (layout, series) in layouts {
        parents.insert(layout, layout);
        for series in series {
            let owner = *owners.entry(*series).or_insert(layout);
            unite(&mut parents, owner, layout);
        }
    }
    let layouts: Vec<i64> = parents.keys().copied().collect();
    layouts.into_iter().map(|layout| (layout, root(&mut parents, layout))).collect()
}

fn unite(parents: &mut BTreeMap<i64, i64>, one: i64, other: i64) {
    let (one, other) = (root(parents, one), root(parents, other));
    parents.insert(one.max(other), one.min(other));
}

/// The root of a layout's tree; the way to it becomes shorter with each question.
fn root(parents: &mut BTreeMap<i64, i64>, mut layout: i64) -> i64 {
    loop {
        let parent = parents[&layout];
        if parent == layout {
            return layout;
        }
        let above = parents[&parent];
        parents.insert(layout, above);
        layout = above;
    }
}
