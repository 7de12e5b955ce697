//! How many processes each machine gets, and which: the counts of a start, with gangs and resources that several machines reach.

use muster_model::{Refusal, RefusalCode, ResourceKind};

use super::super::event::Placement;
use super::super::fit::Fit;
use super::super::input::{Count, CountBy};
use super::super::limits::PROCESSES_MAX;
use super::super::module::Module;
use super::super::placement::gangs::{self, Members};
use super::super::placement::loads::Loads;
use super::super::placement::offer::Offer;
use super::super::placement::step::{Paths, Stepper};
use super::super::placement::take::open_places;
use super::super::placement::{How, build, build_on, spread};
use super::super::state::State;

/// What a start came to.
pub(super) struct Arranged {
    /// Placement, sorted by machine.
    pub(super) placements: Vec<Placement>,
    /// Loads of the machines that fit, after it.
    pub(super) loads: Loads,
}

/// A start whose machines are known.
pub(super) struct Wanted<'a> {
    /// What is refused, if it is.
    pub(super) what: &'a str,
    /// Module.
    pub(super) module: &'a Module,
    /// How many.
    pub(super) count: Count,
}

impl Wanted<'_> {
    /// Arranges its processes over the machines that fit.
    ///
    /// # Errors
    /// When the count can not be reached exactly: says the nearest that would fit.
    pub(super) fn arrange(&self, state: &State, fit: Fit) -> Result<Arranged, Refusal> {
        self.check_machines(fit.ordinals.len())?;
        let open = |offer: &Offer<'_>, place: usize| fit.open.has(offer, place);
        let how = How { requirements: &self.module.requirements, open: &open };
        match self.count.by {
            CountBy::Job if state.pool.has_several_paths() => {
                let offers = state.pool.offers(&fit.ordinals);
                let stepper = Stepper::new(&offers, fit.loads, state.paths_among(&offers), how);
                let (placements, loads) = stepper.job(self.module.roles.len(), self.count.number);
                Ok(Arranged { placements, loads })
            }
            CountBy::Job => {
                let mut loads = fit.loads;
                let members = spread(&mut loads, self.module.roles.len(), self.count.number);
                Ok(Arranged { placements: build(&state.pool.among(&fit.ordinals), &members, how), loads })
            }
            CountBy::Machine => {
                let counts = vec![self.count.number; fit.ordinals.len()];
                let members = self.members(counts, fit.ordinals.len())?;
                let placements = build(&state.pool.among(&fit.ordinals), &members, how);
                Ok(Arranged { placements, loads: after(fit.loads, &members.counts) })
            }
            CountBy::Resource(kind) => self.by_resource(state, &fit.ordinals, fit.loads, kind, how),
        }
    }

    /// So many processes on each resource of a kind. One that several machines reach is counted once, on the least loaded of them.
    fn by_resource(
        &self,
        state: &State,
        ordinals: &[u32],
        mut loads: Loads,
        kind: ResourceKind,
        how: How<'_>,
    ) -> Result<Arranged, Refusal> {
        let offers = state.pool.offers(ordinals);
        let counted = count_once(&offers, &state.paths_among(&offers), &mut loads, (kind, self.count.number), how);
        let units: usize = counted.iter().map(Vec::len).sum();
        if units == 0 {
            let why = format!("no machine that fits has a {kind} that may be used");
            let next = format!("`muster resource list` shows which {kind}s are protected; or give --processes");
            return Err(self.refuse(RefusalCode::Refused, why, next));
        }
        self.check_total(units)?;
        let counts = counted.iter().map(|places| places.len() as u32 * self.count.number).collect();
        let members = self.members(counts, units)?;
        let needed = self.module.requirements.iter().any(|need| need.kind == kind);
        let placements =
            if needed { build_on(&offers, &members, &counted, how) } else { build(&offers[..], &members, how) };
        Ok(Arranged { placements, loads })
    }

    /// Members of gangs for fixed counts.
    fn members(&self, counts: Vec<u32>, units: usize) -> Result<Members, Refusal> {
        self.check_total(units)?;
        let roles = self.module.roles.len();
        if roles == 0 {
            return Ok(Members::none(counts));
        }
        self.check_whole_gangs(units)?;
        let total: u32 = counts.iter().sum();
        gangs::form(counts, roles).map_err(|_| {
            let gangs = total / roles as u32;
            let why = format!("one machine would have two members of a gang: there are {gangs} gangs of {roles}");
            self.refuse(RefusalCode::Refused, why, "give --processes, or choose machines that are more alike with --on")
        })
    }

    fn refuse(&self, code: RefusalCode, why: String, next: impl Into<String>) -> Refusal {
        Refusal::new(code, self.what, why, next)
    }

    /// Members of a gang are on different machines.
    fn check_machines(&self, fit: usize) -> Result<(), Refusal> {
        let roles = self.module.roles.len();
        if fit >= roles {
            return Ok(());
        }
        let (noun, verb) = if fit == 1 { ("machine", "fits") } else { ("machines", "fit") };
        let why = format!("a gang of {roles} needs {roles} different machines, and {fit} {noun} {verb}");
        let next = format!("the nearest that would fit is a gang of {fit}: let {} more take part", roles - fit);
        Err(self.refuse(RefusalCode::Refused, why, next))
    }

    /// A start is no larger than its limit, however its processes are counted.
    fn check_total(&self, units: usize) -> Result<(), Refusal> {
        let total = units as u64 * u64::from(self.count.number);
        if total <= u64::from(PROCESSES_MAX) {
            return Ok(());
        }
        let (number, option) = (self.count.number, self.count.by.option());
        let why = format!("{number} on each of {units} are {total} processes; one start has 1 to {PROCESSES_MAX}");
        let most = u64::from(PROCESSES_MAX) / units as u64;
        let next = match most {
            0 => "choose fewer with --on or --resources".to_owned(),
            most => format!("give {option} {most} ({} processes)", most * units as u64),
        };
        Err(self.refuse(RefusalCode::Invalid, why, next))
    }

    /// Gangs are whole: their number of roles divides the number of processes.
    fn check_whole_gangs(&self, units: usize) -> Result<(), Refusal> {
        let (roles, number) = (self.module.roles.len() as u64, u64::from(self.count.number));
        let (units, most) = (units as u64, u64::from(PROCESSES_MAX) / (units as u64).max(1));
        if (units * number).is_multiple_of(roles) {
            return Ok(());
        }
        let whole = |number: &u64| (units * number).is_multiple_of(roles);
        let fewer = (1..number).rev().take(roles as usize).find(whole);
        let more = (number + 1..=most).take(roles as usize).find(whole);
        let option = self.count.by.option();
        let why =
            format!("{} processes are no whole gangs of {roles} ({})", units * number, self.module.roles.join(", "));
        let next = match (fewer, more) {
            (Some(fewer), Some(more)) => format!("give {option} {fewer} or {more}"),
            (Some(only), None) | (None, Some(only)) => format!("give {option} {only}"),
            (None, None) => "give --processes".into(),
        };
        Err(self.refuse(RefusalCode::Invalid, why, next))
    }

    /// What can be said of the count before any machine is looked at.
    pub(super) fn check_count(&self) -> Result<(), Refusal> {
        let (number, option) = (self.count.number, self.count.by.option());
        if !(1..=PROCESSES_MAX).contains(&number) {
            let why = format!("{number} processes were asked for; one start has 1 to {PROCESSES_MAX}");
            let next = if number == 0 { format!("give {option}, 1 or more") } else { "start several jobs".into() };
            return Err(self.refuse(RefusalCode::Invalid, why, next));
        }
        match self.count.by {
            CountBy::Job if !self.module.roles.is_empty() => self.check_whole_gangs(1),
            CountBy::Job | CountBy::Machine | CountBy::Resource(_) => Ok(()),
        }
    }
}

fn after(mut loads: Loads, counts: &[u32]) -> Loads {
    counts.iter().enumerate().for_each(|(machine, count)| loads.add(machine, u64::from(*count)));
    loads
}

/// The places of a kind that processes are counted on, for each machine; each resource once. The loads are those after it.
fn count_once(
    offers: &[Offer<'_>],
    paths: &Paths,
    loads: &mut Loads,
    (kind, number): (ResourceKind, u32),
    how: How<'_>,
) -> Vec<Vec<usize>> {
    let mut counted: Vec<Vec<usize>> = Vec::with_capacity(offers.len());
    let mut shared = Vec::new();
    for (index, offer) in offers.iter().enumerate() {
        let open = |place| (how.open)(offer, place);
        let (own, with_paths): (Vec<usize>, Vec<usize>) =
            open_places(offer.places, kind, open).partition(|place| !paths.contains_key(&(index, *place)));
        loads.add(index, own.len() as u64 * u64::from(number));
        shared.extend(with_paths.into_iter().map(|place| (index, place)));
        counted.push(own);
    }
    let mut done = std::collections::BTreeSet::new();
    for at in &shared {
        if done.contains(at) {
            continue;
        }
        let all = || paths[at].iter().chain([at]).filter(|path| shared.binary_search(path).is_ok());
        done.extend(all().copied());
        let least = all().min_by_key(|(machine, _)| (loads.after(*machine, u64::from(number)), *machine)).unwrap_or(at);
        counted[least.0].push(least.1);
        loads.add(least.0, u64::from(number));
    }
    counted
}
