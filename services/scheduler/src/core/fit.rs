//! Fit: which machines may take a process of a module, and if none may, why.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_model::{MachineId, PoolTime, Refusal, RefusalCode, ReservationId, ResourceKind, Selector};

use super::machine::{Machine, Resource, Total, Trouble};
use super::module::Module;
use super::observed::Observed;
use super::placement::loads::{Loads, bare};
use super::placement::offer::Offer;
use super::pool::Pool;
use super::selection::{self, OnMachine, Open};
use super::state::State;

/// What a process asks of a machine.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    /// Module.
    pub(super) module: &'a Module,
    /// Which machines.
    pub(super) selector: &'a Selector,
    /// Which resources.
    pub(super) resources: &'a Selector,
    /// Whose machines; 0 is the pool.
    pub(super) reservation: ReservationId,
    /// Machines that others of the same task have.
    pub(super) without: &'a [MachineId],
    /// Now.
    pub(super) now: PoolTime,
}

/// Why a machine does not fit, the farther from fitting the earlier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unfit {
    /// Another one's: the pool's, or some reservation's.
    NotHeld,
    /// The selector does not name it.
    NotSelected,
    /// Not usable.
    Trouble(Trouble),
    /// No heartbeat lately.
    Silent,
    /// Another role of the same task has it.
    Taken,
    /// No artifact for it.
    Architecture,
    /// Too few resources that are not protected: kind, needed, found.
    TooFew(ResourceKind, u32, u32),
    /// Too few of its resources are selected.
    NotOpen,
}

/// Machines that fit.
#[derive(Debug)]
pub(super) struct Fit<'a> {
    /// Their places in the order of ids, rising.
    pub(super) ordinals: Vec<u32>,
    /// Their loads, in the same order.
    pub(super) loads: Loads,
    /// Resources that may be used.
    pub(super) open: Open<'a>,
}

/// Machines that fit; or the count of each reason why none does.
pub(super) fn fitting<'a>(state: &'a State, observed: &Observed, ask: &Ask<'a>) -> Result<Fit<'a>, Unfitness<'a>> {
    let pool = &state.pool;
    let open = Open::new(state, ask.resources);
    let mut may = selection::selected(pool, ask.selector).unwrap_or_else(|| vec![true; pool.len()]);
    if let Some(architectures) = pool.column("arch") {
        let runs = architectures.ask(|arch| ask.module.runs_on(arch.first().map_or("", String::as_str)));
        may.iter_mut().zip(runs).for_each(|(may, runs)| *may &= runs);
    }
    for (silent, near) in observed.silent_near(ask.now) {
        if let Some(ordinal) = pool.ordinal_near(near, silent.as_str()) {
            may[ordinal] = false;
        }
    }
    for taken in ask.without.iter().filter_map(|id| pool.ordinal(id.as_str())) {
        may[taken] = false;
    }
    let holders = may.iter_mut().zip(pool.holders()).zip(pool.troubles());
    holders.for_each(|((may, holder), trouble)| *may &= *holder == ask.reservation && trouble.is_none());
    let (ordinals, loads) = match open {
        Open::All => by_sums(pool, ask.module, &may),
        Open::Selected { .. } => by_places(pool, ask.module, &may, &open),
    };
    if ordinals.is_empty() { Err(unfitness(state, observed, ask)) } else { Ok(Fit { ordinals, loads, open }) }
}

/// Where every resource may be used, the sums of the index say enough.
fn by_sums(pool: &Pool, module: &Module, may: &[bool]) -> (Vec<u32>, Loads) {
    let needs: Vec<(&[Total], u32)> =
        module.requirements.iter().map(|need| (pool.totals(need.kind), need.count)).collect();
    let cpus = pool.totals(ResourceKind::Cpu);
    let mut ordinals = Vec::with_capacity(may.len());
    for (ordinal, _) in may.iter().enumerate().filter(|(_, may)| **may) {
        if needs.iter().all(|(totals, count)| totals[ordinal].count >= *count) {
            ordinals.push(ordinal as u32);
        }
    }
    let places = || ordinals.iter().map(|ordinal| *ordinal as usize);
    let mut loads = Loads::new(&module.requirements, ordinals.len());
    match needs.as_slice() {
        [] => places().for_each(|place| loads.push([bare(cpus[place], pool.live()[place] as usize)].into_iter())),
        [(totals, _)] => places().for_each(|place| loads.push([totals[place]].into_iter())),
        _ => places().for_each(|place| loads.push(needs.iter().map(|(totals, _)| totals[place]))),
    }
    (ordinals, loads)
}

/// Where some may not, the places of each machine are added up.
fn by_places(pool: &Pool, module: &Module, may: &[bool], open: &Open<'_>) -> (Vec<u32>, Loads) {
    let cpus = pool.totals(ResourceKind::Cpu);
    let mut ordinals = Vec::new();
    let mut loads = Loads::new(&module.requirements, 0);
    for (ordinal, _) in may.iter().enumerate().filter(|(_, may)| **may) {
        let totals = open_totals(&pool.offer(ordinal), open);
        if totals.iter().all(|total| total.count == 0) || too_few(module, &totals).is_some() {
            continue;
        }
        ordinals.push(ordinal as u32);
        match module.requirements.is_empty() {
            true => loads.push([bare(cpus[ordinal], pool.live()[ordinal] as usize)].into_iter()),
            false => loads.push(module.requirements.iter().map(|need| totals[need.kind as usize])),
        }
    }
    (ordinals, loads)
}

/// Sums over the places of a machine that may be used.
fn open_totals(offer: &Offer<'_>, open: &Open<'_>) -> [Total; ResourceKind::ALL.len()] {
    let mut totals = [Total::default(); ResourceKind::ALL.len()];
    for (index, place) in offer.places.iter().enumerate() {
        if open.has(offer, index) {
            totals[place.kind as usize].add(place);
        }
    }
    totals
}

fn too_few(module: &Module, totals: &[Total]) -> Option<Unfit> {
    module.requirements.iter().find_map(|need| {
        let found = totals[need.kind as usize].count;
        (found < need.count).then_some(Unfit::TooFew(need.kind, need.count, found))
    })
}

/// Looks at every machine again, to say what each lacks.
fn unfitness<'a>(state: &'a State, observed: &Observed, ask: &Ask<'_>) -> Unfitness<'a> {
    let mut reasons = BTreeMap::<Unfit, (usize, &Machine)>::new();
    let silent: BTreeSet<&MachineId> = observed.silent(ask.now).collect();
    for (id, machine) in &state.machines {
        reasons.entry(unfit(machine, silent.contains(id), ask)).or_insert((0, machine)).0 += 1;
    }
    let machines: Vec<&Machine> = state.machines.values().collect();
    let nothing = selection::nothing_selected(ask.selector, &machines, "machine", |selector, machine| {
        selector.matches(&machine.seen)
    });
    let resources: Vec<(&Machine, &Resource)> = machines
        .iter()
        .flat_map(|machine| machine.seen.resources.iter().map(|resource| (*machine, resource)))
        .collect();
    let matches = |selector: &Selector, (machine, resource): &(&Machine, &Resource)| {
        selector.matches(&OnMachine { machine: &machine.seen.machine, resource })
    };
    let nothing = nothing.or_else(|| selection::nothing_selected(ask.resources, &resources, "resource", matches));
    Unfitness { reasons, nothing, hears_nobody: observed.hears_nobody(ask.now) }
}

fn unfit(machine: &Machine, silent: bool, ask: &Ask<'_>) -> Unfit {
    unusable(machine, silent, ask).unwrap_or(Unfit::NotOpen)
}

/// What is wrong with a machine, whichever of its resources are wanted.
fn unusable(machine: &Machine, silent: bool, ask: &Ask<'_>) -> Option<Unfit> {
    if machine.seen.reservation != ask.reservation {
        return Some(Unfit::NotHeld);
    }
    if !ask.selector.matches(&machine.seen) {
        return Some(Unfit::NotSelected);
    }
    if let Some(trouble) = machine.trouble() {
        return Some(Unfit::Trouble(trouble));
    }
    if silent {
        return Some(Unfit::Silent);
    }
    if ask.without.contains(&machine.seen.machine) {
        return Some(Unfit::Taken);
    }
    if !ask.module.runs_on(machine.seen.architecture()) {
        return Some(Unfit::Architecture);
    }
    too_few(ask.module, &machine.totals)
}

/// Why one machine does not fit, in words; none when it does.
pub(super) fn trouble_with(machine: &Machine, silent: bool, ask: &Ask<'_>) -> Option<String> {
    unusable(machine, silent, ask).map(|unfit| unfit.words(ask))
}

/// Loads of some machines, as a start of a module would find them.
pub(super) fn loads_of(module: &Module, machines: &[&Machine]) -> Loads {
    let mut loads = Loads::new(&module.requirements, machines.len());
    for machine in machines {
        match module.requirements.is_empty() {
            true => loads.push([bare(machine.total(ResourceKind::Cpu), machine.live.len())].into_iter()),
            false => loads.push(module.requirements.iter().map(|need| machine.total(need.kind))),
        }
    }
    loads
}

/// Why nothing fits: each reason, how often, and the first machine that has it.
#[derive(Debug)]
pub(super) struct Unfitness<'a> {
    reasons: BTreeMap<Unfit, (usize, &'a Machine)>,
    /// What of a selector selects nothing.
    nothing: Option<String>,
    /// For how long nobody at all was heard, when that is news.
    hears_nobody: Option<Duration>,
}

impl Unfitness<'_> {
    /// The refusal of a start, with what each machine lacks and the nearest that would fit.
    pub(super) fn into_refusal(self, what: String, ask: &Ask<'_>) -> Refusal {
        let refuse = |why: String, next: String| Refusal::new(RefusalCode::Refused, what.clone(), why, next);
        let total: usize = self.reasons.values().map(|(count, _)| count).sum();
        let Some((nearest, (_, machine))) = self.reasons.last_key_value() else {
            return refuse(
                "no machine is known".into(),
                "start an agent on a machine, then `muster machine activate` it".into(),
            );
        };
        if let Some(quiet) = self.hears_nobody.filter(|_| self.reasons.contains_key(&Unfit::Silent)) {
            let why =
                format!("no agent at all was heard for {} s: the bus, or the scheduler, was away", quiet.as_secs());
            return Refusal::new(RefusalCode::Unavailable, what, why, "try again when agents are heard");
        }
        let id = &machine.seen.machine;
        if *nearest == Unfit::NotHeld && ask.reservation != ReservationId(0) {
            let why = format!("reservation {} holds no machine", ask.reservation);
            return refuse(why, "`muster reservation list` shows what each reservation holds".into());
        }
        let counted: Vec<String> =
            self.reasons.iter().map(|(reason, (count, _))| format!("{count} {}", reason.words(ask))).collect();
        let (noun, verb) = if total == 1 { ("machine", "fits") } else { ("machines", "fit") };
        let nothing = self.nothing.as_ref().map(|nothing| format!(" ({nothing})")).unwrap_or_default();
        let why = format!("none of {total} {noun} {verb}: {}{nothing}", counted.join(", "));
        let next = format!("nearest is {id}: {}", nearest.remedy(machine, ask));
        refuse(why, next)
    }
}

impl Unfit {
    /// What such machines are.
    fn words(&self, ask: &Ask<'_>) -> String {
        match self {
            Self::NotHeld if ask.reservation == ReservationId(0) => "held by a reservation".into(),
            Self::NotHeld => "not held by this reservation".into(),
            Self::NotSelected => "not selected".into(),
            Self::Trouble(trouble) => trouble.as_str().into(),
            Self::Silent => "silent".into(),
            Self::Taken => "taken by another role of the task".into(),
            Self::Architecture => "of an architecture without artifact".into(),
            Self::TooFew(kind, needed, found) => {
                format!("with {found} of {needed} {} that may be used", plural(*kind, *needed))
            }
            Self::NotOpen => "with too few resources that are selected".into(),
        }
    }

    /// What would make the nearest machine fit.
    fn remedy(&self, found: &Machine, ask: &Ask<'_>) -> String {
        let machine = found.seen.machine.as_str();
        match self {
            Self::NotHeld => format!("start on its reservation (--reservation), or wait until {machine} is the pool's"),
            Self::NotSelected => "change the selector; `muster machine list` shows what it can compare".into(),
            Self::Trouble(trouble) => remedy_of(*trouble, machine),
            Self::Silent => format!("its agent sends no heartbeats; see to the agent on {machine}"),
            Self::Taken => "let more machines take part, or let the roles be on others with `on`".into(),
            Self::Architecture => format!("add an artifact for it to module {}", ask.module.name),
            Self::NotOpen => format!("change --resources; `muster resource list {machine}` shows what it has"),
            Self::TooFew(kind, needed, _) => {
                let all = found.seen.resources.iter().filter(|resource| resource.kind == *kind).count() as u32;
                if all < *needed {
                    return format!("it has {all} {} in all; choose or add machines with more", plural(*kind, all));
                }
                format!("`muster resource list {machine}` shows which {} are protected; release some", plural(*kind, 2))
            }
        }
    }
}

fn remedy_of(trouble: Trouble, machine: &str) -> String {
    match trouble {
        Trouble::Inactive => format!("let it take part with `muster machine activate {machine}`"),
        Trouble::Maintenance => format!("end its maintenance with `muster machine maintenance {machine} --off`"),
        Trouble::Retired | Trouble::Removed => "it was taken out for good; add another machine".into(),
        Trouble::Quarantined => {
            format!("look at `muster machine show {machine}`, then `muster machine activate {machine}`")
        }
        Trouble::Protected => format!("release it with `muster resource release {machine} --machine`"),
        Trouble::NeverSeen => "start its agent".into(),
        Trouble::Down => "bring it up: its agent is not heard".into(),
        Trouble::Away => format!("wait until the test that announced it is back; `muster ps` on {machine} shows which"),
        Trouble::NotReady | Trouble::Draining | Trouble::Unfenced => {
            format!("wait until it is ready; `muster machine show {machine}` says how far it is")
        }
    }
}

fn plural(kind: ResourceKind, count: u32) -> String {
    let word = kind.as_str();
    if count == 1 || kind == ResourceKind::Memory { word.to_owned() } else { format!("{word}s") }
}
