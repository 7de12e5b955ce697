//! The keys by which this machine knows its services: a file in its state directory. It is brought by a token or by a file that is
//! named, and changed by such a file or by a message that is signed with a key in it.
//!
//! Not responsible for judging messages by them (`gate`).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use muster_signing::Pins;

use crate::disk::atomic;
use crate::trusted_file;

/// The file in the state directory.
const OWN: &str = "signers";
/// Names the file that the keys were taken from by its hash: it is taken once, so that it does not undo what came after it.
const TAKEN_FROM: &str = "# taken from ";

/// The pinned keys, and where they are kept.
#[derive(Debug, Clone)]
pub(crate) struct Signers {
    path: PathBuf,
    taken_from: String,
    /// The keys; none on a bus that nobody else reaches.
    pub pins: Option<Pins>,
}

/// Where keys may come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sources<'a> {
    /// A file that is named.
    pub named: Option<&'a Path>,
    /// The token with which the machine joins.
    pub token: Option<&'a Path>,
    /// Nobody else reaches the bus.
    pub insecure_local: bool,
}

impl Signers {
    /// What is pinned, or is to be from now on.
    ///
    /// # Errors
    /// When a file can not be used, or nothing is pinned and more people than this host's reach the bus.
    pub(crate) fn open(state: &Path, sources: Sources<'_>) -> anyhow::Result<Self> {
        let path = state.join(OWN);
        let kept = trusted_file::text(&path)?;
        let taken_from = kept.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix(TAKEN_FROM)));
        let signers = Self { path, taken_from: taken_from.unwrap_or_default().to_owned(), pins: None };
        if let Some(named) = sources.named {
            let Some(text) = trusted_file::text(named)? else { bail!("find {}", named.display()) };
            let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
            if hash != signers.taken_from {
                let pins = Pins::parse(&text).with_context(|| format!("pin the keys of {}", named.display()))?;
                tracing::info!(file = %named.display(), "this machine's services are known by the keys of another file from now on");
                return signers.pin(pins, hash);
            }
        }
        if let Some(text) = kept {
            let pins = Pins::parse(&text).with_context(|| format!("use {}", signers.path.display()))?;
            return Ok(Self { pins: Some(pins), ..signers });
        }
        let token = sources.token.map(trusted_file::text).transpose()?.flatten();
        if let Some(token) = token {
            let pins = Pins::within(&token)
                .context("pin the keys that came with the token; `muster admin enroll` makes another one")?;
            return signers.pin(pins, String::new());
        }
        if sources.insecure_local {
            return Ok(signers);
        }
        bail!(
            "know who may command this machine: no keys are pinned in {}; give --signers FILE, which is `signers` in the directory of \
             `muster admin init --keys`, or say --insecure-local where nobody else reaches the server",
            signers.path.display()
        )
    }

    fn pin(self, pins: Pins, taken_from: String) -> anyhow::Result<Self> {
        let signers = Self { taken_from, ..self };
        signers.keep(&pins).with_context(|| format!("write {}", signers.path.display()))?;
        Ok(Self { pins: Some(pins), ..signers })
    }

    /// Writes keys in place of those that are there; they are on the disk when it returns.
    pub(crate) fn keep(&self, pins: &Pins) -> std::io::Result<()> {
        let Self { taken_from, .. } = self;
        let text = format!(
            "# Who may command this machine, by their keys. Kept by muster-agent.\n{TAKEN_FROM}{taken_from}\n{}",
            pins.print()
        );
        atomic::write(&self.path, text.as_bytes())?;
        std::fs::set_permissions(&self.path, PermissionsExt::from_mode(0o600))
    }
}

#[cfg(test)]
mod tests {
    use muster_signing::{PublicKey, Signer, SigningKey};

    use super::*;

    fn pins() -> Pins {
        let mut pins = Pins::default();
        for signer in Signer::ALL {
            pins.add(signer, PublicKey::parse(SigningKey::make().public()).unwrap());
        }
        pins
    }

    fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        path
    }

    const NOTHING: Sources<'static> = Sources { named: None, token: None, insecure_local: false };

    #[test]
    fn a_machine_without_pinned_keys_runs_only_where_nobody_else_reaches_the_bus() {
        let state = tempfile::tempdir().unwrap();
        let refused = Signers::open(state.path(), NOTHING).unwrap_err().to_string();
        assert!(refused.contains("--signers") && refused.contains("--insecure-local"), "{refused}");
        let local = Signers::open(state.path(), Sources { insecure_local: true, ..NOTHING }).unwrap();
        assert_eq!(local.pins, None);
    }

    #[test]
    fn a_token_brings_keys_which_stay_and_count_on_any_bus() {
        let (state, pins) = (tempfile::tempdir().unwrap(), pins());
        let token = written(state.path(), "token", &format!("identity enrollment/node-1\nSUX\n{}", pins.print()));
        let joined = Signers::open(state.path(), Sources { token: Some(&token), ..NOTHING }).unwrap();
        assert_eq!(joined.pins.as_ref(), Some(&pins));
        assert_eq!(Signers::open(state.path(), NOTHING).unwrap().pins.as_ref(), Some(&pins));
        let local = Signers::open(state.path(), Sources { insecure_local: true, ..NOTHING }).unwrap();
        assert_eq!(local.pins, Some(pins));
        let bare = written(state.path(), "bare", "identity enrollment/node-1\nSUX\n");
        let other = tempfile::tempdir().unwrap();
        assert!(Signers::open(other.path(), Sources { token: Some(&bare), ..NOTHING }).is_err());
    }

    #[test]
    fn a_named_file_is_taken_once_so_that_it_does_not_undo_what_came_after_it() {
        let state = tempfile::tempdir().unwrap();
        let (first, later, other) = (pins(), pins(), pins());
        let file = written(state.path(), "given", &first.print());
        let named = Sources { named: Some(&file), ..NOTHING };
        let open = Signers::open(state.path(), named).unwrap();
        assert_eq!(open.pins, Some(first));
        open.keep(&later).unwrap();
        assert_eq!(Signers::open(state.path(), named).unwrap().pins, Some(later));
        written(state.path(), "given", &other.print());
        assert_eq!(Signers::open(state.path(), named).unwrap().pins, Some(other));
    }

    #[test]
    fn a_file_that_others_can_write_is_not_trusted() {
        let state = tempfile::tempdir().unwrap();
        let file = written(state.path(), OWN, &pins().print());
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
        assert!(Signers::open(state.path(), NOTHING).unwrap_err().to_string().contains("trust"));
    }
}
