//! One message of a decision log as bytes: how a turn is sealed, and what an opened one holds.
//!
//! Responsible for hashes, compression and decoding. Not for whether a message belongs where it stands (`fold`).

use std::io::Read;

use bytes::Bytes;
use muster_bus::{Authority, Bus};
use muster_model::{PoolTime, Position, Term};
use muster_proto::v1::{Compression, Entry, Envelope, Turn, TurnBlock, envelope::Body};
use prost::Message;

/// BLAKE3 of a payload.
pub type Hash = [u8; 32];

/// What stands as the predecessor of the first message of a lineage.
pub(crate) const NO_HASH: Hash = [0; 32];
/// Greatest size of a turn's block as it is sent, bytes.
pub(crate) const BLOCK_MAX: usize = 512 * 1024;
/// Greatest size of a block unpacked, bytes: a damaged header must not make us allocate more.
const UNPACKED_MAX: u64 = 64 << 20;
/// Blocks below this are sent as they are, bytes.
const COMPRESS_FROM: usize = 1024;
/// Speed before ratio: the turn waits for it.
const COMPRESSION_LEVEL: i32 = 1;

/// Hash of a payload.
pub(crate) fn hash(payload: &[u8]) -> Hash {
    *blake3::hash(payload).as_bytes()
}

/// What identifies a message that is to be appended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Its own position.
    pub(crate) position: Position,
    /// Hash of its predecessor.
    pub(crate) previous: Hash,
    /// Term of its leader.
    pub(crate) term: Term,
}

/// A message of a log, opened.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Where it says that it stands.
    pub(crate) place: Place,
    /// Its entries.
    pub(crate) entries: Vec<Entry>,
    /// Type name of its events.
    pub(crate) event_type: String,
    /// Its own hash.
    pub(crate) hash: Hash,
}

impl Opened {
    /// When the turn was begun: the time of its first entry.
    pub(crate) fn begun(&self) -> Option<PoolTime> {
        self.entries.first().map(|entry| PoolTime(entry.time_ns))
    }
}

/// Size of a block as it would be sent.
pub(crate) fn packed_size(block: &[u8]) -> usize {
    pack(block).map_or(block.len(), |packed| packed.len())
}

/// Makes an envelope around a body: with an id, a source and a time of its own.
pub type Blank<'a> = &'a dyn Fn(Body, Authority) -> Envelope;

/// Envelopes of a connection.
pub(crate) fn blank(bus: &Bus) -> impl Fn(Body, Authority) -> Envelope {
    |body, authority| bus.envelope(body, authority)
}

/// Encodes a message around a block of entries.
pub(crate) fn seal(blank: Blank<'_>, place: Place, event_type: &str, block: Vec<u8>) -> Bytes {
    let (compression, block) = match pack(&block) {
        Some(packed) => (Compression::Zstd, packed),
        None => (Compression::Unspecified, block),
    };
    let turn = Turn {
        previous_hash: Bytes::copy_from_slice(&place.previous),
        event_type: event_type.to_owned(),
        compression: compression.into(),
        block: block.into(),
    };
    let authority = Authority { position: place.position, term: place.term, ..Authority::default() };
    blank(Body::Turn(turn), authority).encode_to_vec().into()
}

/// Opens a message.
///
/// # Errors
/// Says what can not be decoded.
pub(crate) fn open(payload: &Bytes) -> Result<Opened, String> {
    let hash = hash(payload);
    let envelope = Envelope::decode(payload.clone()).map_err(|error| error.to_string())?;
    let place = Place {
        position: Position::new(envelope.lineage, envelope.sequence),
        term: Term(envelope.term),
        previous: NO_HASH,
    };
    let Some(Body::Turn(turn)) = envelope.body else { return Err("it is not a turn".into()) };
    let previous = Hash::try_from(turn.previous_hash.as_ref()).map_err(|_| "its predecessor's hash is not 32 bytes")?;
    let entries = open_block(&turn)?.entries;
    Ok(Opened { place: Place { previous, ..place }, entries, event_type: turn.event_type, hash })
}

/// The entries of a turn, unpacked.
///
/// # Errors
/// Says what can not be decoded.
pub fn open_block(turn: &Turn) -> Result<TurnBlock, String> {
    let block = match Compression::try_from(turn.compression) {
        Ok(Compression::Unspecified) => turn.block.clone(),
        Ok(Compression::Zstd) => unpack(&turn.block)?,
        Err(_) => return Err(format!("compression {} is not known here", turn.compression)),
    };
    TurnBlock::decode(block).map_err(|error| format!("decode the block: {error}"))
}

fn pack(block: &[u8]) -> Option<Vec<u8>> {
    if block.len() < COMPRESS_FROM {
        return None;
    }
    let packed = zstd::bulk::compress(block, COMPRESSION_LEVEL).ok()?;
    (packed.len() < block.len()).then_some(packed)
}

/// Reads no more than may be there, whatever the block says of its size.
fn unpack(block: &[u8]) -> Result<Bytes, String> {
    let failed = |error: std::io::Error| format!("decompress the block: {error}");
    let mut unpacked = Vec::new();
    let reader = zstd::stream::read::Decoder::with_buffer(block).map_err(failed)?;
    reader.take(UNPACKED_MAX + 1).read_to_end(&mut unpacked).map_err(failed)?;
    if unpacked.len() as u64 > UNPACKED_MAX {
        return Err(format!("the block is larger than {UNPACKED_MAX} bytes"));
    }
    Ok(unpacked.into())
}
