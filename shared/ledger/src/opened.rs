//! A message of a decision log, for those who follow it or show it.

use bytes::Bytes;
use muster_model::Position;
use muster_proto::v1::Entry;

use crate::chain;

/// What one message of a decision log holds.
#[derive(Debug, Clone)]
pub struct OpenedTurn {
    /// Where it says that it stands.
    pub position: Position,
    /// Type name of its events: `muster.v1.MachineEvent`.
    pub event_type: String,
    /// Its entries, in the order in which they were decided.
    pub entries: Vec<Entry>,
}

/// Opens a message of a decision log. Whether it belongs where it stands is its owner's to check.
///
/// # Errors
/// Says what can not be decoded.
pub fn open_turn(payload: &Bytes) -> Result<OpenedTurn, String> {
    let opened = chain::open(payload)?;
    Ok(OpenedTurn { position: opened.place.position, event_type: opened.event_type, entries: opened.entries })
}
