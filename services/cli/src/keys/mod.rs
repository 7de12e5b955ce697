//! Who belongs to a pool, as files in one directory: the register of identities, the servers' configuration that is made of it, and
//! the credentials that were made here.
//!
//! `register` decides and is pure; `directory` reads and writes.

mod directory;
mod register;

pub(crate) use directory::Directory;
pub(crate) use register::{Entry, Register};
