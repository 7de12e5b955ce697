//! The lines of `muster events`: one for each event of a message of a decision log.

use muster_model::PoolTime;
use muster_proto::v1::{Entry, Envelope, cause, envelope::Body};
use prost::Message;
use prost_reflect::{DynamicMessage, ReflectMessage};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{DecodeError, json, message, turn};
use crate::times::rfc3339;

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct EventLine {
    /// The log.
    pub(crate) log: String,
    /// `lineage/sequence`.
    pub(crate) position: String,
    /// Its place among the events of that message, from 0.
    pub(crate) index: usize,
    /// Pool time, RFC 3339.
    pub(crate) time: Option<String>,
    /// On whose behalf.
    pub(crate) actor: String,
    /// The identity that sent the command, as the servers prove it; left out where they do not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) sender: String,
    /// Why it was decided: `command`, `own`, `followed`, ...
    pub(crate) cause: &'static str,
    /// What happened: `job_started`.
    pub(crate) kind: String,
    /// What stands beside the kind: the machine, or the reservation.
    #[serde(flatten)]
    pub(crate) about: Map<String, Value>,
    /// What is said of it.
    pub(crate) fields: Value,
    /// The same time, to order by.
    #[serde(skip)]
    pub(crate) pool_time: PoolTime,
}

/// The events of one message of a log, in order.
pub(crate) fn lines_of(log: &str, sequence: u64, payload: &[u8]) -> Result<Vec<EventLine>, DecodeError> {
    let failed = |reason: String| DecodeError::NotA { kind: "message of a decision log".into(), reason };
    let envelope = Envelope::decode(payload).map_err(|error| failed(error.to_string()))?;
    let Some(Body::Turn(turn)) = &envelope.body else {
        return Err(failed("its body is not a turn".into()));
    };
    let position = format!("{}/{sequence}", envelope.lineage);
    let mut lines = Vec::new();
    for (place, entry) in turn::block_of(turn)?.entries.iter().enumerate() {
        for (kind, about, fields) in facts_of(&turn.event_type, entry)? {
            lines.push(EventLine {
                log: log.to_owned(),
                position: position.clone(),
                index: lines.len(),
                time: rfc3339(PoolTime(entry.time_ns)),
                actor: actor_of(entry, &format!("service:{log}/{position}/{place}")),
                sender: entry.sender.clone(),
                cause: entry.cause_word(),
                kind,
                about,
                fields,
                pool_time: PoolTime(entry.time_ns),
            });
        }
    }
    Ok(lines)
}

/// Kind, what it is about, and its fields.
type Fact = (String, Map<String, Value>, Value);

/// The events of an entry; a beginning, a new leader and a rejected message are events too.
fn facts_of(event_type: &str, entry: &Entry) -> Result<Vec<Fact>, DecodeError> {
    let mut facts = Vec::new();
    if let Some(kind) = entry.cause.as_ref().and_then(|cause| cause.kind.as_ref()) {
        let told = match kind {
            cause::Kind::Genesis(genesis) => Some(("muster.v1.Genesis", genesis.encode_to_vec())),
            cause::Kind::LeaderStarted(started) => Some(("muster.v1.LeaderStarted", started.encode_to_vec())),
            cause::Kind::Rejected(rejected) => Some(("muster.v1.Rejected", rejected.encode_to_vec())),
            cause::Kind::Command(_) | cause::Kind::Followed(_) | cause::Kind::Own(_) => None,
        };
        if let Some((type_name, bytes)) = told {
            let fields = json::of_message(&message(type_name, &bytes)?);
            facts.push((entry.cause_word().to_owned(), Map::new(), fields));
        }
    }
    for event in &entry.events {
        facts.push(split(&message(event_type, event)?));
    }
    Ok(facts)
}

/// Events hold one of their kinds, and perhaps what it is about beside it.
fn split(event: &DynamicMessage) -> Fact {
    let (mut kind, mut fields, mut about) = (String::from("unknown"), Value::Null, Map::new());
    let Value::Object(object) = json::of_message(event) else { return (kind, about, fields) };
    for (name, value) in object {
        let field = event.descriptor().get_field_by_name(&name);
        if field.is_some_and(|field| field.containing_oneof().is_some()) {
            (kind, fields) = (name, value);
        } else {
            about.insert(name, value);
        }
    }
    (kind, about, fields)
}

/// What a service does on its own is named by where it stands.
fn actor_of(entry: &Entry, own: &str) -> String {
    if entry.actor.is_empty() { own.to_owned() } else { entry.actor.clone() }
}
