//! Machines as the scheduler needs them: facts from MACHINES, the places that follow from them, and what runs there.
//!
//! Not responsible for what a machine's facts are (machine-lifecycle), nor for how fast they change (the ledger follows).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use muster_model::{
    Dpid, Epoch, Facts, Incarnation, MachineId, Phase, PoolTime, Position, ReservationId, ResourceId, ResourceKind,
    TriggerNumber, glob_matches,
};

use super::trigger::Arm;

/// A resource as probing found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Id.
    pub id: ResourceId,
    /// Kind.
    pub kind: ResourceKind,
    /// Device type, by which load numbers are set.
    pub device_type: String,
    /// The same name on every machine that reaches the same resource; empty where it has none.
    pub shared_name: String,
    /// Bytes of a disk or of memory, bits per second of a NIC, 0 for CPUs.
    pub size: u64,
}

/// Load numbers that were set, by kind and device type; an empty device type is the default of the kind.
pub type LoadNumbers = BTreeMap<(ResourceKind, String), u32>;

/// What MACHINES says of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which.
    pub machine: MachineId,
    /// A person let it take part.
    pub active: bool,
    /// A person took it out for a while.
    pub maintenance: bool,
    /// A person took it out for good.
    pub retired: bool,
    /// What is on it.
    pub phase: Option<Phase>,
    /// The whole machine is protected.
    pub machine_protected: bool,
    /// It can not be trusted.
    pub quarantined: bool,
    /// It is down by machine-lifecycle's verdict.
    pub down: bool,
    /// It was removed.
    pub removed: bool,
    /// It changes hands.
    pub draining: bool,
    /// Fencing token.
    pub epoch: Epoch,
    /// Epoch that its agent reported as fenced.
    pub fenced_epoch: Epoch,
    /// Newest incarnation.
    pub incarnation: Incarnation,
    /// Newest boot id.
    pub boot_id: String,
    /// Reservation that holds it; 0 is the pool.
    pub reservation: ReservationId,
    /// Position in MACHINES of the newest event that is folded here.
    pub generation: Position,
    /// Every resource, sorted by id.
    pub resources: Vec<Resource>,
    /// Resources that carry a signature.
    pub signed: BTreeSet<ResourceId>,
    /// Protected ids or globs.
    pub protected: BTreeSet<String>,
    /// Released although they carry a signature.
    pub released: BTreeSet<String>,
    /// Disks that are being prepared as test areas, or back.
    pub preparing: BTreeSet<ResourceId>,
    /// Tags.
    pub tags: BTreeSet<String>,
    /// What selectors ask for, beside tags: architecture, type, kernel, counts.
    pub attributes: BTreeMap<String, String>,
}

impl Seen {
    /// A machine of which nothing is known.
    #[must_use]
    pub fn new(machine: MachineId) -> Self {
        Self {
            machine,
            active: false,
            maintenance: false,
            retired: false,
            phase: None,
            machine_protected: false,
            quarantined: false,
            down: false,
            removed: false,
            draining: false,
            epoch: Epoch(0),
            fenced_epoch: Epoch(0),
            incarnation: Incarnation(0),
            boot_id: String::new(),
            reservation: ReservationId(0),
            generation: Position::default(),
            resources: Vec::new(),
            signed: BTreeSet::new(),
            protected: BTreeSet::new(),
            released: BTreeSet::new(),
            preparing: BTreeSet::new(),
            tags: BTreeSet::new(),
            attributes: BTreeMap::new(),
        }
    }

    /// Why nothing may be placed on it now; none when something may.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        let reasons = [
            (self.removed, Trouble::Removed),
            (self.retired, Trouble::Retired),
            (!self.active, Trouble::Inactive),
            (self.maintenance, Trouble::Maintenance),
            (self.quarantined, Trouble::Quarantined),
            (self.machine_protected, Trouble::Protected),
            (self.incarnation == Incarnation(0), Trouble::NeverSeen),
            (self.down, Trouble::Down),
            (self.phase != Some(Phase::Ready), Trouble::NotReady),
            (self.draining, Trouble::Draining),
            (self.fenced_epoch < self.epoch, Trouble::Unfenced),
        ];
        reasons.into_iter().find(|(holds, _)| *holds).map(|(_, trouble)| trouble)
    }

    /// It was ordered into a kernel: what runs is to end before it reboots.
    #[must_use]
    pub fn is_booting(&self) -> bool {
        matches!(self.phase, Some(Phase::Reverting | Phase::Installing | Phase::Rebooting | Phase::Verifying))
    }

    /// Nothing may touch this resource (invariant I13): a signature protects until a person releases it.
    #[must_use]
    pub fn is_protected(&self, resource: &ResourceId) -> bool {
        let named = |set: &BTreeSet<String>| set.contains(resource.as_str());
        self.machine_protected
            || named(&self.protected)
            || self.protected.iter().any(|glob| glob.contains(['*', '?']) && glob_matches(glob, resource.as_str()))
            || (self.signed.contains(resource) && !named(&self.released))
    }

    /// Processes may use this resource: it is neither protected nor being prepared.
    #[must_use]
    pub fn is_open(&self, resource: &ResourceId) -> bool {
        !self.is_protected(resource) && !self.preparing.contains(resource)
    }

    /// Places that processes may use: what is open and has a load number above 0, sorted by id. Of several paths of this
    /// machine to one resource the first is its place, and none where one of them is not open.
    #[must_use]
    pub fn places(&self, loads: &LoadNumbers) -> Vec<Place> {
        let named = self.resources.iter().filter(|resource| !resource.shared_name.is_empty());
        let shielded = named.filter(|resource| !self.is_open(&resource.id));
        let mut taken: BTreeSet<&str> = shielded.map(|resource| resource.shared_name.as_str()).collect();
        let open = self.resources.iter().filter(|resource| self.is_open(&resource.id));
        let open = open.filter(|resource| resource.shared_name.is_empty() || taken.insert(&resource.shared_name));
        let placed = open.map(|resource| Place {
            id: resource.id.clone(),
            kind: resource.kind,
            load: load_of(loads, resource),
            used_milli: 0,
            description: DescriptionNumber::default(),
        });
        placed.filter(|place| place.load > 0).collect()
    }

    /// A resource, by its id.
    #[must_use]
    pub fn resource(&self, id: &ResourceId) -> Option<&Resource> {
        let found = self.resources.binary_search_by(|resource| resource.id.cmp(id));
        found.ok().map(|index| &self.resources[index])
    }

    /// CPU architecture; empty before the first hello.
    #[must_use]
    pub fn architecture(&self) -> &str {
        self.attributes.get("arch").map_or("", String::as_str)
    }
}

/// The load number that holds for a resource.
fn load_of(loads: &LoadNumbers, resource: &Resource) -> u32 {
    let set = loads.get(&(resource.kind, resource.device_type.clone()));
    let general = || loads.get(&(resource.kind, String::new())).copied();
    set.copied().or_else(general).unwrap_or_else(|| resource.kind.default_load())
}

impl Facts for Seen {
    fn name(&self) -> &str {
        self.machine.as_str()
    }

    fn values(&self, key: &str) -> Vec<Cow<'_, str>> {
        match key {
            "tag" => self.tags.iter().map(|tag| Cow::Borrowed(tag.as_str())).collect(),
            other => self.attributes.get(other).map(|value| Cow::Borrowed(value.as_str())).into_iter().collect(),
        }
    }
}

/// Why nothing may be placed on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// It was removed.
    Removed,
    /// Taken out for good.
    Retired,
    /// Nobody let it take part.
    Inactive,
    /// Taken out for a while.
    Maintenance,
    /// Not to be trusted.
    Quarantined,
    /// Protected as a whole.
    Protected,
    /// Its agent never said hello.
    NeverSeen,
    /// Down.
    Down,
    /// Being prepared.
    NotReady,
    /// Changing hands.
    Draining,
    /// Its new epoch is not fenced yet.
    Unfenced,
    /// A test announced that it reboots, shuts down or crashes.
    Away,
}

impl Trouble {
    /// The words for people: what such machines are.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Retired => "retired",
            Self::Inactive => "inactive",
            Self::Maintenance => "in maintenance",
            Self::Quarantined => "quarantined",
            Self::Protected => "protected",
            Self::NeverSeen => "never heard of",
            Self::Down => "down",
            Self::NotReady => "not ready",
            Self::Draining => "draining",
            Self::Unfenced => "waiting for their fence",
            Self::Away => "away by a test's announcement",
        }
    }
}

/// A resource that processes may be placed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Id.
    pub id: ResourceId,
    /// Kind.
    pub kind: ResourceKind,
    /// Load number; above 0.
    pub load: u32,
    /// Thousandths of a place that live processes take, on whichever path.
    pub used_milli: u64,
    /// Its description in the index of the pool.
    pub description: DescriptionNumber,
}

/// Number of a description in the index of the pool. Numbers follow history, so they say nothing of whether two places are equal.
#[derive(Debug, Clone, Copy, Default)]
pub struct DescriptionNumber(pub(super) u32);

impl PartialEq for DescriptionNumber {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for DescriptionNumber {}

/// All places of one kind on a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// How many places.
    pub count: u32,
    /// Thousandths of places that fit comfortably.
    pub capacity_milli: u64,
    /// Thousandths of places that live processes take.
    pub used_milli: u64,
}

impl Total {
    /// Adds a place.
    pub(super) fn add(&mut self, place: &Place) {
        self.count += 1;
        self.capacity_milli += u64::from(place.load) * 1000;
        self.used_milli += place.used_milli;
    }
}

/// A machine, and what runs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// What MACHINES says.
    pub seen: Seen,
    /// Places, sorted by id; derived from `seen`, the load numbers and what runs.
    pub places: Vec<Place>,
    /// Sums over the places of each kind, in the order of [`ResourceKind::ALL`]: placement looks at them alone until it chooses.
    pub totals: [Total; ResourceKind::ALL.len()],
    /// Processes that are not final.
    pub live: BTreeSet<Dpid>,
    /// Exclusive-or over the digests of `live`.
    pub digest: u64,
    /// Every remembered process whose current attempt is here, by when its order last changed.
    pub orders: BTreeSet<(Position, Dpid)>,
    /// Position of the last event that changed its desired list.
    pub generation: Position,
    /// Incarnation and number of the last batch of reports that was taken.
    pub reported: (Incarnation, u64),
    /// Pool time it went down; never when it is not.
    pub down_since: PoolTime,
    /// Pool time at which its newest fence was seen.
    pub fenced_at: PoolTime,
    /// Arms of triggers; of its present epoch alone.
    pub arms: BTreeMap<TriggerNumber, Arm>,
    /// Processes that announced its absence; derived from them.
    pub away: u32,
}

impl Machine {
    /// A machine on which nothing runs yet.
    pub(crate) fn new(seen: Seen) -> Self {
        Self {
            seen,
            places: Vec::new(),
            totals: Default::default(),
            live: BTreeSet::new(),
            digest: 0,
            orders: BTreeSet::new(),
            generation: Position::default(),
            reported: (Incarnation(0), 0),
            down_since: PoolTime::NEVER,
            fenced_at: PoolTime::NEVER,
            arms: BTreeMap::new(),
            away: 0,
        }
    }

    /// Why nothing may be placed on it now; none when something may.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.seen.trouble().or_else(|| (self.away > 0).then_some(Trouble::Away))
    }

    /// Sets the places, on which nothing is counted yet.
    pub(super) fn set_places(&mut self, places: Vec<Place>) {
        self.totals = Default::default();
        places.iter().for_each(|place| self.totals[place.kind as usize].add(place));
        self.places = places;
    }

    /// All places of a kind.
    #[must_use]
    pub fn total(&self, kind: ResourceKind) -> Total {
        self.totals[kind as usize]
    }

    /// Adds (or takes away) a use of a resource, and says which place that is. One that is protected by now has none to count on.
    pub(super) fn count_use(&mut self, resource: &ResourceId, weight_milli: u64, add: bool) -> Option<usize> {
        let index = self.places.binary_search_by(|place| place.id.cmp(resource)).ok()?;
        let place = &mut self.places[index];
        for used in [&mut place.used_milli, &mut self.totals[place.kind as usize].used_milli] {
            *used = if add { *used + weight_milli } else { used.saturating_sub(weight_milli) };
        }
        Some(index)
    }
}
