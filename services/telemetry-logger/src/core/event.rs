//! Events of any log as JSON, by the schema alone: a new kind of event needs nothing here.

use bytes::Bytes;
use muster_proto::schema;
use prost_reflect::{DynamicMessage, ReflectMessage, SerializeOptions};
use serde_json::Value;

/// Fields that say what an event is about, where the event itself does not.
const SUBJECT_FIELDS: [&str; 6] = ["machine", "job", "reservation", "run", "name", "module"];

/// An event, read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ReadEvent {
    /// Kind: the name of the field of its oneof.
    pub(super) kind: String,
    /// What it is about.
    pub(super) subject: String,
    /// The fact itself.
    pub(super) detail: Value,
}

/// Reads an event of a type by its name.
///
/// # Errors
/// When the type is unknown, the bytes are none of it, or its kind is newer than this version.
pub(super) fn read(event_type: &str, bytes: &Bytes) -> Result<ReadEvent, String> {
    let unknown = || format!("the type `{}` is unknown", event_type.escape_debug());
    let descriptor = schema().get_message_by_name(event_type).ok_or_else(unknown)?;
    let message = DynamicMessage::decode(descriptor, bytes.clone()).map_err(|error| error.to_string())?;
    let kind = message
        .descriptor()
        .oneofs()
        .flat_map(|oneof| oneof.fields().collect::<Vec<_>>())
        .find(|field| message.has_field(field))
        .ok_or("it is of a kind that this version does not know")?;
    let mut whole = to_json(&message)?;
    let kind = kind.name().to_owned();
    let detail = whole.get_mut(&kind).map(Value::take).unwrap_or(Value::Null);
    let places = [&whole, &detail, &detail["spec"], &detail["id"]["dpid"]];
    let subject = places.into_iter().find_map(subject).unwrap_or_default();
    Ok(ReadEvent { kind, subject, detail })
}

fn to_json(message: &DynamicMessage) -> Result<Value, String> {
    let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    message.serialize_with_options(serde_json::value::Serializer, &options).map_err(|error| error.to_string())
}

fn subject(object: &Value) -> Option<String> {
    SUBJECT_FIELDS.iter().find_map(|field| match object.get(field)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(inner) => inner.get("name").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    })
}
