//! Logins follow the fence: what is installed is derived from what is on the disk, so that an agent which was killed repairs it when it
//! starts.

use std::time::{Duration, Instant};

use super::Agent;
use crate::ssh::SshPolicy;

/// What failed is tried again after so long.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// What is to be so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Wanted {
    /// Somebody holds the machine, and everything older is fenced.
    is_held: bool,
    /// Their key; empty for none.
    key: String,
    /// Why the policy of this machine keeps it out; empty where it does not.
    refused: String,
}

/// Logins of this machine.
#[derive(Debug)]
pub(super) struct Logins {
    policy: SshPolicy,
    /// What was brought about last; none before the first time.
    settled: Option<Wanted>,
    /// When it failed last, and why.
    failed: Option<(Instant, String)>,
}

impl Logins {
    pub(super) fn new(policy: SshPolicy) -> Self {
        Self { policy, settled: None, failed: None }
    }

    fn settle(&mut self, wanted: Wanted) {
        let waits = self.failed.as_ref().is_some_and(|(since, _)| since.elapsed() < RETRY_AFTER);
        let changed = self.settled.as_ref() != Some(&wanted);
        if !changed && (self.failed.is_none() || waits) {
            return;
        }
        let done = self.bring_about(&wanted);
        if let Err(error) = &done {
            tracing::warn!(error = format!("{error:#}"), "logins by ssh are not as they should be: trying again");
        }
        self.failed = done.err().map(|error| (Instant::now(), format!("{error:#}")));
        self.settled = Some(wanted);
    }

    fn bring_about(&self, wanted: &Wanted) -> anyhow::Result<()> {
        // A key goes in any case, also where sshd can not be told.
        let key = Some(wanted.key.as_str()).filter(|key| !key.is_empty() && wanted.refused.is_empty());
        let told = self.policy.sshd.as_ref().map_or(Ok(()), |sshd| sshd.set(wanted.is_held));
        let installed = self.policy.keys.as_ref().map_or(Ok(()), |keys| keys.replace_by(key));
        installed.and(told)
    }

    /// What became of the holder's key, for people; empty without one.
    pub(super) fn told(&self) -> String {
        match (&self.policy.keys, &self.failed) {
            _ if self.settled.as_ref().is_none_or(|settled| settled.key.is_empty()) => String::new(),
            _ if self.settled.as_ref().is_some_and(|settled| !settled.refused.is_empty()) => {
                self.settled.as_ref().map(|settled| format!("refused: {}", settled.refused)).unwrap_or_default()
            }
            (None, _) => "refused: the agent has no leave, start it with --allow-ssh-keys USER".into(),
            (Some(_), Some((_, why))) => format!("not installed: {why}"),
            (Some(keys), None) => format!("installed for {}", keys.user),
        }
    }
}

impl Agent {
    /// Brings logins to what the fence on the disk says. After the deadline a key goes even where nobody can say so.
    pub(super) fn settle_logins(&mut self) {
        let fence = &self.fence;
        let fenced = fence.fenced_epoch() == fence.epoch() && !fence.draining;
        let over = fence.deadline().is_due(self.connection.clock.now());
        let is_held = fence.reservation != 0 && fenced && !over;
        let key = if is_held { fence.ssh_key.clone() } else { String::new() };
        let refused = match self.containing.policy() {
            Ok(policy) if policy.ssh_keys => String::new(),
            Ok(_) => {
                format!("the policy of this machine says ssh_keys = false ({})", self.containing.file.path().display())
            }
            Err(error) => format!("{error:#}"),
        };
        self.logins.settle(Wanted { is_held, key, refused });
    }
}
