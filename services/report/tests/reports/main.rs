//! Every report about one recorded run, asked over the bus as the command line asks, and what other programs read of the store.

#[path = "../common/mod.rs"]
mod common;
mod grafana;
mod page;
mod recorded;
mod sql;
mod transcripts;
mod world;
