//! How the keys of a service change where nobody goes to the machines: a key that is pinned there takes another one in, or out.

use muster_proto::v1::KeyChange;

use crate::statement;
use crate::{PublicKey, Signer, SigningKey};

/// Changes that go with a message at most: an agent that was away for longer needs a new file.
pub const CHANGES_MAX: usize = 16;

/// Takes a key of a service in, or out, in the name of another one.
#[must_use]
pub fn change(signer: Signer, by: &SigningKey, key: &str, ends: bool) -> KeyChange {
    let signature = by.sign(&statement::change(signer, key, ends)).into();
    KeyChange { key: key.to_owned(), by: by.public().to_owned(), ends, signature }
}

/// The keys after a change; none where it changes nothing, because `by` is not among them or it is done already.
///
/// # Errors
/// When it is not what it says that it is.
pub(crate) fn changed(keys: &[PublicKey], signer: Signer, change: &KeyChange) -> Result<Option<Vec<PublicKey>>, ()> {
    let Some(by) = keys.iter().find(|key| key.as_str() == change.by) else { return Ok(None) };
    let is_there = keys.iter().any(|key| key.as_str() == change.key);
    if is_there != change.ends {
        return Ok(None);
    }
    if !by.has_signed(&statement::change(signer, &change.key, change.ends), &change.signature) {
        return Err(());
    }
    if change.ends {
        return Ok(Some(keys.iter().filter(|key| key.as_str() != change.key).cloned().collect()));
    }
    let key = PublicKey::parse(&change.key).map_err(|_| ())?;
    Ok(Some(keys.iter().cloned().chain([key]).collect()))
}
