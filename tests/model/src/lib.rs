//! The model: small worlds in which everything happens that can, in every order, checked state by state.
//!
//! Each world calls what the services and agents themselves decide with: the ledger's rules without I/O (`muster_ledger::pure`), the
//! cores of machine-lifecycle and reservation, and what the node agent decides (`muster_node_agent::core`). What is around them is
//! played: the bus, the log's server, clocks, disks, people. A mistake is a switch of what is played, never of what is checked; each
//! must be found, or the world that holds proves nothing. Not responsible for anything large or long: that is the simulation's.

pub mod check;
pub mod deadline;
pub mod lease;
pub mod log;
pub mod tenure;
