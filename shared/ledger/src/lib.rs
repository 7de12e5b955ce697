//! Decision logs: one leader decides in a pure core, appends to its JetStream log, and only then answers and acts.
//!
//! Responsible for the turn, leadership, terms, chain, lineage, the memory of commands, snapshots, projections and following other
//! logs. Generic over a [`Core`]; knows nothing of jobs, machines or reservations.

mod core;
mod shell;

pub use core::{At, Core, Decision, Now, Scope, View};
pub use shell::{Answer, Handle, Lead, LedgerError, LedgerOptions, Shell, Source, run};
