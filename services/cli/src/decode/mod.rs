//! From bytes on the wire to JSON, by the schema that is built in. Pure: no bus, no clock.
//!
//! Responsible for `muster decode` and for the lines of `muster events`. Ids are written as people know them: a DPID as `00010064`, a
//! process as `1/00010064#2`, a position as `1/17`, a UUID with hyphens, a hash in hex.

mod event;
mod json;
mod turn;

use muster_proto::schema;
use prost_reflect::DynamicMessage;
use serde_json::Value;

pub(crate) use event::{EventLine, lines_of};

/// Bytes that are not what they should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// Not a message of this type.
    #[error("decode a {kind}: {reason}")]
    NotA {
        /// What was expected.
        kind: String,
        /// What is wrong.
        reason: String,
    },
    /// An envelope without a body that is known here.
    #[error("decode an envelope: it has no body that this version knows; is it from a newer Muster?")]
    NoBody,
}

/// Decodes a message of a named type.
fn message(kind: &str, bytes: &[u8]) -> Result<DynamicMessage, DecodeError> {
    let failed = |reason: String| DecodeError::NotA { kind: kind.to_owned(), reason };
    let descriptor = schema().get_message_by_name(kind).ok_or_else(|| failed("this type is not known here".into()))?;
    DynamicMessage::decode(descriptor, bytes).map_err(|error| failed(error.to_string()))
}

/// An envelope as JSON; the turn of a decision log is unfolded into its entries and events.
pub(crate) fn envelope_json(bytes: &[u8]) -> Result<Value, DecodeError> {
    use prost::Message;
    let decoded = muster_proto::v1::Envelope::decode(bytes);
    let known = decoded.map_err(|e| DecodeError::NotA { kind: "muster.v1.Envelope".into(), reason: e.to_string() })?;
    let mut value = json::of_message(&message("muster.v1.Envelope", bytes)?);
    match known.body {
        None => Err(DecodeError::NoBody),
        Some(muster_proto::v1::envelope::Body::Turn(turn)) => {
            value["turn"] = turn::unfolded(&turn)?;
            Ok(value)
        }
        Some(_) => Ok(value),
    }
}

#[cfg(test)]
mod tests;
