//! Who may log in to this machine by ssh, as its own arguments permit: the holder by their key, and administrators alone while it is nobody's.

mod keys;
mod sessions;
mod sshd;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

pub(crate) use keys::AuthorizedKeys;
pub(crate) use sshd::SshdRules;

/// What ssh is permitted on this machine.
#[derive(Debug, Clone, clap::Args)]
pub struct SshArguments {
    /// The ssh key of who holds this machine is installed for this user while they do, and what was opened with it ends with that: a drop-in
    /// tells sshd to say which key a session was opened with. Without it keys are refused
    #[arg(long, value_name = "USER", env = "MUSTER_ALLOW_SSH_KEYS")]
    pub allow_ssh_keys: Option<String>,
    /// Only members of this group may log in by ssh while nobody holds the machine
    #[arg(long, value_name = "GROUP", env = "MUSTER_SSH_ADMINS_ONLY")]
    pub ssh_admins_only: Option<String>,
    /// Home of that user, where it is not the one of /etc/passwd
    #[arg(long, value_name = "DIRECTORY", hide = true)]
    pub ssh_home: Option<PathBuf>,
    /// File of sshd's configuration that the agent writes
    #[arg(long, value_name = "FILE", default_value = "/etc/ssh/sshd_config.d/10-muster.conf", hide = true)]
    pub sshd_drop_in: PathBuf,
    /// File with the process id of sshd
    #[arg(long, value_name = "FILE", default_value = "/run/sshd.pid", hide = true)]
    pub sshd_pid: PathBuf,
}

/// What follows from them.
#[derive(Debug, Clone, Default)]
pub(crate) struct SshPolicy {
    /// Where keys are installed; none where they are refused.
    pub(crate) keys: Option<AuthorizedKeys>,
    /// What sshd is told; none where it is not our business.
    pub(crate) sshd: Option<SshdRules>,
}

impl SshPolicy {
    /// Checks the arguments.
    ///
    /// # Errors
    /// When there is no such user, or the name of the group is none.
    pub(crate) fn new(arguments: &SshArguments) -> anyhow::Result<Self> {
        let keys = arguments.allow_ssh_keys.as_deref().map(|user| {
            let accounts = std::fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
            let (uid, gid, home) = account(&accounts, user)
                .with_context(|| format!("use --allow-ssh-keys {user}: /etc/passwd has no such user"))?;
            let home = arguments.ssh_home.clone().unwrap_or(home);
            Ok::<_, anyhow::Error>(AuthorizedKeys { user: user.to_owned(), uid, gid, home })
        });
        let (keys, group) = (keys.transpose()?, arguments.ssh_admins_only.clone());
        if let Some(group) = &group {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            ensure!(
                !group.is_empty() && group.bytes().all(legal),
                "use --ssh-admins-only {group}: it is no name of a group"
            );
        }
        let (file, pid) = (arguments.sshd_drop_in.clone(), arguments.sshd_pid.clone());
        let rules = SshdRules { group, has_keys: keys.is_some(), file, pid };
        let sshd = (rules.has_keys || rules.group.is_some()).then_some(rules);
        Ok(Self { keys, sshd })
    }
}

/// Number, group and home of a user.
fn account(accounts: &str, user: &str) -> Option<(u32, u32, PathBuf)> {
    let mut lines = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let fields = lines.find(|fields| fields.first() == Some(&user))?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?, Path::new(fields.get(5)?).to_owned()))
}

#[cfg(test)]
mod tests;
