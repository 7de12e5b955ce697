//! Named points at which a test lets the process die, as a power failure would, or be stopped, as a busy machine would.
//!
//! `MUSTER_CRASH_AT=before_append:3` kills the process with SIGKILL when it passes the point the third time;
//! `before_append:3:stop` stops it there with SIGSTOP. Without the variable a point costs one load.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::Signal;
use signal_hook::low_level::raise;

/// Names the point and the pass at which to die, or to stop.
const VARIABLE: &str = "MUSTER_CRASH_AT";

struct Armed {
    point: String,
    left: AtomicU64,
    signal: Signal,
}

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

/// Passes a point, or dies or stops there.
pub(crate) fn point(name: &str) {
    let Some(armed) = ARMED.get_or_init(arm) else { return };
    if armed.point == name && armed.left.fetch_sub(1, Ordering::AcqRel) == 1 {
        tracing::error!(point = name, "dying or stopping here, as a test asked for");
        // To this thread: one to the process may first stop another, while this one goes on.
        raise(armed.signal.as_raw()).expect("a thread may signal itself");
    }
}

fn arm() -> Option<Armed> {
    let text = std::env::var(VARIABLE).ok()?;
    let mut parts = text.split(':');
    let point = parts.next().unwrap_or_default().to_owned();
    let left = AtomicU64::new(parts.next().and_then(|pass| pass.parse().ok()).unwrap_or(1).max(1));
    let signal = if parts.next() == Some("stop") { Signal::STOP } else { Signal::KILL };
    Some(Armed { point, left, signal })
}
