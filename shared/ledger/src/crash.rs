//! Named points at which a test lets the process die, as a power failure would.
//!
//! `MUSTER_CRASH_AT=before_append:3` kills the process with SIGKILL when it passes the point the third time. Without the variable a
//! point costs one load.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names the point and the pass at which to die.
const VARIABLE: &str = "MUSTER_CRASH_AT";

struct Armed {
    point: String,
    left: AtomicU64,
}

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

/// Passes a point, or dies there.
pub(crate) fn point(name: &str) {
    let Some(armed) = ARMED.get_or_init(arm) else { return };
    if armed.point == name && armed.left.fetch_sub(1, Ordering::AcqRel) == 1 {
        tracing::error!(point = name, "dying here, as a test asked for");
        let died = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        died.expect("a process may kill itself");
    }
}

fn arm() -> Option<Armed> {
    let text = std::env::var(VARIABLE).ok()?;
    let (point, pass) = text.split_once(':').unwrap_or((&text, "1"));
    let left = AtomicU64::new(pass.parse().unwrap_or(1).max(1));
    Some(Armed { point: point.to_owned(), left })
}
