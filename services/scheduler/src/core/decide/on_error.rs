//! What a job does first when its processes find wrong data: known words, and a crash only where every machine permits it.

use muster_model::{ON_ERRORS, OnError, Refusal, RefusalCode, TriggerAction};

use super::super::event::Placement;
use super::super::limits::NAMED_MAX;
use super::super::observed::Observed;

/// Reads it as it was given.
pub(super) fn read(what: &str, given: &str) -> Result<OnError, Refusal> {
    OnError::parse(given).map_err(|why| {
        let next = format!("give --on-error {ON_ERRORS}");
        Refusal::new(RefusalCode::Invalid, what, format!("what comes first on an error can not be that: {why}"), next)
    })
}

/// Every machine that the job would run on permits it. Its agent looks again when it comes to that.
pub(super) fn check(
    observed: &Observed,
    what: &str,
    on_error: &OnError,
    placements: &[Placement],
) -> Result<(), Refusal> {
    match on_error {
        OnError::Crash => {}
        OnError::Report | OnError::Continue | OnError::Trigger(_) => return Ok(()),
    }
    let permits = |placement: &&Placement| {
        observed.agent(&placement.machine).is_some_and(|agent| agent.policy.permits(&TriggerAction::Crash))
    };
    let mut others: Vec<&str> = placements.iter().filter(|one| !permits(one)).map(|one| one.machine.as_str()).collect();
    others.sort_unstable();
    others.dedup();
    if others.is_empty() {
        return Ok(());
    }
    let named = others.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    let more = if others.len() > NAMED_MAX { format!(" and {} more", others.len() - NAMED_MAX) } else { String::new() };
    let why = format!("it may not crash {named}{more}: not permitted by the machine's policy file");
    let next =
        "permit `crash` in the file that the agent was given with --trigger-policy, or choose other machines with --on";
    Err(Refusal::new(RefusalCode::Refused, what, why, next))
}
