//! Flaky machines: one that failed too often and in too many ways is not used until a person has looked at it.

use muster_model::Phase;

use super::boot::move_to;
use super::draft::Draft;
use crate::core::Fact;

/// A machine becomes usable, unless it is too flaky: then it is quarantined instead.
pub(super) fn become_ready(draft: &mut Draft<'_>, reason: &str) {
    match draft.machine().recent.flaky() {
        None => move_to(draft, Phase::Ready, reason),
        Some(why) => quarantine(draft, &why),
    }
}

/// A machine is heard again that is ready: it may have become too flaky meanwhile.
pub(super) fn look(draft: &mut Draft<'_>) {
    if draft.machine().phase == Phase::Ready
        && let Some(why) = draft.machine().recent.flaky()
    {
        quarantine(draft, &why);
    }
}

fn quarantine(draft: &mut Draft<'_>, why: &str) {
    move_to(draft, Phase::Dirty, why);
    if draft.machine().quarantine.is_none() {
        draft.push(Fact::Quarantined { reason: why.to_owned() });
    }
}
