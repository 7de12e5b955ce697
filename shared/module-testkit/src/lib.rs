//! What tests of modules have in common: the built program is run by hand or under an agent that the test plays, and what it says
//! is read.
//!
//! Responsible for starting, hearing and ending it. Not for what it should say. Whatever is not as it must be panics, as a test
//! does; a program that is late has [`PATIENCE`].

mod agent;
mod done;
mod program;
mod running;

pub use agent::{Agent, Peer};
pub use done::Done;
pub use program::{by_hand, described, manifest, names, parameters};
pub use running::Running;

use std::time::Duration;

/// A program that says nothing for so long fails its test.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Names of the classes of wrong data, as users write them.
pub const CLASSES: [&str; 9] =
    ["BITFLIP", "STALE", "MISDIRECTED", "FOREIGN", "WRONG_FORM", "ZERO", "TORN", "SHIFTED", "UNKNOWN"];
