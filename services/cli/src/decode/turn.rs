//! Turns of decision logs: uncompressed, and with their entries and events in the open.

use muster_model::text::hex;
use muster_proto::v1::{Turn, TurnBlock};
use prost::Message;
use serde_json::{Value, json};

use super::{DecodeError, json, message};

/// The block of a turn.
pub(super) fn block_of(turn: &Turn) -> Result<TurnBlock, DecodeError> {
    muster_ledger::open_block(turn).map_err(|reason| DecodeError::NotA { kind: "muster.v1.TurnBlock".into(), reason })
}

/// A turn as JSON, unfolded. Of a reply, whose type is its service's own, only the size is told.
pub(super) fn unfolded(turn: &Turn) -> Result<Value, DecodeError> {
    let mut entries = Vec::new();
    for entry in block_of(turn)?.entries {
        let bytes = entry.encode_to_vec();
        let mut value = json::of_message(&message("muster.v1.Entry", &bytes)?);
        if let Some(object) = value.as_object_mut().filter(|_| !entry.reply.is_empty()) {
            object.remove("reply");
            object.insert("reply_bytes".into(), entry.reply.len().into());
        }
        if !entry.events.is_empty() {
            let events = entry.events.iter().map(|event| Ok(json::of_message(&message(&turn.event_type, event)?)));
            value["events"] = events.collect::<Result<Vec<Value>, DecodeError>>()?.into();
        }
        entries.push(value);
    }
    let previous = hex(&turn.previous_hash);
    Ok(json!({ "event_type": turn.event_type, "previous_hash": previous, "entries": entries }))
}
