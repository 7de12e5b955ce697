//! sshd's own rules of who may log in and what it says of sessions: a drop-in that it is told to read again.

use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use crate::core::ssh::drop_in;
use crate::disk::atomic;

/// What sshd is told.
#[derive(Debug, Clone)]
pub(crate) struct SshdRules {
    /// Who may log in while nobody holds the machine; none where everybody may.
    pub(crate) group: Option<String>,
    /// Holders have keys here, so sessions are to say theirs.
    pub(crate) has_keys: bool,
    pub(crate) file: PathBuf,
    pub(crate) pid: PathBuf,
}

impl SshdRules {
    /// Brings sshd to what holds now. Logins that are under way are left alone.
    ///
    /// # Errors
    /// When the file can not be written, or sshd not be told.
    pub(crate) fn set(&self, is_held: bool) -> anyhow::Result<()> {
        if self.group.is_none() && !self.file.parent().is_some_and(std::path::Path::is_dir) {
            // No sshd reads drop-ins here, and nobody is locked out by none.
            return Ok(());
        }
        let wanted = drop_in(self.group.as_deref(), self.has_keys, is_held);
        let shown = self.file.display();
        match std::fs::read_to_string(&self.file) {
            Ok(text) if text == wanted => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("read {shown}")),
        }
        atomic::write(&self.file, wanted.as_bytes()).with_context(|| format!("write {shown}"))?;
        self.tell()
    }

    /// An sshd that does not run reads the file when it starts.
    fn tell(&self) -> anyhow::Result<()> {
        let shown = self.pid.display();
        let text = match std::fs::read_to_string(&self.pid) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            text => text.with_context(|| format!("read {shown}"))?,
        };
        let pid = text.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.with_context(|| format!("read {shown}: it is no process id"))?;
        kill_process(pid, Signal::HUP).with_context(|| format!("tell sshd, process {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sshd_reads_what_is_written_and_takes_it() {
        let folder = tempfile::tempdir().expect("a folder is made");
        let (file, pid) = (folder.path().join("10-muster.conf"), folder.path().join("sshd.pid"));
        let group = Some("lab-admins".to_owned());
        let admins = SshdRules { group, has_keys: false, file: file.clone(), pid: pid.clone() };
        for (is_held, has_line) in [(false, true), (true, false), (false, true)] {
            admins.set(is_held).expect("it is written");
            let text = std::fs::read_to_string(&file).expect("it is there");
            assert_eq!(text.contains("\nAllowGroups lab-admins\n"), has_line, "{text}");
        }
        std::fs::write(&pid, "nobody").expect("it is written");
        admins.set(false).expect("nothing is to be told");
        assert!(admins.set(true).is_err(), "sshd could not be told");
        let nowhere = SshdRules { group: None, has_keys: true, file: folder.path().join("none/muster.conf"), pid };
        nowhere.set(true).expect("there is no sshd that reads drop-ins");
    }
}
