//! Fit: which machines may take a process of a module, and if none may, why.

use std::collections::BTreeMap;

use muster_model::{PoolTime, Refusal, RefusalCode, ReservationId, ResourceKind, Selector};

use super::limits::SILENT_AFTER;
use super::machine::{Machine, Trouble};
use super::module::Module;
use super::observed::Observed;
use super::state::State;

/// What a process asks of a machine.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    /// Module.
    pub(super) module: &'a Module,
    /// Which machines.
    pub(super) selector: &'a Selector,
    /// Whose machines; 0 is the pool.
    pub(super) reservation: ReservationId,
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
    /// No artifact for it.
    Architecture,
    /// Too few resources that are not protected: kind, needed, found.
    TooFew(ResourceKind, u32, u32),
}

/// Machines that fit, sorted by id; or the count of each reason why others do not.
pub(super) fn fitting<'a>(
    state: &'a State,
    observed: &Observed,
    ask: &Ask<'_>,
) -> Result<Vec<&'a Machine>, Unfitness<'a>> {
    let mut fit = Vec::new();
    let mut reasons = BTreeMap::<Unfit, (usize, &Machine)>::new();
    let mut heard = observed.heard_in_order();
    let selector = (!ask.selector.is_all()).then_some(ask.selector);
    for (id, machine) in &state.machines {
        match unfit(machine, heard.of(id), selector, ask) {
            None => fit.push(machine),
            Some(reason) => reasons.entry(reason).or_insert((0, machine)).0 += 1,
        }
    }
    if fit.is_empty() { Err(Unfitness { reasons }) } else { Ok(fit) }
}

fn unfit(machine: &Machine, heard: Option<PoolTime>, selector: Option<&Selector>, ask: &Ask<'_>) -> Option<Unfit> {
    if machine.seen.reservation != ask.reservation {
        return Some(Unfit::NotHeld);
    }
    if selector.is_some_and(|selector| !selector.matches(&machine.seen)) {
        return Some(Unfit::NotSelected);
    }
    if let Some(trouble) = machine.seen.trouble() {
        return Some(Unfit::Trouble(trouble));
    }
    if heard.is_some_and(|heard| ask.now.since(heard) > SILENT_AFTER) {
        return Some(Unfit::Silent);
    }
    if !ask.module.runs_on(machine.seen.architecture()) {
        return Some(Unfit::Architecture);
    }
    ask.module.requirements.iter().find_map(|need| {
        let found = machine.total(need.kind).count;
        (found < need.count).then_some(Unfit::TooFew(need.kind, need.count, found))
    })
}

/// Why nothing fits: each reason, how often, and the first machine that has it.
#[derive(Debug)]
pub(super) struct Unfitness<'a> {
    reasons: BTreeMap<Unfit, (usize, &'a Machine)>,
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
        let id = &machine.seen.machine;
        if *nearest == Unfit::NotHeld && ask.reservation != ReservationId(0) {
            let why = format!("reservation {} holds no machine", ask.reservation);
            return refuse(why, "`muster reservation list` shows what each reservation holds".into());
        }
        let counted: Vec<String> =
            self.reasons.iter().map(|(reason, (count, _))| format!("{count} {}", reason.words(ask))).collect();
        let (noun, verb) = if total == 1 { ("machine", "fits") } else { ("machines", "fit") };
        let why = format!("none of {total} {noun} {verb}: {}", counted.join(", "));
        let next = format!("nearest is {id}: {}", nearest.remedy(id.as_str(), ask));
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
            Self::Architecture => "of an architecture without artifact".into(),
            Self::TooFew(kind, needed, found) => {
                format!("with {found} of {needed} {} that may be used", plural(*kind, *needed))
            }
        }
    }

    /// What would make the nearest machine fit.
    fn remedy(&self, machine: &str, ask: &Ask<'_>) -> String {
        match self {
            Self::NotHeld => format!("start on its reservation (--reservation), or wait until {machine} is the pool's"),
            Self::NotSelected => "change the selector; `muster machine list` shows what it can compare".into(),
            Self::Trouble(trouble) => remedy_of(*trouble, machine),
            Self::Silent => format!("its agent sends no heartbeats; see to the agent on {machine}"),
            Self::Architecture => format!("add an artifact for it to module {}", ask.module.name),
            Self::TooFew(kind, _, _) => {
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
        Trouble::Quarantined => format!("look at `muster machine show {machine}`, then restart its agent"),
        Trouble::Protected => format!("release it with `muster resource release {machine} --machine`"),
        Trouble::NeverSeen => "start its agent".into(),
        Trouble::Down => "bring it up: its agent is not heard".into(),
        Trouble::NotReady | Trouble::Draining | Trouble::Unfenced => {
            format!("wait until it is ready; `muster machine show {machine}` says how far it is")
        }
    }
}

fn plural(kind: ResourceKind, count: u32) -> String {
    let word = kind.as_str();
    if count == 1 || kind == ResourceKind::Memory { word.to_owned() } else { format!("{word}s") }
}
