//! Chaos: a real nats-server, PostgreSQL, services in two instances, agents and test processes under random faults, and an oracle that
//! judges at the end by what the logs, the archive, the agents' journals and the operating system say.
//!
//! Each run has two phases, as in the simulation. First faults, while people give commands all the while; then everything heals, and
//! everything has to settle and to end within bounds. Pure are the schedules that a seed gives (`fault`, `load`) and the oracle
//! (`oracle`: facts in, violations out).
//!
//! The same seed gives the same faults at the same times, and the same commands. It does not give the same interleaving: what the
//! operating system does with real processes on two cores is another each time, so a violation may need its seed more than once.

mod commands;
pub mod facts;
pub mod fault;
mod gather;
pub mod history;
pub mod load;
pub mod oracle;
pub mod part;
mod people;
mod proxy;
mod run;
mod settle;
mod stage;
mod summary;
mod watch;

pub use run::{ChaosOptions, run};
pub use summary::Outcome;
