//! The authorized_keys of one user, whose home they may have changed while they were logged in: nothing there is trusted. Links are not
//! followed, what belongs to others is not read, and the file is replaced as a whole.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use anyhow::{Context, ensure};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::sessions::Sessions;
use crate::core::ssh::{installed_key, with_key};

/// Longest file that is read, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The file.
const NAME: &str = "authorized_keys";
/// What it is written as, before it takes its place.
const BESIDE: &str = ".authorized_keys.muster";

/// Where keys are installed.
#[derive(Debug, Clone)]
pub(crate) struct AuthorizedKeys {
    pub(crate) user: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: PathBuf,
}

impl AuthorizedKeys {
    /// Installs a key in place of what was installed before, whose sessions end; none removes that alone. They end before the key goes, so that an
    /// agent that is killed between the two does it again, and after it, as one may have been opened meanwhile.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub(crate) fn replace_by(&self, key: Option<&str>) -> anyhow::Result<()> {
        let before = self.installed()?.filter(|before| Some(before.as_str()) != key);
        let sessions = Sessions { uid: self.uid };
        before.iter().for_each(|before| sessions.end(before));
        self.set(key)?;
        before.iter().for_each(|before| sessions.end(before));
        Ok(())
    }

    /// The key that is installed; none where there is none.
    ///
    /// # Errors
    /// When the file can not be read, or is not what it should be.
    pub(crate) fn installed(&self) -> anyhow::Result<Option<String>> {
        let Some(directory) = self.directory(false)? else { return Ok(None) };
        let text = self.read(&directory)?.unwrap_or_default();
        Ok(installed_key(&text).map(str::to_owned))
    }

    /// Installs a key in place of what was installed before; none removes that. What is so already is left alone.
    ///
    /// # Errors
    /// When the file can not be read or written, or is not what it should be.
    pub(crate) fn set(&self, key: Option<&str>) -> anyhow::Result<()> {
        let Some(directory) = self.directory(key.is_some())? else { return Ok(()) };
        let text = self.read(&directory)?;
        if text.is_none() && key.is_none() {
            return Ok(());
        }
        let text = text.unwrap_or_default();
        let wanted = with_key(&text, key);
        if wanted == text { Ok(()) } else { self.replace(&directory, &wanted) }
    }

    /// The directory, made where a key is to be installed.
    fn directory(&self, make: bool) -> anyhow::Result<Option<OwnedFd>> {
        let (flags, none) = (OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        let at_home = || format!("open the home of {}, {}", self.user, self.home.display());
        let home = rustix::fs::open(&self.home, flags, none).with_context(at_home)?;
        let opened = match rustix::fs::openat(&home, ".ssh", flags, none) {
            Err(Errno::NOENT) if !make => return Ok(None),
            Err(Errno::NOENT) => {
                rustix::fs::mkdirat(&home, ".ssh", Mode::RWXU).with_context(|| format!("make .ssh: {}", at_home()))?;
                let made = rustix::fs::openat(&home, ".ssh", flags, none).context("open .ssh")?;
                self.own(&made)?;
                made
            }
            opened => {
                opened.with_context(|| format!("open .ssh, which is to be a directory and no link: {}", at_home()))?
            }
        };
        let owner = rustix::fs::fstat(&opened).context("look at .ssh")?.st_uid;
        ensure!(owner == self.uid || owner == 0, "the .ssh of {} belongs to another user", self.user);
        Ok(Some(opened))
    }

    /// What stands in the file; none where there is none.
    fn read(&self, directory: &OwnedFd) -> anyhow::Result<Option<String>> {
        // Opening a pipe would wait for whoever writes into it.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(directory, NAME, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.with_context(|| format!("open the {NAME} of {}, which is to be no link", self.user))?,
        };
        let found = rustix::fs::fstat(&file).with_context(|| format!("look at {NAME}"))?;
        let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        ensure!(is_file && found.st_uid == self.uid, "the {NAME} of {} is not a file of theirs", self.user);
        let mut text = String::new();
        File::from(file).take(FILE_BYTES_MAX + 1).read_to_string(&mut text).with_context(|| format!("read {NAME}"))?;
        ensure!(text.len() as u64 <= FILE_BYTES_MAX, "the {NAME} of {} is longer than 1 MiB", self.user);
        Ok(Some(text))
    }

    fn replace(&self, directory: &OwnedFd, text: &str) -> anyhow::Result<()> {
        match rustix::fs::unlinkat(directory, BESIDE, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error).with_context(|| format!("remove an old {BESIDE}")),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, BESIDE, flags, Mode::RUSR | Mode::WUSR);
        let file = file.with_context(|| format!("make {BESIDE}"))?;
        self.own(&file)?;
        let mut file = File::from(file);
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(|| format!("write {BESIDE}"))?;
        rustix::fs::renameat(directory, BESIDE, directory, NAME).with_context(|| format!("replace {NAME}"))?;
        rustix::fs::fsync(directory).context("write .ssh")
    }

    fn own(&self, file: impl AsFd) -> anyhow::Result<()> {
        let given = rustix::fs::fchown(file, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)));
        given.with_context(|| format!("give a file to {}", self.user))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    const KEY: &str = "ssh-ed25519 AAAA anna";

    /// Ourselves, with a home of our own.
    fn keys() -> (AuthorizedKeys, tempfile::TempDir) {
        let home = tempfile::tempdir().expect("a folder is made");
        let own = std::fs::metadata(home.path()).expect("it is there");
        let keys = AuthorizedKeys { user: "me".into(), uid: own.uid(), gid: own.gid(), home: home.path().to_owned() };
        (keys, home)
    }

    #[test]
    fn a_key_is_installed_for_its_user_alone_and_removed_without_a_trace_of_it() {
        let (keys, home) = keys();
        let file = home.path().join(".ssh/authorized_keys");
        keys.set(None).expect("nothing is to be done");
        assert!(!home.path().join(".ssh").exists(), "nothing is made for nothing");
        keys.set(Some(KEY)).expect("it is installed");
        assert!(std::fs::read_to_string(&file).expect("it is there").contains(&format!("\n{KEY}\n")));
        assert_eq!(keys.installed().expect("it is read"), Some(KEY.to_owned()));
        let mode = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&home.path().join(".ssh"))), (0o600, 0o700));
        std::fs::write(&file, format!("own\n{}", std::fs::read_to_string(&file).expect("text"))).expect("written");
        keys.set(None).expect("it is removed");
        assert_eq!(std::fs::read_to_string(&file).expect("it is there"), "own\n");
    }

    #[test]
    fn links_pipes_and_what_is_too_long_are_refused() {
        let (keys, home) = keys();
        let other = tempfile::tempdir().expect("a folder is made");
        symlink(other.path(), home.path().join(".ssh")).expect("a link is made");
        assert!(keys.set(Some(KEY)).is_err(), "a link to another directory");
        assert!(std::fs::read_dir(other.path()).expect("it is there").next().is_none());
        std::fs::remove_file(home.path().join(".ssh")).expect("it is removed");
        std::fs::create_dir(home.path().join(".ssh")).expect("a directory is made");
        let file = home.path().join(".ssh/authorized_keys");
        let secret = other.path().join("secret");
        std::fs::write(&secret, "x").expect("it is written");
        symlink(&secret, &file).expect("a link is made");
        assert!(keys.set(Some(KEY)).is_err(), "a link to another file");
        assert_eq!(std::fs::read_to_string(&secret).expect("it is there"), "x");
        std::fs::remove_file(&file).expect("it is removed");
        rustix::fs::mknodat(rustix::fs::CWD, &file, FileType::Fifo, Mode::RWXU, 0).expect("a pipe is made");
        assert!(keys.set(Some(KEY)).is_err(), "a pipe");
        std::fs::remove_file(&file).expect("it is removed");
        std::fs::write(&file, vec![b'x'; 1 + FILE_BYTES_MAX as usize]).expect("it is written");
        assert!(keys.set(Some(KEY)).is_err(), "too long");
    }
}
