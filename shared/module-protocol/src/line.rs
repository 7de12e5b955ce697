//! One message as one line of JSON, and back. Both ends use these two functions, so both bound and tolerate the same.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use strum::VariantNames;

use crate::message::{AgentMessage, ModuleMessage};

/// Most bytes of a line, its newline included. Both ends refuse a longer one, so neither can fill the other's memory.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// A line that is not a message.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// More bytes than [`LINE_BYTES_MAX`].
    #[error("line of {0} bytes is longer than {LINE_BYTES_MAX}")]
    TooLong(usize),
    /// Not JSON, or not the fields of its type.
    #[error("line is not a message")]
    Malformed(#[from] serde_json::Error),
}

/// A message that travels as a line. Its types are those of the enum, so that none is passed over that this version knows.
pub trait Line: Serialize + DeserializeOwned + VariantNames {}

impl Line for ModuleMessage {}

impl Line for AgentMessage {}

/// A message as a line, with its newline.
///
/// # Errors
/// The line would be longer than [`LINE_BYTES_MAX`].
pub fn encode_line<M: Line>(message: &M) -> Result<Vec<u8>, LineError> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    if line.len() > LINE_BYTES_MAX { Err(LineError::TooLong(line.len())) } else { Ok(line) }
}

/// The message of a line, with or without its newline; none for a type that this version does not know, which is passed over.
///
/// # Errors
/// The line is too long, not JSON, or lacks fields of its type.
pub fn decode_line<M: Line>(line: &[u8]) -> Result<Option<M>, LineError> {
    if line.len() > LINE_BYTES_MAX {
        return Err(LineError::TooLong(line.len()));
    }
    let value: Value = serde_json::from_slice(line)?;
    let known = value.get("type").and_then(Value::as_str).is_none_or(|kind| M::VARIANTS.contains(&kind));
    if known { Ok(Some(serde_json::from_value(value)?)) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::message::{Corruption, Outcome, Status, SyncEnd, Vote};
    use crate::wish::{ClientWish, HolderWish};

    fn module_messages() -> Vec<ModuleMessage> {
        let corruption = Corruption {
            target: "/data".into(),
            resource: "disk-a".into(),
            offset: u64::MAX,
            class: "STALE".into(),
            persistence: "STORED".into(),
            owner_run: 0,
            owner_dpid: String::new(),
            expected: "00".into(),
            actual: "01".into(),
            detail: "1 pass behind".into(),
        };
        let totals = BTreeMap::from([("written_bytes".to_owned(), 1e15)]);
        vec![
            ModuleMessage::Hello { protocol: 1, run: 1, dpid: "00010064".into(), attempt: 1, pid: 7 },
            ModuleMessage::Ready,
            ModuleMessage::Pong { n: 3, iterations: 120 },
            ModuleMessage::Metric { device: String::new(), counters: totals.clone(), gauges: BTreeMap::new() },
            ModuleMessage::Event { name: "buffered".into(), text: "tmpfs".into() },
            ModuleMessage::Corruption(corruption),
            ModuleMessage::Artifact { path: "a/b".into(), name: "b".into() },
            ModuleMessage::Peer { to: "server".into(), data: "ready".into() },
            ModuleMessage::Gate { n: 7 },
            ModuleMessage::Crash { note: "wrong".into() },
            ModuleMessage::Trigger { n: 3, note: "wrong".into() },
            ModuleMessage::Arm { n: 3, action: "dump-history".into(), argument: String::new() },
            ModuleMessage::Expect { n: 1, what: "reboot".into(), within_ms: 60_000, note: "round 1".into() },
            ModuleMessage::Sync {
                name: "written".into(),
                round: 1,
                vote: Vote::No,
                timeout_ms: 60_000,
                with: vec!["server".into()],
            },
            ModuleMessage::Leave,
            ModuleMessage::Holder { wish: HolderWish::Extend { id: "00".into(), by_ms: 1 } },
            ModuleMessage::Client {
                run: 1,
                dpid: "00010064".into(),
                attempt: 1,
                token: "00".into(),
                wish: ClientWish::Dismiss { id: "00".into(), reservation: 0, machine: "m1".into() },
            },
            ModuleMessage::StartOn {
                name: "load".into(),
                machine: "node-2".into(),
                module: "command".into(),
                parameters: BTreeMap::from([("program".to_owned(), "true".to_owned())]),
                detached: false,
                timeout_ms: 30_000,
            },
            ModuleMessage::AwaitOn { name: "load".into(), timeout_ms: 0 },
            ModuleMessage::StopOn { name: "load".into() },
            ModuleMessage::ClockOf { machine: "node-2".into(), timeout_ms: 0 },
            ModuleMessage::Emit { name: "load.begun".into(), data: "{}".into() },
            ModuleMessage::Done {
                status: Status::Complete,
                result: Outcome::Pass,
                reason: String::new(),
                r#final: totals,
                text: String::new(),
            },
        ]
    }

    fn agent_messages() -> Vec<AgentMessage> {
        let parameters = BTreeMap::from([("rate_max".to_owned(), "1MiB".to_owned())]);
        vec![
            AgentMessage::Start,
            AgentMessage::Ping { n: 1 },
            AgentMessage::Stop { grace_ms: 5 },
            AgentMessage::Abort,
            AgentMessage::Peer { from: "client".into(), dpid: "00010001".into(), data: "ready".into() },
            AgentMessage::Set { pulses: vec![3, 7], parameters },
            AgentMessage::Open { n: 9 },
            AgentMessage::Clients { clients: Vec::new(), refused: "no".into() },
            AgentMessage::Dump { n: 3, firing: "0a".into() },
            AgentMessage::Armed { n: 3, armed: false, why: "no".into() },
            AgentMessage::NotCrashed { why: "it may not".into() },
            AgentMessage::Go { n: 1 },
            AgentMessage::NotExpected { n: 1, why: "it may not".into() },
            AgentMessage::Synced {
                name: "written".into(),
                round: 1,
                outcome: SyncEnd::TimedOut,
                yes: 2,
                no: 1,
                no_voters: vec!["00010003".into()],
                by: String::new(),
                why: String::new(),
            },
            AgentMessage::StartedOn { name: "load".into(), dpid: "00020001".into(), why: String::new() },
            AgentMessage::EndedOn {
                name: "load".into(),
                state: "finished".into(),
                verdict: "pass".into(),
                exit_status: Some(0),
                reason: String::new(),
                why: String::new(),
            },
            AgentMessage::ClockIs {
                machine: "node-2".into(),
                pool_time_ns: 2,
                wall_ns: 3,
                here_ns: 1,
                round_trip_us: 400,
                why: String::new(),
            },
            AgentMessage::Kept,
        ]
    }

    /// Each message comes out of its line as it went in, and there is one of every type.
    fn check<M: Line + PartialEq + std::fmt::Debug>(messages: &[M]) {
        let mut types = BTreeSet::new();
        for message in messages {
            let line = encode_line(message).unwrap();
            assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
            assert_eq!(decode_line::<M>(&line).unwrap().as_ref(), Some(message));
            let value: Value = serde_json::from_slice(&line).unwrap();
            types.insert(value["type"].as_str().unwrap().to_owned());
        }
        let known: BTreeSet<String> = M::VARIANTS.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(types, known);
    }

    #[test]
    fn a_message_of_every_type_survives_its_line() {
        check(&module_messages());
        check(&agent_messages());
    }

    #[test]
    fn unknown_types_and_fields_are_passed_over() {
        assert_eq!(decode_line::<AgentMessage>(br#"{"type":"pulse","n":3}"#).unwrap(), None);
        let ping = decode_line::<AgentMessage>(br#"{"type":"ping","n":3,"more":[1]}"#).unwrap();
        assert_eq!(ping, Some(AgentMessage::Ping { n: 3 }));
    }

    #[test]
    fn malformed_and_oversize_lines_are_errors() {
        for bad in [&b"{"[..], b"[]", br#"{"type":"ping"}"#, br#"{"n":1}"#, b"\xff"] {
            assert!(matches!(decode_line::<AgentMessage>(bad), Err(LineError::Malformed(_))), "{bad:?}");
        }
        let long = ModuleMessage::Event { name: "x".into(), text: "y".repeat(LINE_BYTES_MAX) };
        assert!(matches!(encode_line(&long), Err(LineError::TooLong(_))));
        assert!(matches!(decode_line::<ModuleMessage>(&vec![b' '; LINE_BYTES_MAX + 1]), Err(LineError::TooLong(_))));
    }
}
