//! What MACHINES and the agents disagree about, and what people are to know: for who asks for a full pass (`muster doctor`).
//!
//! Says what differs, and what the full pass does about it. It repairs nothing by itself: `decide` and `wanted` do.

use muster_ledger::{Alarm, Difference, Findings};
use muster_model::{MachineId, PoolTime};

use super::check::check;
use super::health::{Health, brake, health};
use super::limits::{DOWN_AFTER, OLD_HEARTBEATS_MAX};
use super::{Machine, Observed, Seen, Stage, State};

/// Everything that is found now.
pub(super) fn findings(state: &State, observed: &Observed, now: PoolTime) -> Findings {
    let mut differences = Vec::new();
    for (id, machine) in &state.machines {
        let Some(seen) = observed.current(id, machine).filter(|_| health(observed, id, now) == Health::Up) else {
            continue;
        };
        let found = differing(machine, seen);
        differences.extend(found.into_iter().map(|(what, next)| Difference { subject: id.to_string(), what, next }));
    }
    let quarantined = state.machines.iter().filter_map(|(id, machine)| quarantine(id, machine));
    let alarms = brake_alarm(state, observed, now).into_iter().chain(hold_alarm(state)).chain(quarantined).collect();
    Findings { differences, alarms, broken: check(state).err() }
}

/// What an agent that is heard says otherwise than the log, each with what is done about it.
fn differing(machine: &Machine, seen: &Seen) -> Vec<(String, String)> {
    let said = &seen.heartbeat;
    let mut found = Vec::new();
    if said.generation < machine.generation {
        let what = format!(
            "its agent has the desired state of MACHINES {}, and {} is wanted",
            said.generation, machine.generation
        );
        found.push((what, "it is sent to the agent again".into()));
    } else if machine.protection_pending() {
        let what = format!(
            "its agent has the protection of MACHINES {} on disk, and the log does not say so",
            said.generation
        );
        found.push((what, "that is logged".into()));
    }
    if said.boot_id != machine.boot_id {
        let what = format!("it runs in the boot {}, and the log knows {}", said.boot_id, machine.boot_id);
        found.push((what, "its agent is asked for a hello".into()));
    }
    if machine.tenure.stage == Stage::Fencing {
        let what = format!("its agent has fenced epoch {}, and {} is wanted", said.fenced_epoch, machine.epoch);
        found.push((what, "the agent ends what is older, and then says so".into()));
    } else if said.fenced_epoch > machine.epoch {
        let what =
            format!("its agent has fenced epoch {}, above {}, which is the log's", said.fenced_epoch, machine.epoch);
        found.push((what, "its next hello raises the epoch above it".into()));
    }
    if (1..OLD_HEARTBEATS_MAX).contains(&seen.old_heartbeats) && machine.quarantine.is_none() {
        let what = "two agents say that they are this machine".to_owned();
        found.push((what, format!("it is quarantined after {OLD_HEARTBEATS_MAX} heartbeats of the older one")));
    }
    found
}

fn brake_alarm(state: &State, observed: &Observed, now: PoolTime) -> Option<Alarm> {
    brake(state, observed, now).then(|| Alarm {
        what: "the brake is on: no machine is called down, reallocated or switched".into(),
        why: format!(
            "too many machines went silent within {} s, so Muster itself is the suspect",
            DOWN_AFTER.as_secs()
        ),
        next:
            "look at the network and at nats-server; machines that are really gone: `muster machine maintenance NAME`"
                .into(),
    })
}

fn hold_alarm(state: &State) -> Option<Alarm> {
    let hold = state.hold.as_ref()?;
    let reason = if hold.reason.is_empty() { String::new() } else { format!(": {}", hold.reason) };
    Some(Alarm {
        what: "no machine is switched or rebooted".into(),
        why: format!("{} holds all of that{reason}", hold.actor),
        next: "`muster hold off` lets it go on".into(),
    })
}

fn quarantine(id: &MachineId, machine: &Machine) -> Option<Alarm> {
    let reason = machine.quarantine.as_ref().filter(|_| !machine.flags.retired)?;
    Some(Alarm {
        what: format!("{id} is quarantined"),
        why: reason.clone(),
        next: format!("look at the machine, then `muster machine activate {id}`"),
    })
}
