//! Tokens of processes: who shows one speaks for that process. They follow from a secret of this machine that is made once, so that no
//! restart of the agent takes them back and none is kept.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use muster_model::ProcessId;

use super::atomic;
use crate::names::name_of;

/// What the secret is called, below the state directory.
const SECRET: &str = "secret/tokens";

/// Makes and checks tokens.
#[derive(Clone)]
pub(crate) struct Tokens {
    secret: [u8; 32],
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// Reads the secret, or makes it.
    ///
    /// # Errors
    /// When it can neither be read nor written.
    pub(crate) fn open(state: &Path) -> io::Result<Self> {
        let path = state.join(SECRET);
        if let Some(secret) = std::fs::read(&path).ok().and_then(|read| read.try_into().ok()) {
            return Ok(Self { secret });
        }
        let secret: [u8; 32] = rand::random();
        if let Some(directory) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        atomic::write(&path, &secret)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { secret })
    }

    /// The token of one attempt of a process.
    pub(crate) fn token_of(&self, id: ProcessId) -> String {
        blake3::keyed_hash(&self.secret, name_of(id).as_bytes()).to_hex().to_string()
    }

    /// Whether a token is that of a process; takes as long however wrong it is.
    pub(crate) fn is_of(&self, id: ProcessId, token: &str) -> bool {
        let expected = blake3::keyed_hash(&self.secret, name_of(id).as_bytes());
        blake3::Hash::from_hex(token).is_ok_and(|shown| shown == expected)
    }
}

#[cfg(test)]
mod tests {
    use muster_model::{Attempt, Dpid, JobNumber, ProcessNumber, RunId};

    use super::*;

    #[test]
    fn a_token_is_of_one_attempt_on_one_machine_and_survives_a_restart() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let dpid = Dpid { job: JobNumber(1), process: ProcessNumber(2) };
        let id = ProcessId { run: RunId(1), dpid, attempt: Attempt(1) };
        let tokens = Tokens::open(here.path()).unwrap();
        let token = tokens.token_of(id);
        assert!(tokens.is_of(id, &token));
        assert!(Tokens::open(here.path()).unwrap().is_of(id, &token), "the secret is kept");
        assert!(!tokens.is_of(ProcessId { attempt: Attempt(2), ..id }, &token));
        assert!(!Tokens::open(there.path()).unwrap().is_of(id, &token), "every machine has its own");
        assert!(!tokens.is_of(id, "") && !tokens.is_of(id, &token[1..]));
        let mode = std::fs::metadata(here.path().join(SECRET)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
