//! At the end every machine is up and the pool's, everything settled, and every sample was counted once.

use crate::facts::{Facts, Machine};
use crate::oracle::Violation;

pub(super) fn judge(facts: &Facts) -> Vec<Violation> {
    let mut found: Vec<Violation> = facts.unsettled.iter().map(Violation::new).collect();
    if facts.machines.len() != facts.machines_expected as usize {
        found.push(Violation::new(format!(
            "{} machines are known of {}",
            facts.machines.len(),
            facts.machines_expected
        )));
    }
    let bad = facts.machines.iter().filter(|machine| !is_well(machine));
    found.extend(bad.map(|machine| Violation::new(format!("a machine is not well at the end: {machine:?}"))));
    if facts.stored != facts.acknowledged {
        let (stored, acknowledged) = (facts.stored, facts.acknowledged);
        found.push(Violation::new(format!("acknowledged were {acknowledged:?}, stored are {stored:?}")));
    }
    found
}

fn is_well(machine: &Machine) -> bool {
    machine.health == "up" && machine.phase == "ready" && machine.tenure == "pool"
}

#[cfg(test)]
mod tests {
    use crate::oracle::made_up::{finds, good};

    #[test]
    fn a_machine_that_is_down_kept_or_missing_is_found() {
        let mut facts = good();
        facts.machines[0].health = "down".into();
        finds(&facts, "a machine is not well at the end");
        let mut facts = good();
        facts.machines[0].tenure = "draining".into();
        finds(&facts, "a machine is not well at the end");
        let mut facts = good();
        facts.machines.pop();
        finds(&facts, "1 machines are known of 2");
    }

    #[test]
    fn what_did_not_settle_is_found() {
        let mut facts = good();
        facts.unsettled.push("it goes on".into());
        finds(&facts, "it goes on");
    }

    #[test]
    fn a_sample_that_is_missing_or_doubled_is_found() {
        let mut facts = good();
        facts.stored.samples -= 1;
        finds(&facts, "acknowledged were");
        let mut facts = good();
        facts.stored.finals += 1;
        finds(&facts, "acknowledged were");
    }
}
