//! What a taker does with locks, whosever they are: those of a server (`remote`) or of a file (`files`).

use crate::core::{Grant, Mode, Wrong};
use crate::trouble::Trouble;

/// Why a taker can not go on as it was.
#[derive(Debug)]
pub(crate) enum Break {
    /// The test is over.
    Over,
    /// The connection broke: what was held is held no longer.
    Lost(String),
    /// A lock is wrong, which one, and under which token it showed.
    Wrong(u32, u64, Wrong),
    /// The test can not go on.
    Trouble(Trouble),
}

/// The locks of one taker, who has one at a time.
pub(crate) trait Locks {
    /// Waits for a lock. Nothing is held where it breaks.
    fn take(&mut self, lock: u32, mode: Mode) -> Result<Grant, Break>;

    /// Reads the record of a lock.
    fn load(&mut self, lock: u32, record: &mut [u8]) -> Result<(), Break>;

    /// Writes the record of a lock.
    fn store(&mut self, lock: u32, record: &[u8]) -> Result<(), Break>;

    /// Gives back what is held; `sound` says that its record is as it was written.
    fn give_back(&mut self, sound: bool) -> Result<(), Break>;

    /// Goes on after a break of the connection.
    fn again(&mut self, reason: &str) -> Result<(), Break>;

    /// Ends in order.
    fn leave(&mut self);

    /// How a person reads the record of a lock; nothing where that goes with its server.
    fn read_command(&self, lock: u32) -> Option<String>;
}
