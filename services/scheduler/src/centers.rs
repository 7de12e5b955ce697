//! Beats of interactive command centers: a center asks who is master each second, and is heard by that.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_ledger::Handle;

use crate::core::master::CenterId;
use crate::core::{JobCore, Observation};
use crate::shell::JobShell;

/// How often the core is told who was heard.
const INTERVAL: Duration = Duration::from_millis(500);
/// Centers that are remembered between two looks; of more, the rest is heard the next time.
const HEARD_MAX: usize = 256;

/// Centers that were heard since the last look.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<BTreeSet<CenterId>>);

impl Heard {
    /// A center asked; anything else that asks has no id.
    pub(crate) fn note(&self, center: &str) {
        let Some(center) = CenterId::new(center) else { return };
        let mut heard = self.0.lock().expect("nobody panics with it");
        if heard.len() < HEARD_MAX {
            heard.insert(center);
        }
    }

    fn take(&self) -> BTreeSet<CenterId> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics with it"))
    }
}

/// Tells the core who was heard, until leadership ends.
pub(crate) async fn tell(shell: Arc<JobShell>, handle: Handle<JobCore>) {
    loop {
        handle.observe(Observation::Centers(shell.centers.take()));
        tokio::time::sleep(INTERVAL).await;
    }
}
