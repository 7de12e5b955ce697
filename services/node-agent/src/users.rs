//! Users of test processes: each has one of its own, so that none can reach the agent, the system or another test. Who has which is
//! written in the owner of its work directory and nowhere else.
//!
//! Not responsible for becoming one (the keeper), nor for whether a process may run as root (the policy).

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use muster_proto::v1::{Inventory, ResourceKind};
use rustix::fs::{Gid, Mode, Uid, fchmod, fchown};

use crate::policy::UserRange;
use crate::workplace;

/// What everybody may do in a directory without reading it.
const PASS_THROUGH: u32 = 0o001;
/// Members of the group may write here, and what is made here belongs to the group.
const SHARED: u32 = 0o2070;
/// A device is read and written, not searched.
const DEVICE: u32 = 0o060;
/// What the path of a device begins with.
const DEVICES: &str = "/dev/";

/// A user and a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    /// Its number.
    pub uid: u32,
    /// That of the group that all of them have.
    pub gid: u32,
}

/// Hands users out, each to one process at a time.
#[derive(Debug, Clone)]
pub(crate) struct Users {
    state: PathBuf,
    turn: Arc<Mutex<Turn>>,
}

#[derive(Debug, Default)]
struct Turn {
    /// Handed out since the round began; none before the first.
    handed_out: Option<u32>,
    /// Those that had a directory when it began.
    taken: BTreeSet<u32>,
}

/// Only root can give users.
pub(crate) fn can_be_given() -> bool {
    rustix::process::geteuid().is_root()
}

impl Users {
    /// Those of the processes of a state directory.
    pub(crate) fn new(state: &Path) -> Self {
        Self { state: state.to_owned(), turn: Arc::default() }
    }

    /// A user that no process here has; none where all are taken. Each is used again as late as can be.
    pub(crate) fn take(&self, range: UserRange) -> Option<User> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..range.count {
            let at = turn.handed_out.filter(|number| number + 1 < range.count);
            if at.is_none() {
                turn.taken = self.owners();
            }
            // Agents of one host, as labs have them, begin at different places.
            let number = at.map_or(0, |number| number + 1);
            turn.handed_out = Some(number);
            let uid = range.first + 1 + (number + self.offset(range)) % range.count;
            if !turn.taken.contains(&uid) {
                return Some(User { uid, gid: range.first });
            }
        }
        None
    }

    fn offset(&self, range: UserRange) -> u32 {
        let digest = blake3::hash(self.state.as_os_str().as_encoded_bytes());
        let bytes = digest.as_bytes();
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) % range.count
    }

    fn owners(&self) -> BTreeSet<u32> {
        let works = workplace::all(&self.state).map(|id| workplace::directory_of(&self.state, id));
        works.chain(workplace::all_kept(&self.state)).filter_map(|path| owner_of(&path)).collect()
    }
}

/// Whose a directory is; none where it is not there.
pub(crate) fn owner_of(directory: &Path) -> Option<u32> {
    std::fs::symlink_metadata(directory).ok().map(|meta| meta.uid())
}

/// A file or directory that the agent has just made becomes a test process's.
pub(crate) fn hand_over(path: &Path, user: User) -> std::io::Result<()> {
    let file = File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
    Ok(fchown(&file, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))?)
}

/// The first directory on the way to a path that others can not pass through.
pub(crate) fn barrier(path: &Path) -> Option<PathBuf> {
    let is_closed = |path: &&Path| std::fs::metadata(path).is_ok_and(|meta| meta.mode() & PASS_THROUGH == 0);
    path.ancestors().filter(is_closed).last().map(Path::to_owned)
}

/// Lets test processes reach what may be tested, and nothing else: devices and directories that stand for disks belong to their
/// group for as long as they are not protected.
pub(crate) fn share_resources(inventory: &Inventory, is_protected: impl Fn(&str) -> bool, group: u32) {
    for resource in &inventory.resources {
        let is_device = resource.path.starts_with(DEVICES);
        if !matches!(resource.kind(), ResourceKind::Disk | ResourceKind::Tape) || resource.path.is_empty() {
            continue;
        }
        let shared = match (is_device, is_protected(&resource.id)) {
            (true, true) => take_back(Path::new(&resource.path), group),
            (true, false) => share(Path::new(&resource.path), group, DEVICE),
            (false, false) => share(Path::new(&resource.path), group, SHARED),
            (false, true) => Ok(()),
        };
        if let Err(error) = shared {
            tracing::warn!(%error, resource = resource.id, "test processes can not be let to a resource, or be kept from it");
        }
    }
}

fn share(path: &Path, group: u32, bits: u32) -> std::io::Result<()> {
    let (file, meta) = open(path)?;
    if meta.gid() != group {
        fchown(&file, None, Some(Gid::from_raw(group)))?;
    }
    if meta.mode() & bits != bits {
        fchmod(&file, Mode::from_raw_mode(meta.mode() & 0o7777 | bits))?;
    }
    Ok(())
}

fn take_back(path: &Path, group: u32) -> std::io::Result<()> {
    let (file, meta) = open(path)?;
    if meta.gid() == group {
        fchown(&file, None, Some(Gid::ROOT))?;
    }
    Ok(())
}

/// Neither waits for a device, nor reads from it.
fn open(path: &Path) -> std::io::Result<(File, std::fs::Metadata)> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let meta = file.metadata()?;
    Ok((file, meta))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_user_is_handed_out_again_only_when_its_directory_is_gone() {
        let state = tempfile::tempdir().unwrap();
        let (users, range) = (Users::new(state.path()), UserRange { first: 70_000, count: 5 });
        let first: BTreeSet<u32> = (0..5).map(|_| users.take(range).unwrap().uid).collect();
        assert_eq!(first, (70_001..=70_005).collect(), "each once, and never the group's number");
        let work = state.path().join("work/1-00010001-1");
        std::fs::create_dir_all(&work).unwrap();
        if can_be_given() {
            std::os::unix::fs::chown(&work, Some(70_003), None).unwrap();
            let second: BTreeSet<u32> = (0..8).map(|_| users.take(range).unwrap().uid).collect();
            assert_eq!(second, [70_001, 70_002, 70_004, 70_005].into());
        }
    }

    #[test]
    fn a_barrier_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(barrier(&inner).as_deref(), Some(folder.path()));
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        assert_eq!(barrier(&inner), None);
    }
}
