//! Selectors over the index: each term is answered once for every value that machines have, and not for every machine.

use std::borrow::Cow;
use std::collections::BTreeMap;

use muster_model::{Facts, MachineId, ResourceKind, Selector, SelectorTerm, Sets, glob_matches};

use super::machine::{Machine, Resource};
use super::placement::offer::Offer;
use super::pool::{Description, Pool};
use super::state::State;

/// Machines that a selector selects, by ordinal; none for all.
pub(super) fn selected(pool: &Pool, selector: &Selector) -> Option<Vec<bool>> {
    (!selector.is_all()).then(|| selector.select(&Machines(pool)))
}

/// Answers of the index.
struct Machines<'a>(&'a Pool);

impl Sets for Machines<'_> {
    type Set = Vec<bool>;

    fn term(&self, term: SelectorTerm<'_>) -> Vec<bool> {
        match term {
            SelectorTerm::Names(names) => self.named(names),
            SelectorTerm::Compare(comparison) => match self.0.column(comparison.key()) {
                Some(column) => column.ask(|values| comparison.holds(&Valued { key: comparison.key(), values })),
                None => self.0.ids().iter().map(|id| comparison.holds(&Named(id.as_str()))).collect(),
            },
        }
    }

    fn not(&self, mut set: Vec<bool>) -> Vec<bool> {
        set.iter_mut().for_each(|has| *has = !*has);
        set
    }

    fn and(&self, mut left: Vec<bool>, right: Vec<bool>) -> Vec<bool> {
        left.iter_mut().zip(right).for_each(|(left, right)| *left &= right);
        left
    }

    fn or(&self, mut left: Vec<bool>, right: Vec<bool>) -> Vec<bool> {
        left.iter_mut().zip(right).for_each(|(left, right)| *left |= right);
        left
    }
}

impl Machines<'_> {
    /// A plain name is looked up; only a glob looks at every name.
    fn named(&self, names: &[String]) -> Vec<bool> {
        let mut set = vec![false; self.0.len()];
        for name in names {
            if name.contains(['*', '?']) {
                set.iter_mut().zip(self.0.ids()).for_each(|(has, id)| *has |= glob_matches(name, id.as_str()));
            } else if let Some(ordinal) = self.0.ordinal(name) {
                set[ordinal] = true;
            }
        }
        set
    }
}

/// Something of which one key alone is known.
struct Valued<'a> {
    key: &'static str,
    values: &'a [String],
}

impl Facts for Valued<'_> {
    fn name(&self) -> &str {
        ""
    }

    fn values(&self, key: &str) -> Vec<Cow<'_, str>> {
        if key != self.key {
            return Vec::new();
        }
        self.values.iter().map(|value| Cow::Borrowed(value.as_str())).collect()
    }
}

/// Something of which the name alone is known.
struct Named<'a>(&'a str);

impl Facts for Named<'_> {
    fn name(&self) -> &str {
        self.0
    }

    fn values(&self, _: &str) -> Vec<Cow<'_, str>> {
        Vec::new()
    }
}

/// Which resources a start may use.
#[derive(Debug)]
pub(super) enum Open<'a> {
    /// All.
    All,
    /// Those that a selector selects: by description where that says it, else by looking at the resource.
    Selected {
        /// The selector.
        selector: &'a Selector,
        /// Machines, for looking at resources.
        machines: &'a BTreeMap<MachineId, Machine>,
        /// What it says of each description; none where names matter.
        by_description: Vec<Option<bool>>,
    },
}

impl<'a> Open<'a> {
    /// What a selector of resources opens.
    pub(super) fn new(state: &'a State, selector: &'a Selector) -> Self {
        if selector.is_all() {
            return Self::All;
        }
        let by_description = state.pool.describe(None, |description| selector.select(&Described(description)));
        Self::Selected { selector, machines: &state.machines, by_description }
    }

    /// A place of a machine, by its index there, may be used.
    pub(super) fn has(&self, offer: &Offer<'_>, place: usize) -> bool {
        match self {
            Self::All => true,
            Self::Selected { selector, machines, by_description } => {
                let place = &offer.places[place];
                let told = by_description.get(place.description.0 as usize).copied().flatten();
                told.unwrap_or_else(|| {
                    let machine = machines.get(offer.machine);
                    let resource = machine.and_then(|machine| machine.seen.resource(&place.id));
                    resource.is_some_and(|resource| selector.matches(&OnMachine { machine: offer.machine, resource }))
                })
            }
        }
    }
}

/// A resource on its machine, as selectors see it.
pub(super) struct OnMachine<'a> {
    /// Machine.
    pub(super) machine: &'a MachineId,
    /// Resource.
    pub(super) resource: &'a Resource,
}

impl Facts for OnMachine<'_> {
    fn name(&self) -> &str {
        self.resource.id.as_str()
    }

    fn values(&self, key: &str) -> Vec<Cow<'_, str>> {
        let Resource { kind, device_type, size, .. } = self.resource;
        match key {
            "machine" => vec![Cow::Borrowed(self.machine.as_str())],
            other => described(*kind, device_type, *size, other).into_iter().collect(),
        }
    }

    /// `disk-sda`, or `node-1/disk-sda`.
    fn is_named(&self, pattern: &str) -> bool {
        match pattern.split_once('/') {
            Some((machine, resource)) => {
                glob_matches(machine, self.machine.as_str()) && glob_matches(resource, self.name())
            }
            None => glob_matches(pattern, self.name()),
        }
    }
}

fn described(kind: ResourceKind, device_type: &str, size: u64, key: &str) -> Option<Cow<'static, str>> {
    match key {
        "kind" => Some(Cow::Borrowed(kind.as_str())),
        "type" => Some(Cow::Owned(device_type.to_owned())),
        "size" => Some(Cow::Owned(size.to_string())),
        _ => None,
    }
}

/// Answers by a description alone: none where it depends on the name or the machine.
struct Described<'a>(&'a Description);

impl Facts for Described<'_> {
    fn name(&self) -> &str {
        ""
    }

    fn values(&self, key: &str) -> Vec<Cow<'_, str>> {
        let Description { kind, device_type, size } = self.0;
        described(*kind, device_type, *size, key).into_iter().collect()
    }
}

impl Sets for Described<'_> {
    type Set = Option<bool>;

    fn term(&self, term: SelectorTerm<'_>) -> Option<bool> {
        match term {
            SelectorTerm::Names(_) => None,
            SelectorTerm::Compare(comparison) => (comparison.key() != "machine").then(|| comparison.holds(self)),
        }
    }

    fn not(&self, set: Option<bool>) -> Option<bool> {
        set.map(|holds| !holds)
    }

    fn and(&self, left: Option<bool>, right: Option<bool>) -> Option<bool> {
        match (left, right) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            (None, _) | (_, None) => None,
        }
    }

    fn or(&self, left: Option<bool>, right: Option<bool>) -> Option<bool> {
        match (left, right) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            (None, _) | (_, None) => None,
        }
    }
}

/// Why nothing is selected: the condition that leaves nothing of what those before it select. None where something is.
pub(super) fn nothing_selected<T>(
    selector: &Selector,
    things: &[T],
    noun: &str,
    matches: impl Fn(&Selector, &T) -> bool,
) -> Option<String> {
    if things.is_empty() {
        return None;
    }
    let mut left: Vec<&T> = things.iter().collect();
    let mut before: Vec<String> = Vec::new();
    for condition in selector.conditions() {
        let alone = things.iter().any(|thing| matches(&condition, thing));
        let (was, all) = (left.len(), things.len());
        left.retain(|thing| matches(&condition, thing));
        if !alone {
            return Some(format!("`{condition}` matches none of {all} {noun}s"));
        }
        if left.is_empty() {
            let plural = if was == 1 { "" } else { "s" };
            return Some(format!(
                "`{condition}` matches none of the {was} {noun}{plural} of `{}`",
                before.join(" and ")
            ));
        }
        before.push(condition.to_string());
    }
    None
}
