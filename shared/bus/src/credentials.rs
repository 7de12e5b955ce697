//! The file by which a process shows who it is: an identity, and the seed of its key. The seed is read for each connection and kept
//! nowhere else, so a file that was replaced counts from the next connection.
//!
//! The form is one that other NATS tools take too: `nats --nkey FILE --inbox-prefix _INBOX.user.anna`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use nkeys::KeyPair;

use crate::{Identity, secret_file};

/// A file that is larger holds no credentials.
const FILE_BYTES_MAX: u64 = 4_096;
/// Stands before the identity.
const IDENTITY: &str = "identity ";

/// How a process comes onto the bus.
#[derive(Debug, Clone)]
pub enum Access {
    /// With a key; a server without authentication is refused.
    Credentials(Credentials),
    /// Without any, to whatever server answers: for a lab on one host.
    InsecureLocal,
}

impl Access {
    /// What follows from what a process was told.
    ///
    /// # Errors
    /// When it was told nothing, or both, or the file can not be used.
    pub fn new(credentials: Option<&Path>, insecure_local: bool) -> Result<Self, CredentialsError> {
        match (credentials, insecure_local) {
            (Some(_), true) => Err(CredentialsError::Both),
            (Some(path), false) => Credentials::open(path).map(Self::Credentials),
            (None, true) => Ok(Self::InsecureLocal),
            (None, false) => Err(CredentialsError::Neither),
        }
    }

    /// Who it is; nobody in particular without credentials.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Credentials(credentials) => Some(credentials.identity()),
            Self::InsecureLocal => None,
        }
    }
}

/// A file of credentials that was found in order. It does not hold the seed.
#[derive(Debug, Clone)]
pub struct Credentials {
    path: PathBuf,
    identity: Identity,
}

/// Credentials can not be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Nothing was said of how to come onto the bus.
    #[error(
        "come onto the bus without credentials; give --credentials FILE or MUSTER_CREDENTIALS, or say --insecure-local where nobody else reaches the server"
    )]
    Neither,
    /// Both were said.
    #[error("use --credentials together with --insecure-local; say one of them")]
    Both,
    /// The file can not be read or written.
    #[error("use the credentials {path}: {reason}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not; it never holds any of the content.
        reason: String,
    },
}

impl Credentials {
    /// Looks at a file.
    ///
    /// # Errors
    /// When it can not be read, is open to others than its owner and group, or holds no credentials.
    pub fn open(path: &Path) -> Result<Self, CredentialsError> {
        let (identity, _) = read(path)?;
        Ok(Self { path: path.to_owned(), identity })
    }

    /// Makes a new key for an identity, and writes its file, readable by its owner alone. A file that is there is replaced as a
    /// whole.
    ///
    /// # Errors
    /// When the file can not be written.
    pub fn make(path: &Path, identity: Identity) -> Result<Self, CredentialsError> {
        Self::make_with(path, identity, "")
    }

    /// The same with more lines in the file, for who it is given to: a token has the keys by which a machine knows its services.
    ///
    /// # Errors
    /// As [`Credentials::make`].
    pub fn make_with(path: &Path, identity: Identity, more: &str) -> Result<Self, CredentialsError> {
        let seed = KeyPair::new_user().seed().map_err(|error| wrong(path, error))?;
        let mut text = String::new();
        let _ = writeln!(text, "# Credentials of {identity} in a pool of Muster. Who has this file is {identity}.");
        let _ = write!(text, "{IDENTITY}{identity}\n{seed}\n{more}");
        secret_file::write(path, &text).map_err(|error| wrong(path, error))?;
        Ok(Self { path: path.to_owned(), identity })
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The public half of the key, which the servers know it by.
    ///
    /// # Errors
    /// As [`Credentials::open`].
    pub fn public_key(&self) -> Result<String, CredentialsError> {
        Ok(read(&self.path)?.1.public_key())
    }

    /// Public key and signature under what a server asks to be signed.
    pub(crate) fn sign(&self, nonce: &[u8]) -> Result<(String, Vec<u8>), CredentialsError> {
        let key = read(&self.path)?.1;
        let signature = key.sign(nonce).map_err(|error| wrong(&self.path, error))?;
        Ok((key.public_key(), signature))
    }
}

/// Whether a text is the public key of an identity.
#[must_use]
pub fn is_public_key(text: &str) -> bool {
    text.starts_with('U') && KeyPair::from_public_key(text).is_ok()
}

fn read(path: &Path) -> Result<(Identity, KeyPair), CredentialsError> {
    let text = secret_file::read(path, FILE_BYTES_MAX).map_err(|reason| wrong(path, reason))?;
    let identity = text.lines().find_map(|line| line.strip_prefix(IDENTITY));
    let identity = identity.ok_or_else(|| wrong(path, "it names no identity"))?;
    let identity = identity.trim().parse().map_err(|error| wrong(path, error))?;
    let seed = text.lines().map(str::trim).find(|line| line.starts_with("SU"));
    let seed = seed.ok_or_else(|| wrong(path, "it holds no seed of a user's key"))?;
    let key = KeyPair::from_seed(seed).map_err(|_| wrong(path, "its seed is damaged"))?;
    Ok((identity, key))
}

fn wrong(path: &Path, reason: impl std::fmt::Display) -> CredentialsError {
    CredentialsError::File { path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_was_made_is_found_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("anna.key");
        let made = Credentials::make(&path, "user/anna".parse().expect("valid")).expect("made");
        let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let found = Credentials::open(&path).expect("in order");
        assert_eq!(found.identity(), made.identity());
        let key = found.public_key().expect("it has a key");
        assert!(is_public_key(&key) && !is_public_key("UABC") && !is_public_key(""));
        let (signer, signature) = found.sign(b"nonce").expect("signed");
        assert_eq!(signer, key);
        KeyPair::from_public_key(&key).expect("a key").verify(b"nonce", &signature).expect("its own signature");
    }

    #[test]
    fn a_rotated_file_counts_for_who_opened_it_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("anna.key");
        let identity: Identity = "user/anna".parse().expect("valid");
        let opened = Credentials::make(&path, identity.clone()).expect("made");
        let before = opened.public_key().expect("a key");
        Credentials::make(&path, identity).expect("made again");
        assert_ne!(opened.public_key().expect("a key"), before);
    }

    #[test]
    fn what_others_may_read_or_is_no_credential_is_refused_without_showing_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("anna.key");
        Credentials::make(&path, "user/anna".parse().expect("valid")).expect("made");
        let seed = std::fs::read_to_string(&path).expect("readable").lines().last().expect("lines").to_owned();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("opened up");
        let refused = Credentials::open(&path).expect_err("too open").to_string();
        assert!(refused.contains("chmod 600") && !refused.contains(&seed), "{refused}");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("closed");
        let half = &seed[..20];
        for text in
            ["", "identity user/anna\n", &format!("identity user/>\n{seed}\n"), &format!("identity user/anna\n{half}")]
        {
            std::fs::write(&path, text).expect("written");
            let refused = Credentials::open(&path).expect_err("no credentials").to_string();
            assert!(!refused.contains(half), "{refused}");
        }
    }

    #[test]
    fn nothing_said_is_refused() {
        assert!(matches!(Access::new(None, false), Err(CredentialsError::Neither)));
        assert!(matches!(Access::new(Some(Path::new("x")), true), Err(CredentialsError::Both)));
        assert!(matches!(Access::new(None, true), Ok(Access::InsecureLocal)));
    }
}
