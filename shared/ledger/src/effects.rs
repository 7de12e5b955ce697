//! Performing effects: at most 64 at once, one at a time per key, each only while leadership holds.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use muster_bus::Authority;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::lease::Lease;
use crate::{Core, Handle, Shell, crash, metrics};

/// Effects performed at once.
const RUNNING_MAX: usize = 64;
/// Effects that wait; beyond it they are dropped, and the next full pass wants them again.
const WAITING_MAX: usize = 16_384;
/// An effect that takes longer is given up; the next full pass wants it again.
const TIME_MAX: Duration = Duration::from_secs(600);

/// The runner of a leader's effects. Dropping it ends them all.
pub(crate) struct Effects<C: Core, S> {
    shell: Arc<S>,
    handle: Handle<C>,
    lease: Arc<Lease>,
    ended: CancellationToken,
    tasks: JoinSet<()>,
    running: HashMap<Id, String>,
    /// What runs, with the keys of the state for which the same was wanted again meanwhile.
    keys: BTreeMap<String, BTreeSet<C::Key>>,
    waiting: BTreeMap<String, (C::Effect, Authority)>,
    order: VecDeque<String>,
}

impl<C: Core, S: Shell<C>> Effects<C, S> {
    pub(crate) fn new(shell: Arc<S>, handle: Handle<C>, lease: Arc<Lease>, ended: CancellationToken) -> Self {
        let (tasks, running, keys) = (JoinSet::new(), HashMap::new(), BTreeMap::new());
        Self { shell, handle, lease, ended, tasks, running, keys, waiting: BTreeMap::new(), order: VecDeque::new() }
    }

    /// Performs an effect, now or when there is room. While the same is being performed, it is noted that it may have to be wanted again
    /// because of a key; without one, the next full pass finds it.
    pub(crate) fn want(&mut self, effect: C::Effect, authority: Authority, because_of: Option<&C::Key>) {
        let key = C::effect_key(&effect);
        if let Some(again) = self.keys.get_mut(&key) {
            again.extend(because_of.cloned());
            return;
        }
        if let Some(waiting) = self.waiting.get_mut(&key) {
            *waiting = (effect, authority);
        } else if self.waiting.len() >= WAITING_MAX {
            ::metrics::counter!(metrics::EFFECTS_DROPPED).increment(1);
        } else {
            self.order.push_back(key.clone());
            self.waiting.insert(key, (effect, authority));
        }
        self.start();
    }

    /// Whether nothing is being performed.
    pub(crate) fn is_idle(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits for one to end, and takes all that have ended with it. Returned are the keys for which these were wanted again. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> BTreeSet<C::Key> {
        let mut next = self.tasks.join_next_with_id().await;
        let mut again = BTreeSet::new();
        while let Some(ended) = next {
            again.append(&mut self.forget(ended));
            next = self.tasks.try_join_next_with_id();
        }
        self.start();
        again
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) -> BTreeSet<C::Key> {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "an effect failed badly");
                error.id()
            }
        };
        let key = self.running.remove(&id);
        key.and_then(|key| self.keys.remove(&key)).unwrap_or_default()
    }

    fn start(&mut self) {
        while self.tasks.len() < RUNNING_MAX && self.lease.is_valid() {
            let Some(key) = self.order.pop_front() else { return };
            let Some((effect, authority)) = self.waiting.remove(&key) else { continue };
            crash::point("before_effect");
            let performing = self.shell.clone().perform(effect, authority, self.handle.clone());
            let (ended, lease) = (self.ended.clone(), self.lease.clone());
            let task = self.tasks.spawn(async move {
                if !lease.is_valid() {
                    return;
                }
                let bounded = tokio::time::timeout(TIME_MAX, performing);
                if let Some(Err(_)) = ended.run_until_cancelled(bounded).await {
                    tracing::warn!("an effect took too long and was given up");
                }
                crash::point("after_effect");
            });
            self.running.insert(task.id(), key.clone());
            self.keys.insert(key, BTreeSet::new());
        }
    }
}
