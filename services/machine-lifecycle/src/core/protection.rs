//! What is protected: whatever carries a signature or is mounted, what a rule of the pool file names, and what people protected.

use muster_model::{ResourceId, glob_matches};

use super::{Inventory, Protection, Resource};

impl Protection {
    /// A rule protects a resource of this name.
    #[must_use]
    pub fn rule_for(&self, id: &ResourceId) -> Option<&str> {
        self.rules.iter().map(String::as_str).find(|rule| glob_matches(rule, id.as_str()))
    }

    /// The protection after probing found `inventory`: never less than before, and what is mounted is protected even if it was
    /// released once. What is no longer found stays protected, for when it comes back.
    #[must_use]
    pub fn after_probing(&self, inventory: &Inventory) -> Self {
        let mut after = self.clone();
        for resource in &inventory.resources {
            if resource.mounted().is_some() {
                after.released.remove(&resource.id);
            }
            let by_itself = needs_protection(resource) || self.rule_for(&resource.id).is_some();
            if by_itself && !after.released.contains(&resource.id) {
                after.protected.insert(resource.id.clone());
            }
        }
        after
    }
}

/// It carries something that a test would destroy.
fn needs_protection(resource: &Resource) -> bool {
    !resource.signatures.is_empty()
}
