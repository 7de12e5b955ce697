//! Messages built at random from the descriptors: of the right form, with values that nobody would say, and some that somebody might.

use muster_proto::schema;
use prost::Message;
use prost_reflect::{DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

use super::bend;
use crate::Random;

/// Messages within messages.
const DEPTH_MAX: usize = 7;
/// Of a thousand fields, so many are left out.
const LEFT_OUT: u64 = 350;
/// Of a thousand messages, so many are of values that mean something: whoever hears them understands more of them.
const SENSIBLE: u64 = 300;
/// Of a thousand messages within those, so many are left out: most say something special, which is refused with most of the rest.
const SENSIBLE_LEFT_OUT: u64 = 700;
/// So many of the first words mean something in the simulated pool.
const SENSIBLE_WORDS: usize = 14;
/// The field that has encoded events.
const EVENTS: &str = "muster.v1.Entry.events";
/// Words that mean something to somebody: names of the simulated pool, selectors, times, and what only looks like them.
const WORDS: &[&str] = &[
    "",
    "node-0",
    "node-1",
    "node-7",
    "idle",
    "high-io",
    "u0",
    "user:u0",
    "pool",
    "all",
    "1",
    "1/1",
    "name=node-*",
    "tag=a",
    "a & b",
    "(((",
    "!!",
    "2s",
    "-1s",
    "../../etc/passwd",
    "/",
    ".",
    "..",
    "a/b",
    "a\0b",
    "\u{202e}",
    "é",
    "%s%n",
    "'; drop table jobs; --",
    "muster.v1.>",
    "*",
    " ",
    "\n",
    "18446744073709551615",
    "sha256:00",
    "crash",
    "6.1.0-rc1",
    "disk0",
    "eth0",
    "ssh-ed25519 AAAA",
    "muster.v1.JobEvent",
    "muster.v1.MachineEvent",
    "muster.v1.ReservationEvent",
];
/// Counts, numbers of jobs and reservations, and an hour.
const SENSIBLE_NUMBERS: &[i64] = &[0, 1, 2, 3, 3_600_000_000_000];
const NUMBERS: &[i64] = &[
    0,
    1,
    2,
    3,
    7,
    8,
    100,
    255,
    256,
    1_000,
    65_535,
    1 << 31,
    (1 << 32) - 1,
    1_000_000_000,
    3_600_000_000_000,
    i64::MAX,
    i64::MIN,
    -1,
];

/// Where messages come from.
#[derive(Debug)]
pub struct Wild {
    pub(super) random: Random,
    is_sensible: bool,
}

impl Wild {
    /// A source that gives the same messages for the same seed.
    #[must_use]
    pub fn new(random: Random) -> Self {
        Self { random, is_sensible: false }
    }

    /// A message of this type (`JobEvent`), encoded; where `body` names one, an envelope with that body.
    ///
    /// # Panics
    /// Where there is no such type or body.
    pub fn message(&mut self, message: &str, body: Option<&str>) -> Vec<u8> {
        let descriptor = of_wire(message);
        self.is_sensible = self.random.happens(SENSIBLE);
        let mut made = self.made(&descriptor, 0);
        if let Some(body) = body {
            let field = descriptor.get_field_by_name(body).expect("it is a body");
            let value = self.value(&field.kind(), 1);
            made.set_field(&field, value);
            // Who answers looks at who asks; some of the time that is right.
            for (name, known) in [("source", "node-1"), ("actor", "u0")] {
                if let Some(field) = descriptor.get_field_by_name(name).filter(|_| self.random.happens(700)) {
                    made.set_field(&field, Value::String(known.into()));
                }
            }
            if let Some(field) = descriptor.get_field_by_name("cmd_id").filter(|_| self.random.happens(900)) {
                made.set_field(&field, Value::Bytes(vec![7; 16].into()));
            }
        }
        made.encode_to_vec()
    }

    /// Bytes that were to be an envelope with this body, and are no message at all.
    ///
    /// # Panics
    /// Where there is no such body.
    pub fn no_message(&mut self, body: &str) -> Vec<u8> {
        let whole = self.message("Envelope", Some(body));
        let mut bytes = bend::bent(whole, &mut self.random);
        if muster_proto::v1::Envelope::decode(&*bytes).is_ok() {
            bytes.extend(bend::ENDLESS);
        }
        bytes
    }

    /// Bodies that an envelope can have.
    pub fn bodies() -> Vec<String> {
        let envelope = of_wire("Envelope");
        let body = envelope.oneofs().find(|oneof| oneof.name() == "body");
        body.expect("an envelope has a body").fields().map(|field| field.name().to_owned()).collect()
    }

    fn made(&mut self, descriptor: &MessageDescriptor, depth: usize) -> DynamicMessage {
        let mut made = DynamicMessage::new(descriptor.clone());
        for oneof in descriptor.oneofs() {
            let arms: Vec<FieldDescriptor> = oneof.fields().collect();
            let arm = &arms[self.random.index(arms.len())];
            if depth < DEPTH_MAX && !self.random.happens(100) {
                self.fill(&mut made, arm, depth);
            }
        }
        for field in descriptor.fields().filter(|field| field.containing_oneof().is_none()) {
            let is_message = matches!(field.kind(), Kind::Message(_));
            let left_out = if self.is_sensible && is_message { SENSIBLE_LEFT_OUT } else { LEFT_OUT };
            let is_left_out = self.random.happens(left_out) || (is_message && depth >= DEPTH_MAX);
            if !is_left_out {
                self.fill(&mut made, &field, depth);
            }
        }
        made
    }

    fn fill(&mut self, made: &mut DynamicMessage, field: &FieldDescriptor, depth: usize) {
        let kind = field.kind();
        let value = if field.is_map() {
            let Kind::Message(entry) = &kind else { return };
            let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
            let count = self.random.index(3);
            Value::Map((0..count).map(|_| (self.key(&key), self.value(&value, depth + 1))).collect())
        } else if field.is_list() {
            let count = self.random.index(4);
            let is_event = field.full_name() == EVENTS;
            let value = |wild: &mut Self| if is_event { wild.event() } else { wild.value(&kind, depth + 1) };
            Value::List((0..count).map(|_| value(self)).collect())
        } else {
            self.value(&kind, depth + 1)
        };
        made.set_field(field, value);
    }

    /// An encoded event of some log.
    fn event(&mut self) -> Value {
        let of = ["JobEvent", "MachineEvent", "ReservationEvent"][self.random.index(3)];
        let descriptor = of_wire(of);
        Value::Bytes(self.made(&descriptor, 0).encode_to_vec().into())
    }

    fn key(&mut self, kind: &Kind) -> MapKey {
        match kind {
            Kind::String => MapKey::String(self.word()),
            Kind::Bool => MapKey::Bool(self.random.happens(500)),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => MapKey::I32(self.number() as i32),
            Kind::Uint32 | Kind::Fixed32 => MapKey::U32(self.number() as u32),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => MapKey::I64(self.number()),
            _ => MapKey::U64(self.number() as u64),
        }
    }

    fn value(&mut self, kind: &Kind, depth: usize) -> Value {
        match kind {
            Kind::Double => Value::F64(self.float()),
            Kind::Float => Value::F32(self.float() as f32),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(self.number() as i32),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(self.number()),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(self.number() as u32),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(self.number() as u64),
            Kind::Bool => Value::Bool(self.random.happens(500)),
            Kind::String => Value::String(self.word()),
            Kind::Bytes => Value::Bytes(self.bytes().into()),
            Kind::Message(inner) => Value::Message(self.made(inner, depth)),
            Kind::Enum(inner) => Value::EnumNumber(self.variant(inner)),
        }
    }

    /// Mostly one that is known.
    fn variant(&mut self, of: &EnumDescriptor) -> i32 {
        if !self.is_sensible && self.random.happens(50) {
            return self.number() as i32;
        }
        let known: Vec<i32> = of.values().map(|value| value.number()).collect();
        known[self.random.index(known.len())]
    }

    fn number(&mut self) -> i64 {
        if self.is_sensible {
            return SENSIBLE_NUMBERS[self.random.index(SENSIBLE_NUMBERS.len())];
        }
        match self.random.below(4) {
            0 => self.random.below(u64::MAX) as i64,
            1 => self.random.below(4) as i64,
            _ => NUMBERS[self.random.index(NUMBERS.len())],
        }
    }

    fn float(&mut self) -> f64 {
        const FLOATS: &[f64] = &[0.0, -0.0, 1.0, -1.0, 0.5, 1e308, -1e308, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        FLOATS[self.random.index(FLOATS.len())]
    }

    fn word(&mut self) -> String {
        if self.is_sensible {
            return WORDS[self.random.index(SENSIBLE_WORDS)].to_owned();
        }
        let word = WORDS[self.random.index(WORDS.len())];
        if self.random.happens(10) { word.repeat(1 + self.random.index(2_000)) } else { word.to_owned() }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = [0, 16, 16, 32, 32, 32, 33, 1_000][self.random.index(8)];
        let byte = self.random.below(256) as u8;
        vec![byte; length]
    }
}

fn of_wire(message: &str) -> MessageDescriptor {
    schema().get_message_by_name(&format!("muster.v1.{message}")).expect("it is a type of the wire")
}
