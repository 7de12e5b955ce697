//! Sessions that were opened with a key: they end when that goes.
//!
//! sshd writes down which key a session was opened with (`ExposeAuthInfo`, as our drop-in says) and names that file in the environment of what it
//! starts there, so whatever was started in a session is known by it. What names another key, as an administrator's does, and what names none, is
//! left alone. So is a session in which nothing was started (`ssh -N`): nobody can tell whose it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};

use crate::core::ssh::opened_with;

/// The variable that names the file.
const VARIABLE: &str = "SSH_USER_AUTH=";
/// Longest such file that is read, bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Looks for what was started meanwhile.
const LOOKS_MAX: u32 = 5;
/// What serves a session calls itself so, since OpenSSH 9.8 the latter.
const SERVERS: [&str; 2] = ["sshd", "sshd-session"];

/// Sessions of one user.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sessions {
    pub(super) uid: u32,
}

impl Sessions {
    /// Ends those that were opened with this key: the connection, and all that was started in them.
    pub(super) fn end(self, key: &str) {
        let mut ended = BTreeSet::new();
        for _ in 0..LOOKS_MAX {
            let found = self.opened_with(key);
            if found.is_empty() {
                break;
            }
            for process in found {
                // Who serves it closes the connection when it is told to end.
                if let Some(server) = process.server() {
                    let _ = kill_process(server, Signal::TERM);
                }
                // One that has ended meanwhile is as good as killed.
                let _ = kill_process(process.pid, Signal::KILL);
                ended.insert(process.session);
            }
        }
        if !ended.is_empty() {
            tracing::info!(sessions = ended.len(), "sessions by ssh ended with the key that they were opened with");
        }
    }

    /// Processes of sessions that were opened with this key.
    fn opened_with(self, key: &str) -> Vec<Process> {
        let mut known = BTreeMap::new();
        let mut found: Vec<Process> = processes().filter_map(|pid| self.process(pid)).collect();
        found.retain(|process| {
            let session = process.session.clone();
            *known.entry(session).or_insert_with_key(|file| self.read(file).is_some_and(|said| opened_with(&said, key)))
        });
        found
    }

    /// A process of the user that was started in a session; none where it was not.
    fn process(self, pid: Pid) -> Option<Process> {
        let folder = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
        if fs::metadata(&folder).ok()?.uid() != self.uid {
            return None;
        }
        let environment = fs::read(folder.join("environ")).ok()?;
        let lines = environment.split(|byte| *byte == 0).filter_map(|line| std::str::from_utf8(line).ok());
        let session = lines.filter_map(|line| line.strip_prefix(VARIABLE)).next()?.into();
        Some(Process { pid, session })
    }

    /// What sshd wrote of a session. The name is of the user's own environment: only a file of theirs is read, and no link is followed.
    fn read(self, file: &Path) -> Option<String> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file: OwnedFd = rustix::fs::open(file, flags, Mode::empty()).ok()?;
        let found = rustix::fs::fstat(&file).ok()?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile || found.st_uid != self.uid {
            return None;
        }
        let mut text = String::new();
        File::from(file).take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
        Some(text)
    }
}

/// A process that was started in a session.
#[derive(Debug)]
struct Process {
    pid: Pid,
    /// The file that says how the session was opened: no two have the same.
    session: PathBuf,
}

impl Process {
    /// What serves the session, where it started this process.
    fn server(&self) -> Option<Pid> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid.as_raw_nonzero())).ok()?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
        let parent = Pid::from_raw(parent)?;
        let name = fs::read_to_string(format!("/proc/{}/comm", parent.as_raw_nonzero())).ok()?;
        SERVERS.contains(&name.trim_end()).then_some(parent)
    }
}

fn processes() -> impl Iterator<Item = Pid> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}
