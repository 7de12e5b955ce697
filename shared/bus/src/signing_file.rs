//! The file by which a service that commands agents signs what it tells them. The servers know nothing of it. A file that was replaced
//! counts from the next second on, for as long as the process lives.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use muster_model::MachineId;
use muster_proto::v1::KeyChange;
use muster_signing::{CHANGES_MAX, Seal, Signer, SigningKey, change, seal};
use prost::Message;

use crate::secret_file;
use crate::subjects::Service;

/// A file that is larger holds no signing key.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Stands before the service.
const SIGNS: &str = "signs ";
/// Stands before each change of its keys.
const CHANGE: &str = "change ";
/// The file is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The signer that a service is; none where it commands no agent.
#[must_use]
pub fn signer_of(service: Service) -> Option<Signer> {
    Signer::parse(service.as_str())
}

/// A signing key can not be used.
#[derive(Debug, thiserror::Error)]
#[error("use the signing key {path}: {reason}")]
pub struct SigningError {
    /// Which file.
    path: PathBuf,
    /// Why not; it never holds any of the content.
    reason: String,
}

/// A file with a signing key, in use.
#[derive(Debug)]
pub struct SigningFile {
    path: PathBuf,
    signer: Signer,
    held: Mutex<Held>,
    /// Number of the next message.
    next: AtomicU64,
}

#[derive(Debug)]
struct Held {
    content: Content,
    /// By what a replaced file is told from the one that was read.
    stamp: (u64, i64, i64),
    looked: Instant,
}

/// What is in the file.
#[derive(Debug)]
struct Content {
    signer: Signer,
    key: SigningKey,
    /// How the service's keys changed, the oldest first.
    changes: Vec<KeyChange>,
}

impl SigningFile {
    /// Looks at a file, and takes its key.
    ///
    /// # Errors
    /// When it can not be read, is open to others than its owner and group, or holds no signing key.
    pub fn open(path: &Path) -> Result<Self, SigningError> {
        let stamp = stamp(path)?;
        let content = Content::read(path)?;
        let signer = content.signer;
        let held = Mutex::new(Held { content, stamp, looked: Instant::now() });
        Ok(Self { path: path.to_owned(), signer, held, next: AtomicU64::new(1) })
    }

    /// Makes a new key for a service, and writes its file, readable by its owner alone. Agents that have pinned another one know nothing of it.
    ///
    /// # Errors
    /// When the file can not be written.
    pub fn make(path: &Path, signer: Signer) -> Result<(), SigningError> {
        Content { signer, key: SigningKey::make(), changes: Vec::new() }.write(path)
    }

    /// Gives the service another key, which its present one vouches for: agents that have pinned that take the new one from it, and
    /// keep the former.
    ///
    /// # Errors
    /// As [`SigningFile::open`], or when the file can not be written.
    pub fn rotate(path: &Path) -> Result<(), SigningError> {
        let Content { signer, key: former, changes } = Content::read(path)?;
        let key = SigningKey::make();
        let taken_in = change(signer, &former, key.public(), false);
        Content { signer, key, changes: with(changes, [taken_in]) }.write(path)
    }

    /// Has agents take nothing more by the service's former keys; gives how many those are.
    ///
    /// # Errors
    /// As [`SigningFile::rotate`].
    pub fn retire(path: &Path) -> Result<usize, SigningError> {
        let Content { signer, key, changes } = Content::read(path)?;
        let former = accepted(&key, &changes).into_iter().filter(|accepted| accepted != key.public());
        let ended: Vec<KeyChange> = former.map(|former| change(signer, &key, &former, true)).collect();
        let count = ended.len();
        if count > 0 {
            Content { signer, key, changes: with(changes, ended) }.write(path)?;
        }
        Ok(count)
    }

    /// Public keys by which agents that follow the file know the service: the present one, and former ones that were not retired.
    #[must_use]
    pub fn accepted(&self) -> Vec<String> {
        let held = self.held();
        accepted(&held.content.key, &held.content.changes)
    }

    /// Which service signs with it.
    #[must_use]
    pub fn signer(&self) -> Signer {
        self.signer
    }

    /// Signs the bytes of an envelope that is for a machine.
    pub(crate) fn seal(&self, machine: &MachineId, content: Vec<u8>) -> Bytes {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let held = self.held();
        let Content { key, changes, .. } = &held.content;
        seal(content, Seal { key, signer: self.signer, changes, machine: machine.as_str(), number })
    }

    /// What is held, after a look at the file where that is due.
    fn held(&self) -> MutexGuard<'_, Held> {
        let mut held = self.held.lock().expect("no holder of a signing key panics");
        if held.looked.elapsed() >= LOOK_EVERY {
            held.looked = Instant::now();
            if let Err(error) = self.look_again(&mut held) {
                tracing::warn!(%error, "the signing key that was read before goes on being used");
            }
        }
        held
    }

    fn look_again(&self, held: &mut Held) -> Result<(), SigningError> {
        let stamp = stamp(&self.path)?;
        if stamp == held.stamp {
            return Ok(());
        }
        let content = Content::read(&self.path)?;
        if content.signer != self.signer {
            return Err(wrong(&self.path, format!("it is of {} now", content.signer.as_str())));
        }
        tracing::info!(key = content.key.public(), "signing with another key from now on");
        (held.content, held.stamp) = (content, stamp);
        Ok(())
    }
}

impl Content {
    fn read(path: &Path) -> Result<Self, SigningError> {
        let text = secret_file::read(path, FILE_BYTES_MAX).map_err(|reason| wrong(path, reason))?;
        let lines = || text.lines().map(str::trim);
        let signer = lines().find_map(|line| Signer::parse(line.strip_prefix(SIGNS)?));
        let signer = signer.ok_or_else(|| wrong(path, "it names no service that commands agents"))?;
        let seed = lines().find(|line| line.starts_with("SV")).unwrap_or_default();
        let key = SigningKey::from_seed(seed).map_err(|error| wrong(path, error))?;
        let change = |text: &str| KeyChange::decode(STANDARD.decode(text).ok()?.as_slice()).ok();
        let changes = lines().filter_map(|line| line.strip_prefix(CHANGE)).map(change).collect::<Option<_>>();
        Ok(Self { signer, key, changes: changes.ok_or_else(|| wrong(path, "a change of its keys is damaged"))? })
    }

    fn write(&self, path: &Path) -> Result<(), SigningError> {
        let service = self.signer.as_str();
        let mut text = String::new();
        let _ = writeln!(
            text,
            "# Signing key of service/{service} in a pool of Muster. Who has this file can command its machines."
        );
        let _ = writeln!(text, "{SIGNS}{service}\n{}", self.key.seed());
        for change in &self.changes {
            let _ = writeln!(text, "{CHANGE}{}", STANDARD.encode(change.encode_to_vec()));
        }
        secret_file::write(path, &text).map_err(|error| wrong(path, error))
    }
}

/// The newest changes, up to as many as go with a message.
fn with(mut changes: Vec<KeyChange>, more: impl IntoIterator<Item = KeyChange>) -> Vec<KeyChange> {
    changes.extend(more);
    changes.split_off(changes.len().saturating_sub(CHANGES_MAX))
}

/// The keys that are accepted after all changes: who signed the oldest of them was accepted before it.
fn accepted(key: &SigningKey, changes: &[KeyChange]) -> Vec<String> {
    let mut keys: Vec<String> = changes.first().map(|first| first.by.clone()).into_iter().collect();
    for change in changes {
        keys.retain(|known| *known != change.key);
        if !change.ends {
            keys.push(change.key.clone());
        }
    }
    if keys.is_empty() {
        keys.push(key.public().to_owned());
    }
    keys
}

fn stamp(path: &Path) -> Result<(u64, i64, i64), SigningError> {
    let metadata = std::fs::metadata(path).map_err(|error| wrong(path, error))?;
    Ok((metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
}

fn wrong(path: &Path, reason: impl std::fmt::Display) -> SigningError {
    SigningError { path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use muster_proto::v1::Envelope;
    use muster_signing::{Guard, Occasion, Pins, PublicKey, Refused};

    use super::*;

    fn pins(file: &SigningFile) -> Pins {
        let mut pins = Pins::default();
        for key in file.accepted() {
            pins.add(file.signer(), PublicKey::parse(&key).expect("its own key"));
        }
        pins
    }

    fn judged(guard: &mut Guard, file: &SigningFile) -> Result<(), Refused> {
        let machine = MachineId::new("node-1").expect("valid");
        let payload = file.seal(&machine, Envelope { term: 1, ..Envelope::default() }.encode_to_vec());
        let envelope = Envelope::decode(payload.clone()).expect("decodable");
        guard.admit(file.signer(), Occasion::Command, &envelope, &payload).map(drop)
    }

    #[test]
    fn agents_follow_a_rotated_key_and_a_retired_one_is_worth_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("service-scheduler.sign");
        SigningFile::make(&path, Signer::Scheduler).expect("made");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let first = SigningFile::open(&path).expect("in order");
        let mut guard = Guard::new("node-1", Some(pins(&first)));
        assert_eq!(judged(&mut guard, &first), Ok(()));
        for number in 2..=3 {
            SigningFile::rotate(&path).expect("rotated");
            let now = SigningFile::open(&path).expect("in order");
            now.next.store(number * 10, Ordering::Relaxed);
            assert_eq!(now.accepted().len() as u64, number, "former keys stay");
            assert_eq!(judged(&mut guard, &now), Ok(()));
        }
        assert_eq!(judged(&mut guard, &first), Ok(()), "and count");
        assert_eq!(SigningFile::retire(&path).expect("retired"), 2);
        assert_eq!(SigningFile::retire(&path).expect("nothing is left to retire"), 0);
        let now = SigningFile::open(&path).expect("in order");
        assert_eq!(now.accepted().len(), 1);
        now.next.store(100, Ordering::Relaxed);
        assert_eq!(judged(&mut guard, &now), Ok(()));
        assert_eq!(judged(&mut guard, &first), Err(Refused::UnknownKey));
    }

    #[test]
    fn a_file_that_is_replaced_counts_for_who_has_it_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("service-scheduler.sign");
        SigningFile::make(&path, Signer::Scheduler).expect("made");
        let open = SigningFile::open(&path).expect("in order");
        let before = open.accepted();
        SigningFile::rotate(&path).expect("rotated");
        open.held.lock().expect("not poisoned").looked -= LOOK_EVERY;
        assert_eq!(open.accepted().len(), before.len() + 1);
        SigningFile::make(&path, Signer::MachineLifecycle).expect("of another service");
        open.held.lock().expect("not poisoned").looked -= LOOK_EVERY;
        assert_eq!(open.accepted().len(), before.len() + 1, "it goes on with what it has");
    }

    #[test]
    fn what_is_no_signing_key_is_refused_without_showing_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x");
        SigningFile::make(&path, Signer::Scheduler).expect("made");
        let text = std::fs::read_to_string(&path).expect("readable");
        let seed = text.lines().last().expect("lines").to_owned();
        for wrong in [
            text.replace("signs scheduler", "signs report"),
            text[..text.len() - 9].into(),
            format!("{text}change x\n"),
        ] {
            secret_file::write(&path, &wrong).expect("written");
            let refused = SigningFile::open(&path).expect_err("no signing key").to_string();
            assert!(!refused.contains(&seed[..20]), "{refused}");
        }
        secret_file::write(&path, &text).expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("opened up");
        assert!(SigningFile::open(&path).expect_err("too open").to_string().contains("chmod 600"));
    }
}
