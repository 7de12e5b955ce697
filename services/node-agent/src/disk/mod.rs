//! What the agent keeps on its disk, and how: journals that survive a torn write, files that are whole or not there.

pub(crate) mod atomic;
pub(crate) mod boot;
pub(crate) mod crash_files;
pub(crate) mod fence;
pub(crate) mod intents;
pub(crate) mod journal;
pub(crate) mod lock;
pub(crate) mod spool;
pub(crate) mod storage;
pub(crate) mod token;
pub(crate) mod triggers;
