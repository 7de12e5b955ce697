//! The bytes that are signed: a domain, then fields, each after its length, so that no two statements of any kinds are the same bytes.

use crate::Signer;

const MESSAGE: &[u8] = b"muster.v1 message to an agent";
const CHANGE: &[u8] = b"muster.v1 change of a signing key";

/// That a service says `content` to a machine.
pub(crate) fn message(signer: Signer, machine: &str, number: u64, content: &[u8]) -> Vec<u8> {
    statement(&[MESSAGE, signer.as_str().as_bytes(), machine.as_bytes(), &number.to_be_bytes(), content])
}

/// That a service's key is taken in, or out.
pub(crate) fn change(signer: Signer, key: &str, ends: bool) -> Vec<u8> {
    statement(&[CHANGE, signer.as_str().as_bytes(), key.as_bytes(), &[u8::from(ends)]])
}

fn statement(fields: &[&[u8]]) -> Vec<u8> {
    let size = fields.iter().map(|field| size_of::<u64>() + field.len()).sum();
    let mut bytes = Vec::with_capacity(size);
    for field in fields {
        bytes.extend((field.len() as u64).to_be_bytes());
        bytes.extend(*field);
    }
    bytes
}
