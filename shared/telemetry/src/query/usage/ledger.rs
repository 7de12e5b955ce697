//! Hours of machines, from what happened to them in order. Pure.

use std::collections::BTreeMap;

/// Microseconds of an hour.
const HOUR: f64 = 3_600e6;

/// What an event says, as far as it counts here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The flag, health, phase or user that it names.
    pub(super) word: String,
    /// The value of a flag.
    pub(super) value: bool,
    /// The reservation of a holder; 0 for the pool.
    pub(super) reservation: i64,
}

/// What changed on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Added,
    Removed,
    Active(bool),
    Maintenance(bool),
    Retired(bool),
    /// The user of its reservation; none for the pool.
    Holder(Option<String>),
    Health {
        down: bool,
    },
    /// It can not be used: its attempts are spent.
    Offline(bool),
    Quarantined,
}

impl Change {
    /// The change that an event of MACHINES is; none for one that does not count.
    pub(super) fn of(kind: &str, told: Told) -> Option<Self> {
        let Told { word, value, reservation } = told;
        Some(match (kind, word.as_str()) {
            ("added", _) => Self::Added,
            ("removed", _) => Self::Removed,
            ("flag_changed", "MACHINE_FLAG_ACTIVE") => Self::Active(value),
            ("flag_changed", "MACHINE_FLAG_MAINTENANCE") => Self::Maintenance(value),
            ("flag_changed", "MACHINE_FLAG_RETIRED") => Self::Retired(value),
            ("epoch_raised", _) => Self::Holder((reservation > 0).then_some(word)),
            ("health_changed", health) => Self::Health { down: health == "HEALTH_DOWN" },
            ("phase_changed", phase) => Self::Offline(phase == "PHASE_OFFLINE"),
            ("quarantined", _) => Self::Quarantined,
            _ => return None,
        })
    }
}

/// Hours by what a machine was.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Hours {
    /// A reservation's.
    pub(super) held: f64,
    /// In the pool, with processes.
    pub(super) busy: f64,
    /// In the pool, up, with none.
    pub(super) idle: f64,
    /// In the pool, and not usable.
    pub(super) down: f64,
    /// Taken out by a person.
    pub(super) maintenance: f64,
}

impl Hours {
    /// All hours in which it took part.
    pub(super) fn active(&self) -> f64 {
        self.held + self.busy + self.idle + self.down + self.maintenance
    }

    /// The part of these in which it could be used by whoever comes.
    pub(super) fn availability(&self) -> f64 {
        if self.active() > 0.0 { (self.busy + self.idle) / self.active() } else { 0.0 }
    }

    fn add(&mut self, other: &Self) {
        self.held += other.held;
        self.busy += other.busy;
        self.idle += other.idle;
        self.down += other.down;
        self.maintenance += other.maintenance;
    }
}

#[derive(Debug, Default)]
struct Machine {
    active: bool,
    maintenance: bool,
    retired: bool,
    down: bool,
    offline: bool,
    holder: Option<String>,
    since: i64,
    hours: Hours,
    breakages: i64,
}

impl Machine {
    fn is_broken(&self) -> bool {
        self.down || self.offline
    }
}

/// Machines, and users, over a span of time.
#[derive(Debug)]
pub(super) struct Ledger {
    from: i64,
    to: i64,
    working: BTreeMap<String, Vec<(i64, i64)>>,
    machines: BTreeMap<String, Machine>,
    /// Hours and breakages.
    users: BTreeMap<String, (f64, i64)>,
    pool_breakages: i64,
}

impl Ledger {
    /// Empty, from one moment to another, microseconds; `working`: when processes ran on each machine, in order, without overlaps.
    pub(super) fn new(from: i64, to: i64, working: BTreeMap<String, Vec<(i64, i64)>>) -> Self {
        Self { from, to, working, machines: BTreeMap::new(), users: BTreeMap::new(), pool_breakages: 0 }
    }

    /// Takes a change; they come in order.
    pub(super) fn take(&mut self, machine: String, at: i64, change: Change) {
        self.settle(&machine, at);
        let inside = (self.from..self.to).contains(&at);
        let known = self.machines.entry(machine).or_default();
        let was_broken = known.is_broken();
        match change {
            Change::Added => {}
            Change::Removed => known.active = false,
            Change::Active(value) => known.active = value,
            Change::Maintenance(value) => known.maintenance = value,
            Change::Retired(value) => known.retired = value,
            Change::Holder(holder) => known.holder = holder,
            Change::Health { down } => known.down = down,
            Change::Offline(offline) => known.offline = offline,
            Change::Quarantined => known.offline = true,
        }
        if inside && known.is_broken() && !was_broken && known.active {
            known.breakages += 1;
            match &known.holder {
                Some(user) => self.users.entry(user.clone()).or_default().1 += 1,
                None => self.pool_breakages += 1,
            }
        }
    }

    /// Counts what is left until the end.
    pub(super) fn close(&mut self) {
        let names: Vec<String> = self.machines.keys().cloned().collect();
        for name in names {
            self.settle(&name, self.to);
        }
    }

    /// Counts the time of a machine until `at` as what it was.
    fn settle(&mut self, name: &str, at: i64) {
        let Some(machine) = self.machines.get_mut(name) else {
            self.machines.insert(name.to_owned(), Machine { since: at, ..Machine::default() });
            return;
        };
        let (begin, end) = (machine.since.max(self.from), at.min(self.to));
        machine.since = at;
        if end <= begin || !machine.active || machine.retired {
            return;
        }
        let hours = hours(end - begin);
        match (&machine.holder, machine.maintenance) {
            (_, true) => machine.hours.maintenance += hours,
            (Some(user), false) => {
                machine.hours.held += hours;
                self.users.entry(user.clone()).or_default().0 += hours;
            }
            (None, false) if machine.is_broken() => machine.hours.down += hours,
            (None, false) => {
                let worked = worked(self.working.get(name).map_or(&[], Vec::as_slice), begin, end);
                machine.hours.busy += worked;
                machine.hours.idle += hours - worked;
            }
        }
    }

    /// Each machine with its hours and breakages.
    pub(super) fn machines(&self) -> impl Iterator<Item = (&str, Hours, i64)> {
        self.machines.iter().map(|(name, machine)| (name.as_str(), machine.hours, machine.breakages))
    }

    /// Hours and breakages of each user.
    pub(super) fn users(&self) -> &BTreeMap<String, (f64, i64)> {
        &self.users
    }

    /// Breakages of machines that nobody had.
    pub(super) fn pool_breakages(&self) -> i64 {
        self.pool_breakages
    }

    /// Of all machines.
    pub(super) fn total(&self) -> Hours {
        let mut total = Hours::default();
        self.machines.values().for_each(|machine| total.add(&machine.hours));
        total
    }
}

/// Hours of the spans that lie within two moments.
fn worked(spans: &[(i64, i64)], begin: i64, end: i64) -> f64 {
    spans.iter().map(|(from, to)| hours((to.min(&end) - from.max(&begin)).max(0))).sum()
}

#[expect(clippy::cast_precision_loss, reason = "centuries fit")]
fn hours(us: i64) -> f64 {
    us as f64 / HOUR
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: i64 = 3_600_000_000;

    fn ledger(changes: &[(&str, i64, Change)]) -> Ledger {
        let working = BTreeMap::from([("m1".to_owned(), vec![(H, 2 * H), (20 * H, 30 * H)])]);
        let mut ledger = Ledger::new(0, 10 * H, working);
        for (machine, at, change) in changes {
            ledger.take((*machine).to_owned(), *at, change.clone());
        }
        ledger.close();
        ledger
    }

    #[test]
    fn each_hour_is_counted_once_as_what_the_machine_was() {
        let ledger = ledger(&[
            ("m1", -H, Change::Added),
            ("m1", -H, Change::Active(true)),
            ("m1", 3 * H, Change::Holder(Some("anna".into()))),
            ("m1", 5 * H, Change::Health { down: true }),
            ("m1", 6 * H, Change::Holder(None)),
            ("m1", 7 * H, Change::Health { down: false }),
            ("m1", 8 * H, Change::Maintenance(true)),
            ("m2", 2 * H, Change::Added),
        ]);
        let hours = Hours { held: 3.0, busy: 1.0, idle: 3.0, down: 1.0, maintenance: 2.0 };
        assert_eq!(ledger.total(), hours);
        assert_eq!(ledger.users(), &BTreeMap::from([("anna".to_owned(), (3.0, 1))]));
        assert_eq!((hours.active(), hours.availability()), (10.0, 0.4));
        let machines: Vec<_> = ledger.machines().map(|(name, hours, broken)| (name, hours.active(), broken)).collect();
        assert_eq!(machines, [("m1", 10.0, 1), ("m2", 0.0, 0)]);
    }

    #[test]
    fn events_of_the_log_are_the_changes_that_count() {
        let told = |word: &str, reservation| Told { word: word.into(), value: true, reservation };
        assert_eq!(Change::of("epoch_raised", told("anna", 7)), Some(Change::Holder(Some("anna".into()))));
        assert_eq!(Change::of("epoch_raised", told("", 0)), Some(Change::Holder(None)));
        assert_eq!(Change::of("flag_changed", told("MACHINE_FLAG_ACTIVE", 0)), Some(Change::Active(true)));
        assert_eq!(Change::of("phase_changed", told("PHASE_OFFLINE", 0)), Some(Change::Offline(true)));
        assert_eq!(Change::of("tags_set", told("", 0)), None);
    }
}
