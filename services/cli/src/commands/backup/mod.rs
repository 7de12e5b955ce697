//! `muster admin backup` and `muster admin restore`: what a system is, as a folder that can be read without Muster.
//!
//! Responsible for the folder: its files, its manifest, and the order in which it is written and read. How a log is copied, checked and
//! rebuilt is muster-ledger's.

mod cut;
mod files;
mod manifest;
mod restore;
mod take;

pub(super) use restore::restore;
pub(super) use take::take;
