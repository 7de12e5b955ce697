//! Safety rails: how many machines may be switched at once, how quickly, and when not at all. Checked when acting, not when asked.
//!
//! The limits are those of facts that others paid for: a rack that is switched on at once trips its breaker, and a controller that
//! fails five times in a row is not to be asked by hundred machines.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_model::{PoolTime, PowerDomain};

use super::limits::{
    BREAKER_FAILURES_MIN, BREAKER_PERCENT, BREAKER_WINDOW, POWER_AT_ONCE_MAX, POWER_IN_DOMAIN_MAX, POWER_QUIET,
    POWER_STAGGER,
};
use super::power::{PowerOperation, PowerOutcome};
use super::{Machine, State};

/// What is under way on a power domain.
#[derive(Debug, Clone, Default)]
struct Domain {
    machines: usize,
    under_way: usize,
    failing: usize,
    newest: PoolTime,
}

/// How things stand when something is to be done; what is begun in the same turn is added.
#[derive(Debug, Clone, Default)]
pub struct Rails {
    hold: Option<String>,
    under_way: usize,
    /// By domain; machines without one are together in the domain of no name, which has neither stagger nor limit of its own.
    domains: BTreeMap<Option<PowerDomain>, Domain>,
}

impl Rails {
    /// The rails now.
    #[must_use]
    pub fn of(state: &State, now: PoolTime) -> Self {
        let hold = state.hold.as_ref().map(|hold| match hold.reason.as_str() {
            "" => format!("held by {}", hold.actor),
            reason => format!("held by {}: {reason}", hold.actor),
        });
        let mut rails = Self { hold, ..Self::default() };
        for machine in state.machines.values().filter(|machine| machine.settings.power.is_some()) {
            rails.count(machine, now);
        }
        rails
    }

    fn count(&mut self, machine: &Machine, now: PoolTime) {
        let domain = self.domains.entry(domain_of(machine)).or_default();
        domain.machines += 1;
        let Some(operation) = &machine.power else { return };
        domain.newest = domain.newest.max(operation.begun);
        let acts = operation.is_open() && !operation.asked;
        domain.under_way += usize::from(acts);
        self.under_way += usize::from(acts);
        domain.failing += usize::from(has_failed(operation, now));
    }

    /// Whether something may be done to a machine now.
    ///
    /// # Errors
    /// Says what it waits for.
    pub fn allow(&self, machine: &Machine, now: PoolTime) -> Result<(), String> {
        if let Some(hold) = &self.hold {
            return Err(hold.clone());
        }
        if machine.protection.machine {
            return Err("it is protected as a whole".into());
        }
        if let Some(operation) = &machine.power {
            if operation.is_open() {
                return Err(format!("its {} is under way", operation.task));
            }
            let quiet_until = operation.begun + POWER_QUIET;
            if !quiet_until.is_due(now) {
                return Err(wait("it was switched just before", quiet_until, now));
            }
        }
        if self.under_way >= POWER_AT_ONCE_MAX {
            return Err(format!("{POWER_AT_ONCE_MAX} power operations are under way"));
        }
        self.allow_in_domain(domain_of(machine), now)
    }

    fn allow_in_domain(&self, name: Option<PowerDomain>, now: PoolTime) -> Result<(), String> {
        let Some(domain) = self.domains.get(&name) else { return Ok(()) };
        let failing = domain.failing;
        if failing >= BREAKER_FAILURES_MIN && failing * 100 > domain.machines * BREAKER_PERCENT {
            let place = name.map_or_else(|| "of the pool".to_owned(), |name| format!("of the power domain {name}"));
            return Err(format!("power fails on {failing} of {} machines {place}: look at it first", domain.machines));
        }
        let Some(name) = name else { return Ok(()) };
        if domain.under_way >= POWER_IN_DOMAIN_MAX {
            return Err(format!("{POWER_IN_DOMAIN_MAX} power operations are under way in the power domain {name}"));
        }
        let staggered = domain.newest + POWER_STAGGER;
        if domain.newest != PoolTime::NEVER && !staggered.is_due(now) {
            return Err(wait(
                &format!("another machine of the power domain {name} was switched just before"),
                staggered,
                now,
            ));
        }
        Ok(())
    }

    /// Something begins in this turn.
    pub(super) fn begin(&mut self, machine: &Machine, now: PoolTime) {
        let domain = self.domains.entry(domain_of(machine)).or_default();
        domain.under_way += 1;
        domain.newest = now;
        self.under_way += 1;
    }
}

fn domain_of(machine: &Machine) -> Option<PowerDomain> {
    machine.settings.power.as_ref().and_then(|spec| spec.domain.clone())
}

fn has_failed(operation: &PowerOperation, now: PoolTime) -> bool {
    let failed = matches!(operation.outcome, Some(PowerOutcome::Failed | PowerOutcome::Unclear));
    failed && !(operation.ended + BREAKER_WINDOW).is_due(now)
}

fn wait(why: &str, until: PoolTime, now: PoolTime) -> String {
    let seconds = until.since(now).as_secs_f64().ceil();
    format!("{why}; it goes on in {:?}", Duration::from_secs(seconds as u64))
}

/// What an order that waits for its turn waits for, for people; empty where none waits, or it need not.
#[must_use]
pub fn waits_for(rails: &Rails, machine: &Machine, now: PoolTime) -> String {
    let waiting = machine.power_order.as_ref().map(|_| rails.allow(machine, now));
    waiting.and_then(Result::err).unwrap_or_default()
}
