//! One message of any type as JSON, with ids as people know them.

use prost_reflect::{DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, ReflectMessage, Value as Field};
use serde_json::{Map, Value};

/// A message as JSON: fields by their names in the schema, those at their defaults left out.
pub(super) fn of_message(message: &DynamicMessage) -> Value {
    if let Some(text) = as_known_id(message) {
        return Value::String(text);
    }
    let mut object = Map::new();
    for (field, value) in message.fields() {
        object.insert(field.name().to_owned(), of_field(&field, value));
    }
    Value::Object(object)
}

/// Ids that have a written form.
fn as_known_id(message: &DynamicMessage) -> Option<String> {
    match message.descriptor().name() {
        "Dpid" => {
            message.transcode_to::<muster_proto::v1::Dpid>().ok().map(|id| muster_model::Dpid::from(id).to_string())
        }
        "ProcessId" => message
            .transcode_to::<muster_proto::v1::ProcessId>()
            .ok()
            .map(|id| muster_model::ProcessId::from(id).to_string()),
        "Position" => message
            .transcode_to::<muster_proto::v1::Position>()
            .ok()
            .map(|at| muster_model::Position::from(at).to_string()),
        _ => None,
    }
}

fn of_field(field: &FieldDescriptor, value: &Field) -> Value {
    match value {
        Field::Bool(flag) => Value::Bool(*flag),
        Field::I32(number) => (*number).into(),
        Field::I64(number) => (*number).into(),
        Field::U32(number) => (*number).into(),
        Field::U64(number) => (*number).into(),
        Field::F32(number) => f64::from(*number).into(),
        Field::F64(number) => (*number).into(),
        Field::String(text) => Value::String(text.clone()),
        Field::Bytes(bytes) => Value::String(of_bytes(field.name(), bytes)),
        Field::EnumNumber(number) => of_enum(field, *number),
        Field::Message(message) => of_message(message),
        Field::List(items) => items.iter().map(|item| of_field(field, item)).collect(),
        Field::Map(_) => unreachable!("the schema has no maps: their order is not defined"),
    }
}

/// `PROCESS_STATE_RUNNING` of `ProcessState` as `running`; a number that this version does not know stays one.
fn of_enum(field: &FieldDescriptor, number: i32) -> Value {
    let Kind::Enum(kind) = field.kind() else { return number.into() };
    match kind.get_value(number) {
        Some(value) => Value::String(bare_name(&kind, value.name())),
        None => number.into(),
    }
}

fn bare_name(kind: &EnumDescriptor, value: &str) -> String {
    let unspecified = kind.get_value(0).map(|zero| zero.name().to_owned()).unwrap_or_default();
    let prefix = unspecified.strip_suffix("UNSPECIFIED").unwrap_or_default();
    value.strip_prefix(prefix).unwrap_or(value).to_lowercase()
}

/// UUIDs with hyphens, anything else in hex.
fn of_bytes(name: &str, bytes: &[u8]) -> String {
    let is_uuid = matches!(name, "id" | "cmd_id" | "command" | "system");
    match <[u8; 16]>::try_from(bytes) {
        Ok(sixteen) if is_uuid => uuid::Uuid::from_bytes(sixteen).to_string(),
        _ => muster_model::text::hex(bytes),
    }
}
