//! Decision logs: one leader decides in a pure core, appends to its JetStream log, and only then answers and acts.
//!
//! Responsible for the turn, leadership, terms, chain, lineage, the memory of commands, snapshots, projections and following other
//! logs. Generic over a [`Core`]; knows nothing of jobs, machines or reservations.

mod append;
mod archive;
mod audit;
mod backup;
mod certainty;
mod chain;
mod check;
mod core;
mod crash;
mod draft;
mod effects;
mod fold;
mod follow;
mod genesis;
mod handle;
mod holding;
mod inspect;
mod lead;
mod leader;
mod lease;
mod listen;
mod load;
mod log;
mod memory;
pub mod metrics;
mod opened;
mod past;
mod projection;
mod purge;
mod recover;
mod replica;
mod run;
mod seal;
mod serve;
mod shell;
mod snapshot;
mod turn;

/// What is decided without I/O: the shell of this crate asks it, and so does the model in tests/model.
pub mod pure {
    pub use crate::certainty::{Heard, Next, Stands, after_attempt, after_end, after_look};
    pub use crate::chain::{Blank, Hash};
    pub use crate::draft::{Draft, Needs, Outcome};
    pub use crate::fold::{Fold, Head, Taken};
    pub use crate::follow::LazyPositions;
    pub use crate::handle::{Delivery, Query, ReplyTo, Waiting};
    pub use crate::holding::{Candidate, Held, Holding, Look, PROBES_TO_TAKE, RENEW_EVERY, Renewal};
    pub use crate::seal::{Sealed, seal_genesis};
    pub use crate::turn::Turn;
}

pub use audit::{AuditOptions, Audited, Break, Seal, Side, audit};
pub use backup::{LogBackup, LogCopy, LogExtent};
pub use chain::open_block;
pub use check::{Alarm, Difference, Findings};
pub use core::{At, Core, Decision, Now, Scope, View};
pub use genesis::initialise;
pub use handle::{By, Handle};
pub use inspect::{Archived, Inspected, Standing, archived, inspect, standing};
pub use listen::{Listening, answer_each, listen_while_leading};
pub use opened::{OpenedTurn, open_turn};
pub use recover::{RecoverOptions, Recovered, RestoreOptions, recover, restore};
pub use run::run;
pub use serve::{Asked, Requests};
pub use shell::{Answer, Lead, LedgerError, LedgerOptions, Shell, Source};
