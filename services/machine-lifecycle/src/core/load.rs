//! Load numbers: how many processes fit comfortably on a resource at once, by its device type.

use muster_model::ResourceKind;

use super::State;

/// What a load number is set for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoadKey {
    /// Type of resource.
    pub kind: ResourceKind,
    /// Device type; empty is the default for the kind.
    pub device_type: String,
}

impl State {
    /// All load numbers: those that were set, and the defaults of the kinds where none was.
    #[must_use]
    pub fn all_load_numbers(&self) -> Vec<(LoadKey, u32)> {
        let defaults =
            ResourceKind::ALL.map(|kind| (LoadKey { kind, device_type: String::new() }, kind.default_load()));
        let mut numbers = std::collections::BTreeMap::from(defaults);
        numbers.extend(self.load_numbers.iter().map(|(key, load)| (key.clone(), *load)));
        numbers.into_iter().collect()
    }
}
