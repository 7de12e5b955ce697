//! What another release of Muster says and understands: the release before this one knows no field that came since, and the one after
//! says fields that nobody knows yet. Both are made of what this one says, on its way.
//!
//! Responsible for messages; [`crate::relay`] is the way.

use std::collections::BTreeSet;

use muster_proto::schema;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};
use prost_reflect::{Kind, MessageDescriptor};

/// Every number of the wire that the release before this one had.
const RELEASED: &str = include_str!("../../../proto/released.txt");
/// Fields that no release has yet: of a number, and of bytes.
const LATER: [u32; 2] = [18_000, 18_001];

/// Another release than this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// The last that was made: whoever is of it neither says nor sees what came since.
    Before(BTreeSet<(String, u32)>),
    /// The next: each message of it has fields more.
    After,
}

impl Release {
    /// The last release.
    #[must_use]
    pub fn before() -> Self {
        // Message.field = NUMBER Type ...
        let known = |line: &str| {
            let (name, kind) = line.split_once(" = ")?;
            let number = kind.split(' ').next()?.parse().ok()?;
            Some((name.split_once('.')?.0.to_owned(), number))
        };
        Self::Before(RELEASED.lines().filter_map(known).collect())
    }

    /// An envelope as the other release says it, or sees it; nothing for what is no envelope.
    #[must_use]
    pub fn envelope(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let envelope = schema().get_message_by_name("muster.v1.Envelope").expect("it is a type of the wire");
        self.message(&envelope, bytes)
    }

    /// A message, and those within it, field by field as they lie on the wire.
    fn message(&self, descriptor: &MessageDescriptor, mut bytes: &[u8]) -> Option<Vec<u8>> {
        let mut said = Vec::with_capacity(bytes.len() + 16);
        while !bytes.is_empty() {
            let (number, wire) = decode_key(&mut bytes).ok()?;
            let field = descriptor.get_field(number);
            // What is within entries of maps has names of its own in no list.
            let inner = match field.as_ref().map(|field| (field.kind(), field.is_map())) {
                Some((Kind::Message(inner), false)) => Some(inner),
                _ => None,
            };
            let value = value(&mut bytes, wire)?;
            if !self.knows(descriptor, number) {
                continue;
            }
            encode_key(number, wire, &mut said);
            match (wire, inner) {
                (WireType::LengthDelimited, Some(inner)) => lengthened(&self.message(&inner, value)?, &mut said),
                (WireType::LengthDelimited, None) => lengthened(value, &mut said),
                _ => said.extend(value),
            }
        }
        if *self == Self::After {
            encode_key(LATER[0], WireType::Varint, &mut said);
            encode_varint(7, &mut said);
            encode_key(LATER[1], WireType::LengthDelimited, &mut said);
            lengthened(b"later", &mut said);
        }
        Some(said)
    }

    fn knows(&self, of: &MessageDescriptor, number: u32) -> bool {
        match self {
            Self::Before(known) => known.contains(&(of.name().to_owned(), number)),
            Self::After => true,
        }
    }
}

/// Takes the bytes of one value: without its length, where it has one.
fn value<'a>(bytes: &mut &'a [u8], wire: WireType) -> Option<&'a [u8]> {
    let whole = *bytes;
    let length = match wire {
        WireType::Varint => {
            decode_varint(bytes).ok()?;
            let length = whole.len() - bytes.len();
            return whole.get(..length);
        }
        WireType::LengthDelimited => usize::try_from(decode_varint(bytes).ok()?).ok()?,
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    let (value, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(value)
}

fn lengthened(value: &[u8], said: &mut Vec<u8>) {
    encode_varint(value.len() as u64, said);
    said.extend(value);
}

#[cfg(test)]
mod tests {
    use muster_proto::v1;
    use prost::Message;

    use super::*;

    fn heartbeat() -> v1::Envelope {
        let containment = Some(v1::Containment { own_users: true, ..Default::default() });
        let heartbeat = v1::Heartbeat { number: 3, containment, ..Default::default() };
        v1::Envelope {
            source: "node-1".into(),
            body: Some(v1::envelope::Body::Heartbeat(heartbeat)),
            ..Default::default()
        }
    }

    #[test]
    fn the_release_before_neither_says_nor_sees_what_came_since() {
        let said = Release::before().envelope(&heartbeat().encode_to_vec()).expect("it is an envelope");
        let mut expected = heartbeat();
        let Some(v1::envelope::Body::Heartbeat(heartbeat)) = &mut expected.body else { panic!("it is a heartbeat") };
        heartbeat.containment = None;
        assert_eq!(v1::Envelope::decode(&*said).expect("it is an envelope"), expected);
    }

    #[test]
    fn the_release_after_says_more_in_each_message() {
        let whole = heartbeat().encode_to_vec();
        let said = Release::After.envelope(&whole).expect("it is an envelope");
        let times = said.windows(5).filter(|bytes| bytes == b"later").count();
        assert_eq!(times, 3, "the envelope, the heartbeat and what it has of containment");
        assert_eq!(v1::Envelope::decode(&*said).expect("it is an envelope"), heartbeat());
    }

    #[test]
    fn what_is_no_envelope_is_not_rewritten() {
        assert_eq!(Release::After.envelope(br#"{"type":"io.nats"}"#), None);
        assert_eq!(Release::before().envelope(&[0x0a, 0xff]), None);
    }
}
