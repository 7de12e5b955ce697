//! Conversions between the wire and the core. Domain types end here; nothing is decided here.

pub mod agents;
pub mod attached;
mod away;
mod errands;
pub mod events;
mod groups;
pub mod machines;
mod master;
mod module;
pub mod plans;
pub mod projection;
pub mod pulses;
pub mod replies;
pub mod requests;
mod seen;
pub mod snapshot;
mod spec;
mod sync;
pub mod test_events;
#[cfg(test)]
mod tests;
pub mod triggers;

use muster_model::{MachineId, Position, ResourceId, milliseconds};
use muster_proto::{WireError, v1};

/// A machine id of a field `machine`.
fn machine_id(message: &'static str, text: &str) -> Result<MachineId, WireError> {
    MachineId::new(text).map_err(|error| WireError::invalid(message, "machine", error))
}

/// A resource id of a field `resources`.
fn resource_id(message: &'static str, text: &str) -> Result<ResourceId, WireError> {
    ResourceId::new(text).map_err(|error| WireError::invalid(message, "resources", error))
}

fn resource_ids(message: &'static str, texts: &[String]) -> Result<Vec<ResourceId>, WireError> {
    texts.iter().map(|text| resource_id(message, text)).collect()
}

/// A text for people, cut to what the log takes.
fn bounded(mut text: String) -> String {
    const REASON_MAX_BYTES: usize = 1_024;
    text.truncate(muster_model::text::cut(&text, REASON_MAX_BYTES).len());
    text
}

fn position(found: Option<v1::Position>) -> Position {
    found.map(Position::from).unwrap_or_default()
}

fn pairs(values: Vec<v1::KeyValue>) -> Vec<(String, String)> {
    values.into_iter().map(|value| (value.key, value.value)).collect()
}

fn key_values<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<v1::KeyValue> {
    pairs.into_iter().map(|(key, value)| v1::KeyValue { key: key.clone(), value: value.clone() }).collect()
}
