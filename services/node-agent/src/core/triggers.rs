//! Triggers on this machine: which arm a firing concerns, and whether it acts. A firing acts once, and never for an older epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_model::{
    ArmId, Epoch, Firing, FiringId, FiringSource, JobNumber, MachineId, PoolTime, ProcessId, ReservationId,
    TriggerAction, TriggerNumber,
};

/// A firing that is heard of later than this is missed; likewise one that seems to come from the future.
pub(crate) const FIRING_AGE_MAX: Duration = Duration::from_secs(2);
/// Firings are remembered for so long: far beyond the age at which they are missed in any case.
pub(crate) const REMEMBERED_FOR: Duration = Duration::from_secs(60);
/// Firings that are remembered at most. Beyond them none acts, because none could be told from one that did.
pub(crate) const FIRINGS_MAX: usize = 10_000;
/// Arms that disarmed themselves and are remembered so at most.
pub(crate) const USED_MAX: usize = 1_024;

/// Where this machine stands, as far as triggers are concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ground {
    /// The newest epoch heard of.
    pub epoch: Epoch,
    /// The epoch that is fenced; nothing acts while it is behind.
    pub fenced: Epoch,
    /// Whose the machine is; 0 is the pool's.
    pub reservation: ReservationId,
    /// Nothing may touch the machine.
    pub protected: bool,
}

/// An arm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arm {
    /// Which, for the scheduler; none for one that a process of this machine made.
    pub id: Option<ArmId>,
    /// Number.
    pub number: TriggerNumber,
    /// Epoch in which it holds.
    pub epoch: Epoch,
    /// Holder in whose name it is armed.
    pub reservation: ReservationId,
    /// Machines that may fire it, sorted; with `from_jobs` empty too, whatever runs for the holder may.
    pub from_machines: Vec<MachineId>,
    /// Jobs that may fire it, sorted.
    pub from_jobs: Vec<JobNumber>,
    /// What is done.
    pub action: TriggerAction,
}

impl Arm {
    fn admits(&self, source: &FiringSource) -> bool {
        match source {
            FiringSource::Person(_) => true,
            FiringSource::Process { machine, process, .. } => {
                let is_open = self.from_machines.is_empty() && self.from_jobs.is_empty();
                is_open || self.from_jobs.contains(&process.dpid.job) || self.from_machines.contains(machine)
            }
        }
    }
}

/// What a firing means here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing here is armed for it.
    Unconcerned,
    /// It was heard before.
    Again,
    /// Something is armed, and does not act: why.
    Missed(Arm, String),
    /// Something is armed, and may not act: why.
    Forbidden(Arm, String),
    /// This acts.
    Act(Arm),
}

/// All arms of this machine, and the firings that were heard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Triggers {
    /// The scheduler's.
    arms: BTreeMap<TriggerNumber, Arm>,
    /// Those of processes of this machine, and whose each is.
    own: BTreeMap<TriggerNumber, (ProcessId, Arm)>,
    /// Arms that disarmed themselves, before the scheduler knew.
    used: BTreeSet<ArmId>,
    /// Firings that were heard, and when they fired.
    heard: BTreeMap<FiringId, PoolTime>,
}

impl Triggers {
    /// What a firing means. Nothing is noted: that has to be on the disk first.
    pub(crate) fn hear(&self, firing: &Firing, ground: &Ground, now: PoolTime) -> Heard {
        let holds = |arm: &&Arm| {
            arm.epoch == ground.epoch
                && ground.fenced == ground.epoch
                && arm.reservation == firing.reservation
                && firing.reservation == ground.reservation
                && !arm.id.is_some_and(|id| self.used.contains(&id))
                && arm.admits(&firing.source)
        };
        let own = self.own.get(&firing.number).map(|(_, arm)| arm);
        let Some(arm) = self.arms.get(&firing.number).filter(holds).or(own.filter(holds)).cloned() else {
            return Heard::Unconcerned;
        };
        if self.heard.contains_key(&firing.id) {
            return Heard::Again;
        }
        let (late, early) = (now.since(firing.fired), firing.fired.since(now));
        if late > FIRING_AGE_MAX {
            return Heard::Missed(arm, format!("it was heard of {:.3} s after it fired", late.as_secs_f64()));
        }
        if early > FIRING_AGE_MAX {
            let why =
                format!("it names a time that is {:.3} s ahead of this machine's pool clock", early.as_secs_f64());
            return Heard::Missed(arm, why);
        }
        if self.heard.len() >= FIRINGS_MAX {
            return Heard::Missed(arm, format!("{FIRINGS_MAX} firings were heard within a minute"));
        }
        if ground.protected {
            return Heard::Forbidden(arm, "the machine is protected".into());
        }
        Heard::Act(arm)
    }

    /// A firing was heard, and that is on the disk. What is too old to act anyway is forgotten.
    pub(crate) fn note_heard(&mut self, firing: FiringId, fired: PoolTime, now: PoolTime) {
        self.heard.retain(|_, fired| now.since(*fired) <= REMEMBERED_FOR);
        if self.heard.len() < FIRINGS_MAX {
            self.heard.insert(firing, fired);
        }
    }

    /// An arm disarmed itself.
    pub(crate) fn note_used(&mut self, number: TriggerNumber, arm: Option<ArmId>) {
        match arm {
            Some(id) => {
                if self.used.len() >= USED_MAX {
                    self.used.pop_first();
                }
                self.used.insert(id);
            }
            None => drop(self.own.remove(&number)),
        }
    }

    /// The scheduler's whole list.
    pub(crate) fn set_arms(&mut self, arms: Vec<Arm>) {
        self.arms = arms.into_iter().map(|arm| (arm.number, arm)).collect();
        let listed: BTreeSet<ArmId> = self.arms.values().filter_map(|arm| arm.id).collect();
        self.used.retain(|id| listed.contains(id));
    }

    /// The scheduler's arms.
    pub(crate) fn arms(&self) -> impl Iterator<Item = &Arm> {
        self.arms.values()
    }

    /// Arms of processes of this machine.
    pub(crate) fn own(&self) -> impl Iterator<Item = (&ProcessId, &Arm)> {
        self.own.values().map(|(process, arm)| (process, arm))
    }

    /// Arms that disarmed themselves.
    pub(crate) fn used(&self) -> impl Iterator<Item = &ArmId> {
        self.used.iter()
    }

    /// Firings that are remembered, and when they fired.
    pub(crate) fn heard(&self) -> impl Iterator<Item = (&FiringId, &PoolTime)> {
        self.heard.iter()
    }

    /// A process arms its own machine; why not, where it may not.
    pub(crate) fn arm_own(&mut self, process: ProcessId, arm: Arm) -> Result<(), String> {
        if self.arms.get(&arm.number).is_some_and(|other| other.epoch == arm.epoch) {
            return Err("a person armed this machine for that trigger".into());
        }
        match self.own.get(&arm.number) {
            Some((other, _)) if *other != process => Err(format!("the process {} armed it", other.dpid)),
            Some(_) | None => {
                self.own.insert(arm.number, (process, arm));
                Ok(())
            }
        }
    }

    /// Arms of a process end with it; true when there were any.
    pub(crate) fn disarm_own(&mut self, process: ProcessId) -> bool {
        let before = self.own.len();
        self.own.retain(|_, (of, _)| *of != process);
        self.own.len() < before
    }
}

/// How fast the processes of a machine may fire: what is beyond would be noise for the whole pool.
#[derive(Debug, Default)]
pub(crate) struct FireRate {
    second: u64,
    fired: u32,
}

/// Firings of one machine within a second at most.
pub(crate) const FIRED_PER_SECOND_MAX: u32 = 50;

impl FireRate {
    /// One more may fire now.
    pub(crate) fn admits(&mut self, now: Duration) -> bool {
        if self.second != now.as_secs() {
            (self.second, self.fired) = (now.as_secs(), 0);
        }
        self.fired += 1;
        self.fired <= FIRED_PER_SECOND_MAX
    }
}

#[cfg(test)]
mod tests {
    use muster_model::{Dpid, Position, ProcessNumber};

    use super::*;

    fn machine(id: &str) -> MachineId {
        MachineId::new(id).unwrap()
    }

    fn process(job: u32) -> ProcessId {
        ProcessId { dpid: Dpid { job: JobNumber(job), process: ProcessNumber(1) }, ..ProcessId::default() }
    }

    fn ground() -> Ground {
        Ground { epoch: Epoch(3), fenced: Epoch(3), reservation: ReservationId(0), protected: false }
    }

    fn arm() -> Arm {
        Arm {
            id: Some(ArmId { position: Position::new(1, 9), index: 0 }),
            number: TriggerNumber(3),
            epoch: Epoch(3),
            reservation: ReservationId(0),
            from_machines: Vec::new(),
            from_jobs: Vec::new(),
            action: TriggerAction::DumpHistory,
        }
    }

    fn triggers(arm: Arm) -> Triggers {
        let mut triggers = Triggers::default();
        triggers.set_arms(vec![arm]);
        triggers
    }

    const NOW: PoolTime = PoolTime(1_000_000_000_000);

    fn firing(from: &str, job: u32) -> Firing {
        Firing {
            id: FiringId([7; 16]),
            number: TriggerNumber(3),
            source: FiringSource::Process { machine: machine(from), epoch: Epoch(1), process: process(job) },
            fired: NOW - Duration::from_millis(1),
            note: String::new(),
            reservation: ReservationId(0),
        }
    }

    fn person() -> Firing {
        Firing { source: FiringSource::Person("user:anna".into()), ..firing("node-2", 1) }
    }

    #[test]
    fn an_arm_acts_only_for_whom_it_names() {
        let check = |arm: Arm, firing: &Firing| matches!(triggers(arm).hear(firing, &ground(), NOW), Heard::Act(_));
        assert!(check(arm(), &firing("node-2", 1)));
        let by_job = Arm { from_jobs: vec![JobNumber(4)], ..arm() };
        assert!(check(by_job.clone(), &firing("node-2", 4)) && !check(by_job.clone(), &firing("node-2", 5)));
        assert!(check(by_job, &person()), "a person may always");
        let by_machine = Arm { from_machines: vec![machine("node-2")], ..arm() };
        assert!(check(by_machine.clone(), &firing("node-2", 5)) && !check(by_machine, &firing("node-1", 5)));
        assert!(!check(arm(), &Firing { number: TriggerNumber(4), ..person() }));
    }

    #[test]
    fn nothing_acts_for_another_epoch_or_holder() {
        let hear = |ground: &Ground, firing: &Firing| triggers(arm()).hear(firing, ground, NOW);
        assert_eq!(hear(&ground(), &person()), Heard::Act(arm()));
        let risen = Ground { epoch: Epoch(4), fenced: Epoch(4), ..ground() };
        assert_eq!(hear(&risen, &person()), Heard::Unconcerned);
        let fencing = Ground { fenced: Epoch(2), ..ground() };
        assert_eq!(hear(&fencing, &person()), Heard::Unconcerned);
        let foreign = Firing { reservation: ReservationId(7), ..person() };
        assert_eq!(hear(&ground(), &foreign), Heard::Unconcerned);
        let held = Ground { reservation: ReservationId(7), ..ground() };
        assert_eq!(hear(&held, &foreign), Heard::Unconcerned, "armed by the holder before");
        let shielded = Ground { protected: true, ..ground() };
        assert!(matches!(hear(&shielded, &person()), Heard::Forbidden(..)));
    }

    #[test]
    fn a_firing_is_heard_once_and_late_ones_are_missed() {
        let mut triggers = triggers(arm());
        assert!(matches!(triggers.hear(&person(), &ground(), NOW), Heard::Act(_)));
        triggers.note_heard(person().id, person().fired, NOW);
        assert_eq!(triggers.hear(&person(), &ground(), NOW), Heard::Again);
        let other = Firing { id: FiringId([8; 16]), fired: NOW, ..person() };
        let at = |after: Duration| triggers.hear(&other, &ground(), NOW + after);
        assert!(matches!(at(FIRING_AGE_MAX), Heard::Act(_)));
        assert!(matches!(at(FIRING_AGE_MAX + Duration::from_nanos(1)), Heard::Missed(..)));
        let ahead = |by: Duration| triggers.hear(&Firing { fired: NOW + by, ..other.clone() }, &ground(), NOW);
        assert!(matches!(ahead(FIRING_AGE_MAX), Heard::Act(_)));
        assert!(matches!(ahead(FIRING_AGE_MAX + Duration::from_nanos(1)), Heard::Missed(..)));
    }

    #[test]
    fn firings_are_bounded_without_any_acting_twice() {
        let mut triggers = triggers(arm());
        for number in 0..FIRINGS_MAX as u128 {
            triggers.note_heard(FiringId(number.to_be_bytes()), NOW, NOW);
        }
        assert!(matches!(triggers.hear(&person(), &ground(), NOW), Heard::Missed(..)), "no room to remember it");
        let again = Firing { id: FiringId(0_u128.to_be_bytes()), fired: NOW, ..person() };
        assert_eq!(triggers.hear(&again, &ground(), NOW), Heard::Again);
        let later = NOW + REMEMBERED_FOR + Duration::from_secs(1);
        triggers.note_heard(FiringId([9; 16]), later, later);
        assert_eq!(triggers.heard().count(), 1);
    }

    #[test]
    fn what_disarmed_itself_stays_so_until_it_is_armed_anew() {
        let mut triggers = triggers(arm());
        triggers.note_used(arm().number, arm().id);
        triggers.set_arms(vec![arm()]);
        assert_eq!(triggers.hear(&person(), &ground(), NOW), Heard::Unconcerned);
        let anew = Arm { id: Some(ArmId { position: Position::new(1, 10), index: 0 }), ..arm() };
        triggers.set_arms(vec![anew.clone()]);
        assert_eq!(triggers.hear(&person(), &ground(), NOW), Heard::Act(anew));
        assert_eq!(triggers.used().count(), 0, "what is no more listed need not be remembered");
    }

    #[test]
    fn a_process_arms_its_machine_for_as_long_as_it_lives() {
        let own = Arm { id: None, ..arm() };
        let mut triggers = Triggers::default();
        assert_eq!(triggers.arm_own(process(1), own.clone()), Ok(()));
        assert_eq!(triggers.arm_own(process(1), own.clone()), Ok(()), "said again, as after a reconnect");
        assert!(triggers.arm_own(process(2), own.clone()).is_err());
        assert_eq!(triggers.hear(&person(), &ground(), NOW), Heard::Act(own.clone()));
        assert!(triggers.disarm_own(process(1)) && !triggers.disarm_own(process(1)));
        assert_eq!(triggers.hear(&person(), &ground(), NOW), Heard::Unconcerned);
        triggers.set_arms(vec![arm()]);
        assert!(triggers.arm_own(process(1), own).is_err(), "a person's arm goes first");
    }

    #[test]
    fn a_machine_fires_only_so_often() {
        let mut rate = FireRate::default();
        let at = Duration::from_millis(5_500);
        assert_eq!((0..200).filter(|_| rate.admits(at)).count(), FIRED_PER_SECOND_MAX as usize);
        assert!(rate.admits(Duration::from_secs(6)));
    }
}
