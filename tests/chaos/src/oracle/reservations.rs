//! Every reservation ends once, gives every machine back, and no machine is granted twice; and a trigger acts once for each firing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_proto::v1::{self, job_event, reservation_event::Kind};
use prost::Message as _;

use crate::facts::Facts;
use crate::oracle::Violation;

pub(super) fn judge(facts: &Facts) -> Vec<Violation> {
    let mut held = Held::default();
    for entry in facts.log("RESERVATIONS").iter().flat_map(|message| &message.entries) {
        for event in entry.events.iter().filter_map(|event| v1::ReservationEvent::decode(event.as_ref()).ok()) {
            held.take(event, facts.moment(entry.time_ns));
        }
    }
    [held.over(), triggers(facts)].concat()
}

/// What RESERVATIONS says of all reservations.
#[derive(Debug, Default)]
struct Held {
    queued: BTreeSet<u64>,
    ended: BTreeSet<u64>,
    /// Who has a machine, from its grant to its return.
    holder: BTreeMap<String, u64>,
    found: Vec<Violation>,
}

impl Held {
    fn take(&mut self, event: v1::ReservationEvent, at: Duration) {
        let number = event.reservation;
        match event.kind {
            Some(Kind::Queued(_)) if !self.queued.insert(number) => {
                self.found.push(Violation::at(format!("reservation {number} was made twice"), at));
            }
            Some(Kind::Granted(granted)) => {
                for machine in granted.machines {
                    let before = self.holder.insert(machine.clone(), number);
                    if let Some(before) = before.filter(|before| *before != number) {
                        let what = format!("{machine} was granted to {number}, and {before} has it");
                        self.found.push(Violation::at(what, at));
                    }
                }
            }
            Some(Kind::MachineReturned(returned)) => {
                self.holder.remove(&returned.machine);
            }
            Some(Kind::Ended(_)) if !self.ended.insert(number) => {
                self.found.push(Violation::at(format!("reservation {number} ended twice"), at));
            }
            Some(Kind::Extended(_) | Kind::Ready(_)) if self.ended.contains(&number) => {
                self.found.push(Violation::at(format!("reservation {number} went on after its end"), at));
            }
            _ => {}
        }
    }

    fn over(self) -> Vec<Violation> {
        let open = self
            .queued
            .difference(&self.ended)
            .map(|number| Violation::new(format!("reservation {number} has not ended")));
        let kept = self
            .holder
            .iter()
            .map(|(machine, number)| Violation::new(format!("{machine} was not given back by {number}")));
        let also: Vec<Violation> = open.chain(kept).collect();
        [self.found, also].concat()
    }
}

/// An arm acts once for each firing.
fn triggers(facts: &Facts) -> Vec<Violation> {
    let (mut found, mut acted) = (Vec::new(), BTreeSet::new());
    for entry in facts.log("JOBS").iter().flat_map(|message| &message.entries) {
        for event in entry.events.iter().filter_map(|event| v1::JobEvent::decode(event.as_ref()).ok()) {
            let Some(job_event::Kind::TriggerActed(act)) = event.kind else { continue };
            let armed = act.armed.map(|armed| (armed.lineage, armed.sequence));
            if !acted.insert((act.firing.clone(), act.machine.clone(), armed, act.index)) {
                let what = format!("{} acted twice on one firing of trigger {}", act.machine, act.number);
                found.push(Violation::at(what, facts.moment(entry.time_ns)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::made_up::{acted, finds, good, granted, job_entry, reservation_entry};

    #[test]
    fn a_reservation_that_does_not_end_or_ends_twice_is_found() {
        let mut facts = good();
        facts.logs[2].messages[0].entries.remove(2);
        finds(&facts, "reservation 1 has not ended");
        let mut facts = good();
        let end = facts.logs[2].messages[0].entries[2].clone();
        facts.logs[2].messages[0].entries.push(end);
        finds(&facts, "reservation 1 ended twice");
        let mut facts = good();
        let queued = facts.logs[2].messages[0].entries[0].clone();
        facts.logs[2].messages[0].entries.push(queued);
        finds(&facts, "reservation 1 was made twice");
        let mut facts = good();
        let ready = Kind::Ready(v1::ReservationReady::default());
        facts.logs[2].messages[0].entries.push(reservation_entry(1, ready));
        finds(&facts, "reservation 1 went on after its end");
    }

    #[test]
    fn a_machine_that_is_granted_twice_or_kept_is_found() {
        let mut facts = good();
        facts.logs[2].messages[0].entries.insert(2, reservation_entry(2, granted("node-1")));
        finds(&facts, "node-1 was granted to 2, and 1 has it");
        let mut facts = good();
        facts.logs[2].messages[0].entries.remove(3);
        finds(&facts, "node-1 was not given back by 1");
    }

    #[test]
    fn a_trigger_that_acts_twice_is_found() {
        let mut facts = good();
        facts.logs[0].messages[1].entries.push(job_entry(vec![acted(), acted()]));
        finds(&facts, "acted twice on one firing");
    }
}
