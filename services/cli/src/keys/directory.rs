//! The directory with the keys of a pool: `identities.toml`, `authorization.conf` for the servers, a file of credentials for each
//! identity whose key was made here, the signing keys of services, and `signers` for machines. Changes are whole or not at all, and one
//! at a time.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use jiff::Timestamp;
use muster_bus::permissions::Member;
use muster_bus::subjects::Service;
use muster_bus::{Credentials, Identity, SigningFile, signer_of};
use muster_model::{Refusal, RefusalCode};
use muster_signing::{Pins, PublicKey};
use rustix::fs::{FlockOperation, flock};

use super::{Entry, Register};
use crate::exit::Failure;

const REGISTER: &str = "identities.toml";
const AUTHORIZATION: &str = "authorization.conf";
const SIGNERS: &str = "signers";

/// The directory, held until dropped: nobody else changes it meanwhile.
pub(crate) struct Directory {
    path: PathBuf,
    register: Register,
    _lock: File,
}

impl Directory {
    /// Makes a directory for a new pool.
    ///
    /// # Errors
    /// Refused where one is there already.
    pub(crate) fn make(path: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(path).with_context(|| format!("make {}", path.display()))?;
        let lock = lock(path)?;
        if path.join(REGISTER).exists() {
            let what = format!("make keys in {}", path.display());
            let next = "`muster admin identities` lists them; name another directory for another pool";
            return Err(Refusal::new(RefusalCode::Refused, what, "it holds the keys of a pool", next).into());
        }
        Ok(Self { path: path.to_owned(), register: Register::default(), _lock: lock })
    }

    /// Opens the directory of a pool.
    ///
    /// # Errors
    /// When there is none, or its register is damaged.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        if !path.join(REGISTER).exists() {
            let what = format!("use the keys in {}", path.display());
            let next = "name the directory with --keys, or make one with `muster admin init --keys DIR`";
            return Err(Refusal::new(RefusalCode::NotFound, what, "there are none", next).into());
        }
        let lock = lock(path)?;
        let file = path.join(REGISTER);
        let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let register = Register::parse(&text).with_context(|| format!("read {}", file.display()))?;
        Ok(Self { path: path.to_owned(), register, _lock: lock })
    }

    /// Who belongs to the pool.
    pub(crate) fn register(&self) -> &Register {
        &self.register
    }

    /// Where the credentials of an identity are, if they were made here.
    pub(crate) fn credentials(&self, identity: &Identity) -> PathBuf {
        self.path.join(format!("{}-{}.key", identity.kind(), identity.name()))
    }

    /// The part of the servers' configuration that is kept here.
    pub(crate) fn authorization(&self) -> PathBuf {
        self.path.join(AUTHORIZATION)
    }

    /// Where the key is with which a service signs what it tells agents; none for who tells them nothing.
    pub(crate) fn signing_key(&self, identity: &Identity) -> Option<PathBuf> {
        let Identity::Service(service) = identity else { return None };
        signer_of(*service).map(|signer| self.path.join(format!("service-{}.sign", signer.as_str())))
    }

    /// The file by which machines know their services: for `muster-agent --signers FILE`.
    pub(crate) fn signers_file(&self) -> PathBuf {
        self.path.join(SIGNERS)
    }

    /// The public keys by which machines know their services, as text; services without a signing key are left out.
    ///
    /// # Errors
    /// When a signing key can not be used.
    pub(crate) fn signers(&self) -> Result<String, Failure> {
        let mut pins = Pins::default();
        for path in Service::ALL.into_iter().filter_map(|service| self.signing_key(&Identity::Service(service))) {
            if path.exists() {
                let file = SigningFile::open(&path).context("read a signing key")?;
                for key in file.accepted() {
                    pins.add(file.signer(), PublicKey::parse(&key).context("read a signing key")?);
                }
            }
        }
        Ok(pins.print())
    }

    /// Gives a service a signing key, or another one; the former keeps counting until [`Directory::retire`].
    fn change_signing_key(&self, identity: &Identity) -> Result<(), Failure> {
        let (Some(path), Identity::Service(service)) = (self.signing_key(identity), identity) else { return Ok(()) };
        let changed = match signer_of(*service) {
            Some(signer) if !path.exists() => SigningFile::make(&path, signer),
            _ => SigningFile::rotate(&path),
        };
        Ok(changed.context("change a signing key")?)
    }

    /// Has agents take nothing more by the former signing keys of a service; gives how many those are.
    ///
    /// # Errors
    /// Refused where it has no signing key here.
    pub(crate) fn retire(&self, identity: &Identity) -> Result<usize, Failure> {
        match self.signing_key(identity).filter(|path| path.exists()) {
            Some(path) => Ok(SigningFile::retire(&path).context("retire former signing keys")?),
            None => {
                let what = format!("retire the former signing keys of {identity}");
                let next = "services that command agents have one: service/scheduler, service/machine-lifecycle";
                Err(Refusal::new(RefusalCode::Refused, what, "it has no signing key here", next).into())
            }
        }
    }

    /// Takes a member in with a key that it made.
    ///
    /// # Errors
    /// The register's refusal.
    pub(crate) fn add(&mut self, member: Member, key: String, until: Option<Timestamp>) -> Result<(), Failure> {
        Ok(self.register.add(Entry { member, key, since: Timestamp::now(), until })?)
    }

    /// Takes a member in with a key that is made here, and kept in its file.
    ///
    /// # Errors
    /// The register's refusal, before anything is written.
    pub(crate) fn add_made(&mut self, member: Member) -> Result<PathBuf, Failure> {
        let identity = member.identity.clone();
        self.register.check_absent(&identity)?;
        let file = self.credentials(&identity);
        let key = Credentials::make(&file, identity.clone())?.public_key()?;
        self.add(member, key, None)?;
        self.change_signing_key(&identity)?;
        Ok(file)
    }

    /// Puts one out.
    ///
    /// # Errors
    /// The register's refusal.
    pub(crate) fn remove(&mut self, identity: &Identity) -> Result<(), Failure> {
        self.register.remove(identity)?;
        Ok(())
    }

    /// Deletes the credentials of who was put out; they may never have been here.
    pub(crate) fn delete_credentials(&self, identity: &Identity) {
        let _ = std::fs::remove_file(self.credentials(identity));
        if let Some(signing_key) = self.signing_key(identity) {
            let _ = std::fs::remove_file(signing_key);
        }
    }

    /// Gives an identity a new key, in its file, and a service that commands agents a new signing key too.
    ///
    /// # Errors
    /// Refused where it does not belong to the pool, or has made its key itself.
    pub(crate) fn rotate(&mut self, identity: &Identity) -> Result<PathBuf, Failure> {
        let what = || format!("change the key of {identity}");
        let file = self.credentials(identity);
        self.register.check_present(identity, &what())?;
        if !file.exists() {
            let next = format!("revoke {identity} and let it in with another key");
            return Err(Refusal::new(RefusalCode::Refused, what(), "its key was not made here", next).into());
        }
        let key = Credentials::make(&file, identity.clone())?.public_key()?;
        self.register.change_key(identity, key, Timestamp::now())?;
        self.change_signing_key(identity)?;
        Ok(file)
    }

    /// Writes the register, the configuration of the servers, and what machines know their services by.
    ///
    /// # Errors
    /// When a file can not be written.
    pub(crate) fn save(&mut self) -> Result<(), Failure> {
        self.register.forget_expired(Timestamp::now());
        write(&self.path.join(REGISTER), &self.register.print()?)?;
        write(&self.authorization(), &self.register.configuration())?;
        let about =
            "# By which keys a machine knows its services: muster-agent --signers FILE. Written by `muster admin`.";
        write(&self.signers_file(), &format!("{about}\n{}", self.signers()?))?;
        Ok(())
    }
}

fn lock(path: &Path) -> anyhow::Result<File> {
    let file = File::create(path.join("lock")).with_context(|| format!("write in {}", path.display()))?;
    flock(&file, FlockOperation::LockExclusive).with_context(|| format!("lock {}", path.display()))?;
    Ok(file)
}

/// Replaces a file as a whole: a server that reads it meanwhile reads the one or the other. A link, to where the servers have their
/// configuration, is kept, and what it leads to is replaced.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let place = std::fs::read_link(path).map_or_else(|_| path.to_owned(), |to| path.with_file_name(to));
    let path = place.as_path();
    let fresh = path.with_extension("new");
    let written =
        File::create(&fresh).and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.and_then(|()| std::fs::rename(&fresh, path)).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_the_servers_configuration_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let (link, other) = (folder.path().join(AUTHORIZATION), folder.path().join("nats.conf"));
        for to in [other.as_path(), Path::new("nats.conf")] {
            std::os::unix::fs::symlink(to, &link).expect("linked");
            for text in ["one", "another"] {
                write(&link, text).expect("written");
                assert_eq!(std::fs::read_to_string(&other).expect("there"), text);
            }
            assert!(link.is_symlink());
            std::fs::remove_file(&link).expect("removed");
        }
    }
}
