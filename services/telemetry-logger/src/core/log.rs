//! Turns of decision logs -> archive and events.

use muster_ledger::open_block;
use muster_model::Position;
use muster_proto::v1;
use muster_proto::v1::envelope::Body;
use muster_telemetry::records::{Archived, LogEvent, Records};
use prost::Message as _;

use super::{Decoded, Message, event, job, machine, reject, said_time};

/// Decodes a message of a log. Whatever else can not be decoded, a message with an envelope is archived.
///
/// # Errors
/// Never: what is wrong inside the envelope becomes rejects beside the archived message.
#[expect(clippy::unnecessary_wraps, reason = "the same shape as the other kinds of streams")]
pub(super) fn decode(message: &Message, envelope: v1::Envelope) -> Result<Decoded, String> {
    let position = Position::new(envelope.lineage, message.sequence);
    let turn = match &envelope.body {
        Some(Body::Turn(turn)) => Some(turn),
        _ => None,
    };
    let mut records = Records::default();
    records.archived.push(Archived {
        position,
        hash: *blake3::hash(&message.payload).as_bytes(),
        previous_hash: turn.map(|turn| turn.previous_hash.clone()).unwrap_or_default(),
        subject: message.subject.clone(),
        stored: message.stored,
        term: envelope.term,
        payload: message.payload.clone(),
    });
    let block =
        turn.ok_or_else(|| "the envelope holds no turn".to_owned()).and_then(|turn| Ok((turn, open_block(turn)?)));
    match block {
        Ok((turn, block)) => take_block(message, position, turn, block, &mut records),
        Err(reason) => records.rejects.push(reject(message, reason, 1)),
    }
    Ok(Decoded { batch: None, records })
}

fn take_block(message: &Message, position: Position, turn: &v1::Turn, block: v1::TurnBlock, records: &mut Records) {
    let mut ordinal = 0;
    for entry in block.entries {
        let at = said_time(entry.time_ns, message);
        let cause = entry.cause_word();
        for bytes in entry.events {
            let read = event::read(&turn.event_type, &bytes).and_then(|read| {
                if turn.event_type == job::EVENT_TYPE {
                    let event = v1::JobEvent::decode(bytes).map_err(|error| error.to_string())?;
                    job::take(event, position, at, records)?;
                } else if turn.event_type == machine::EVENT_TYPE {
                    let event = v1::MachineEvent::decode(bytes).map_err(|error| error.to_string())?;
                    machine::take(event, (position, ordinal), at, records);
                }
                Ok(read)
            });
            match read {
                Ok(read) => records.events.push(LogEvent {
                    position,
                    ordinal,
                    at,
                    actor: entry.actor.clone(),
                    cause: cause.into(),
                    kind: read.kind,
                    subject: read.subject,
                    detail: read.detail,
                }),
                Err(reason) => records.rejects.push(reject(message, format!("event {ordinal}: {reason}"), 1)),
            }
            ordinal += 1;
        }
    }
}
