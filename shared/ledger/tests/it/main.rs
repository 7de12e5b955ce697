//! The ledger against a real nats-server, with a core that counts.

mod appends;
mod archive;
mod audits;
mod backups;
mod chain;
mod child;
mod commands;
mod counter;
mod faults;
mod followed;
mod harness;
mod leadership;
mod past;
mod proxy;
mod purge;
mod requests;
mod snapshots;
mod stalled;
