//! How test processes are contained on this machine: what the policy says, what the kernel lets us do, and what is missing, which is
//! said in every heartbeat.
//!
//! Not responsible for the means: users are in `users`, limits in the keeper.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_model::ProcessId;
use muster_proto::v1::{Containment, Inventory};

use super::{Agent, Input};
use crate::config::Settings;
use crate::keeper::cgroup::CONTROLLERS;
use crate::policy::{MachinePolicy, PolicyFile};
use crate::users::{self, Users};
use crate::workplace;

/// Work directories are measured this often, where they have a limit.
const MEASURE_INTERVAL: Duration = Duration::from_secs(2);
/// Files of one work directory that are measured at most; more are as good as too large.
const FILES_MAX: usize = 200_000;

/// What contains test processes.
#[derive(Debug)]
pub(super) struct Containing {
    pub(super) file: Arc<PolicyFile>,
    pub(super) users: Users,
    /// What the policy said last; none where it is not believed.
    policy: Option<Arc<MachinePolicy>>,
    /// By which controllers the keeper limits; none before it has said so.
    controllers: Option<Vec<String>>,
    /// For heartbeats.
    pub(super) told: Option<Containment>,
    /// What resources were shared by last.
    shared: Option<Shared>,
    measured: Instant,
}

#[derive(Debug)]
struct Shared {
    inventory: Arc<Inventory>,
    protected: BTreeSet<String>,
    whole: bool,
    group: u32,
}

impl Containing {
    /// What the policy file of these settings says.
    pub(super) fn new(settings: &Settings) -> Self {
        let file = Arc::new(PolicyFile::new(&settings.policy));
        let (users, measured) = (Users::new(&settings.state), Instant::now());
        Self { policy: file.read().ok(), file, users, controllers: None, told: None, shared: None, measured }
    }

    /// What the policy says now.
    ///
    /// # Errors
    /// It is not believed: then nothing is done that it could forbid.
    pub(super) fn policy(&self) -> anyhow::Result<Arc<MachinePolicy>> {
        self.file
            .read()
            .map_err(|error| error.context("follow the policy of this machine, which is to be mended first"))
    }
}

impl Agent {
    /// The keeper has said what it limits by. One that confines nobody is replaced as soon as it has nothing to do.
    pub(super) fn keeper_limits_by(&mut self, controllers: Option<Vec<String>>) {
        self.containing.controllers = controllers;
    }

    /// The keeper can confine processes.
    pub(super) fn keeper_confines(&self) -> bool {
        self.containing.controllers.is_some()
    }

    /// Looks at the policy again, and follows it.
    pub(super) fn look_at_containment(&mut self) {
        let read = self.containing.policy();
        let policy_error = read.as_ref().err().map(|error| format!("{error:#}")).unwrap_or_default();
        let policy = read.ok();
        let known = self.containing.told.as_ref().map(|told| told.policy_error.as_str()).unwrap_or_default();
        if !policy_error.is_empty() && policy_error != known {
            tracing::error!(policy_error, "nothing is started, booted or prepared on this machine");
        }
        if policy != self.containing.policy {
            self.containing.policy.clone_from(&policy);
            // Disks that are never touched are no resources.
            self.probe();
        }
        let own_users = policy.as_ref().is_none_or(|policy| policy.own_users) && users::can_be_given();
        let missing = missing(own_users, self.containing.controllers.as_deref(), &self.settings.state);
        self.containing.told = Some(Containment { own_users, missing, policy_error });
        self.share_resources();
    }

    /// Test processes reach what may be tested.
    pub(super) fn share_resources(&mut self) {
        let Ok(policy) = self.containing.policy() else { return };
        if !policy.own_users || !users::can_be_given() {
            return;
        }
        let (protected, whole) = (self.fence.protected.clone(), self.fence.machine_protected);
        let (inventory, group) = (self.inventory.clone(), policy.users.first);
        let is_same = |shared: &Shared| {
            Arc::ptr_eq(&shared.inventory, &inventory)
                && (&shared.protected, shared.whole, shared.group) == (&protected, whole, group)
        };
        if self.containing.shared.as_ref().is_some_and(is_same) {
            return;
        }
        users::share_resources(&inventory, |resource| whole || protected.contains(resource), group);
        self.containing.shared = Some(Shared { inventory, protected, whole, group });
    }

    /// Measures the work directories, beside the loop, where the policy limits them.
    pub(super) fn limit_work(&mut self, live: &[ProcessId]) {
        let policy = self.containing.policy.as_ref();
        let limit = policy.and_then(|policy| policy.allowance(self.inventory.memory_bytes).work_bytes);
        let Some(limit) = limit.filter(|_| self.containing.measured.elapsed() >= MEASURE_INTERVAL) else { return };
        self.containing.measured = Instant::now();
        let (state, inputs, live) = (self.settings.state.clone(), self.inputs.clone(), live.to_vec());
        tokio::task::spawn_blocking(move || {
            let is_over = |id: &ProcessId| bytes_of(&workplace::directory_of(&state, *id)) > limit;
            let over: Vec<ProcessId> = live.into_iter().filter(is_over).collect();
            if !over.is_empty() {
                // It fails only when the agent ends.
                let _ = inputs.blocking_send(Input::WorkOverLimit(over));
            }
        });
    }

    /// These have written more than they may.
    pub(super) fn work_over_limit(&mut self, over: Vec<ProcessId>) {
        for id in over {
            let grace = self.processes.get(&id).map(|process| Duration::from_millis(process.intent.grace_ms));
            self.stop(id, grace.unwrap_or_default(), "its work directory is over the limit of this machine's policy");
        }
    }
}

/// What is not contained, and why, in words for people.
fn missing(own_users: bool, controllers: Option<&[String]>, state: &Path) -> Vec<String> {
    let mut missing = Vec::new();
    if !own_users {
        let who = if users::can_be_given() { "its policy says own_users = false" } else { "its agent is not root" };
        missing.push(format!("tests have no users of their own, and can reach the agent: {who}"));
    } else if let Some(barrier) = users::barrier(state) {
        missing.push(format!("tests can not pass through {}: nothing can be started", barrier.display()));
    }
    let Some(controllers) = controllers else {
        missing.push(
            "its keeper is of an older version and confines nobody: nothing is started until its tests end".into(),
        );
        return missing;
    };
    let lacks = |controller: &&str| !controllers.iter().any(|known| known == controller);
    let lacking: Vec<&str> = CONTROLLERS.into_iter().filter(lacks).collect();
    if !lacking.is_empty() {
        let stead = if own_users {
            "limits of each user and each OS process stand in"
        } else {
            "nothing stands in for processes"
        };
        missing.push(format!("its cgroups do not limit tests by {}: {stead}", lacking.join(", ")));
    }
    missing
}

/// What a directory takes on its disk; at least what was counted until there were too many files.
fn bytes_of(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    /// What the kernel counts blocks in, whatever those of the disk are.
    const BLOCK_BYTES: u64 = 512;
    let (mut bytes, mut files, mut waiting) = (0, 0, vec![directory.to_owned()]);
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            (bytes, files) = (bytes + meta.blocks() * BLOCK_BYTES, files + 1);
            if files > FILES_MAX {
                return u64::MAX;
            }
            if meta.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said() {
        let open = Path::new("/");
        let all = CONTROLLERS.map(str::to_owned);
        assert!(missing(true, Some(&all), open).is_empty());
        let said = missing(false, Some(&all[..1]), open);
        assert!(said[0].contains("own") && said[1].contains("memory, cpu") && said.len() == 2, "{said:?}");
        assert!(missing(true, None, open)[0].contains("older version"));
        let closed = tempfile::tempdir().unwrap();
        std::fs::set_permissions(closed.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        assert!(missing(true, Some(&all), closed.path())[0].contains("can not pass through"));
    }

    #[test]
    fn a_directory_is_measured_with_all_below_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::fs::write(folder.path().join("a/b/large"), vec![1; 100_000]).unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("everything")).unwrap();
        assert!((100_000..2_000_000).contains(&bytes_of(folder.path())), "{}", bytes_of(folder.path()));
    }
}
