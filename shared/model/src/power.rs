//! The words of power and of snapshots: what can be done to a machine from outside, and what its settings `power=` and `snapshot=` say.
//!
//! Responsible for the text of such a setting: read once, checked wholly, printed back equal. Not for doing anything: that is the crate
//! of the drivers, which takes these types. A setting names a driver and gives it `key=value` words, split as a shell splits them.

mod action;
mod direct;
mod error;
mod fields;
mod key;
mod power_spec;
mod print;
mod snapshot_spec;
mod template;
#[cfg(test)]
mod tests;
mod words;

pub use action::{PowerAction, PowerState, SnapshotAction};
pub use direct::DirectSpec;
pub use error::SpecError;
pub use key::{Key, PowerDriverKind, SnapshotDriverKind};
pub use power_spec::{
    CommandPower, IpmiInterface, IpmitoolPower, LibvirtPower, PowerMeans, PowerSpec, QemuPower, RedfishPower,
    SimulatedPower, Trust,
};
pub use snapshot_spec::{
    CommandSnapshot, LibvirtSnapshot, QemuOverlaySnapshot, QemuSnapshot, SimulatedSnapshot, SnapshotMeans, SnapshotSpec,
};
pub use template::{CommandLine, PLACEHOLDER, Secret, Template};
pub use words::WordsError;
