//! Decision logs: one leader decides in a pure core, appends to its JetStream log, and only then answers and acts.
//!
//! Responsible for the turn, leadership, terms, chain, lineage, the memory of commands, snapshots, projections and following other
//! logs. Generic over a [`Core`]; knows nothing of jobs, machines or reservations.

mod append;
mod archive;
mod chain;
mod core;
mod crash;
mod draft;
mod effects;
mod fold;
mod follow;
mod genesis;
mod handle;
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
mod run;
mod serve;
mod shell;
mod snapshot;
mod turn;

pub use chain::open_block;
pub use core::{At, Core, Decision, Now, Scope, View};
pub use genesis::initialise;
pub use handle::Handle;
pub use listen::{Listening, answer_each, listen_while_leading};
pub use opened::{OpenedTurn, open_turn};
pub use recover::{RecoverOptions, Recovered, recover};
pub use run::run;
pub use serve::{Asked, Requests};
pub use shell::{Answer, Lead, LedgerError, LedgerOptions, Shell, Source};
