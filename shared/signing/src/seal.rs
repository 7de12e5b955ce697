//! The form of a signed message: the exact bytes of an envelope, and behind them its last field, the signature. Who knows nothing of
//! signatures decodes it as the envelope that it is.

use bytes::Bytes;
use muster_proto::v1::{Envelope, KeyChange, Signature};
use prost::Message;

use crate::statement;
use crate::{Signer, SigningKey};

/// Who signs, for which machine.
#[derive(Debug, Clone, Copy)]
pub struct Seal<'a> {
    /// Its key.
    pub key: &'a SigningKey,
    /// The service.
    pub signer: Signer,
    /// How its keys changed.
    pub changes: &'a [KeyChange],
    /// The machine that is told.
    pub machine: &'a str,
    /// Rises with every message of a process.
    pub number: u64,
}

/// Signs the bytes of an envelope, and puts the signature behind them.
#[must_use]
pub fn seal(mut content: Vec<u8>, seal: Seal<'_>) -> Bytes {
    let signature = seal.key.sign(&statement::message(seal.signer, seal.machine, seal.number, &content));
    let signature = Signature {
        key: seal.key.public().to_owned(),
        number: seal.number,
        signature: signature.into(),
        changes: seal.changes.to_vec(),
    };
    content.extend(closing(&signature));
    content.into()
}

/// What was signed of a payload that closes with `signature`; none where it closes with anything else.
#[must_use]
pub fn content<'a>(payload: &'a [u8], signature: &Signature) -> Option<&'a [u8]> {
    payload.strip_suffix(closing(signature).as_slice())
}

/// The field of an envelope that the signature is.
fn closing(signature: &Signature) -> Vec<u8> {
    Envelope { signature: Some(signature.clone()), ..Envelope::default() }.encode_to_vec()
}
