//! Errands that processes ask for: a start like any other, on a machine that the job of who asks is on, or that is its client.

use muster_ledger::Now;
use muster_model::{CommandId, Dpid, JobNumber, MachineId, Refusal, ReservationId};

use super::super::errand::ErrandOf;
use super::super::event::{ErrandRefused, Event, JobStarted, StopRequested};
use super::super::input::{Count, CountBy, ErrandSaid, ErrandStart, Start};
use super::super::job::{Job, Process, StopReason};
use super::super::limits::{ERRAND_NAME_MAX, ERRANDS_MAX, ERRANDS_OF_BATCH_MAX};
use super::super::machine::Machine;
use super::super::observed::Observed;
use super::super::state::State;
use super::start;

/// What processes of one batch ask for.
#[derive(Debug, Default)]
pub(super) struct Errands {
    begun: Vec<(Dpid, String)>,
    jobs: u32,
    events: Vec<Event>,
}

impl Errands {
    /// Takes what a process says. Said again under the same name, it changes nothing.
    pub(super) fn take(&mut self, state: &State, observed: &Observed, machine: &Machine, said: &ErrandSaid, now: Now) {
        let Some(process) = state.current(&said.id) else { return };
        if process.machine != machine.seen.machine || process.epoch != said.epoch || process.state.is_final() {
            return;
        }
        match &said.start {
            None => self.events.extend(stop(state, process, &said.name)),
            Some(wanted) => self.start(state, observed, process, said, wanted, now),
        }
    }

    fn start(
        &mut self,
        state: &State,
        observed: &Observed,
        process: &Process,
        said: &ErrandSaid,
        wanted: &ErrandStart,
        now: Now,
    ) {
        let key = (said.id.dpid, said.name.clone());
        if process.errands.contains_key(&said.name) || self.begun.contains(&key) {
            return;
        }
        let others = self.begun.iter().filter(|(dpid, _)| *dpid == said.id.dpid).count();
        if process.errands.len() + others >= 2 * ERRANDS_MAX {
            // Refusals are remembered too, so they have a bound: who goes on asking waits in vain.
            return;
        }
        let may = self.has_room().and_then(|()| may_ask(&state.jobs[&said.id.dpid.job], process, others, said));
        self.events.push(match may.and_then(|()| job_started(state, observed, said, wanted, now)) {
            Ok(mut started) => {
                let spec = std::sync::Arc::make_mut(&mut started.spec);
                spec.job = JobNumber(spec.job.0 + self.jobs);
                self.jobs += 1;
                Event::JobStarted(started)
            }
            Err(why) => Event::ErrandRefused(Box::new(ErrandRefused {
                id: said.id,
                name: muster_model::text::cut(&said.name, ERRAND_NAME_MAX).to_owned(),
                machine: wanted.machine.clone(),
                why,
            })),
        });
        self.begun.push(key);
    }

    /// What is refused for this may be asked for under another name, a moment later.
    fn has_room(&self) -> Result<(), String> {
        match self.jobs as usize >= ERRANDS_OF_BATCH_MAX {
            true => Err(format!("{ERRANDS_OF_BATCH_MAX} errands of one machine began at this moment")),
            false => Ok(()),
        }
    }

    /// What comes of it.
    pub(super) fn into_events(self) -> Vec<Event> {
        self.events
    }
}

/// Whether a process may have an errand.
fn may_ask(job: &Job, process: &Process, others: usize, said: &ErrandSaid) -> Result<(), String> {
    if said.name.is_empty() || said.name.len() > ERRAND_NAME_MAX {
        return Err(format!("an errand has a name of 1 to {ERRAND_NAME_MAX} bytes"));
    }
    if job.spec.errand_of.is_some() {
        return Err("it is an errand itself, and has none of its own".into());
    }
    if process.stop.is_some() {
        return Err("it was told to stop".into());
    }
    if process.errands.len() + others >= ERRANDS_MAX {
        return Err(format!("it has asked for {ERRANDS_MAX} errands already"));
    }
    Ok(())
}

/// On whose machines an errand runs: those of the job, or of a client of who asks.
fn reservation_of(state: &State, said: &ErrandSaid, wanted: &ErrandStart) -> Result<ReservationId, String> {
    let job = &state.jobs[&said.id.dpid.job];
    let machine = MachineId::new(&wanted.machine).ok();
    if machine.as_ref().is_some_and(|machine| job.may_use(machine)) {
        return Ok(job.spec.reservation);
    }
    let client = machine.and_then(|machine| state.client_with(said.id.dpid, &machine));
    let (number, name) = (job.spec.job, &wanted.machine);
    client.ok_or_else(|| format!("job {number} was not placed on a machine `{name}`, and it is no client of who asks"))
}

/// The job that it becomes, with the first free number.
fn job_started(
    state: &State,
    observed: &Observed,
    said: &ErrandSaid,
    wanted: &ErrandStart,
    now: Now,
) -> Result<JobStarted, String> {
    let spec = &state.jobs[&said.id.dpid.job].spec;
    let start = Start {
        command: CommandId::default(),
        actor: spec.actor.clone(),
        module: wanted.module.clone(),
        count: Count { number: 1, by: CountBy::Job },
        selector: wanted.machine.clone(),
        resource_selector: String::new(),
        parameters: wanted.parameters.clone(),
        dry_run: false,
        reservation: reservation_of(state, said, wanted)?,
        seed: seed_of(spec.seed, said),
        pulses: Vec::new(),
        on_error: String::new(),
        again: None,
        check_out: false,
    };
    let decision = start::start(state, observed, &start, now).map_err(|refusal| in_words(&refusal))?;
    let started = decision.events.into_iter().find_map(|event| match event {
        Event::JobStarted(started) => Some(started),
        _ => None,
    });
    let mut started = started.ok_or_else(|| "it was not started".to_owned())?;
    let of = ErrandOf { id: said.id, name: said.name.as_str().into(), detached: wanted.detached };
    std::sync::Arc::make_mut(&mut started.spec).errand_of = Some(of);
    Ok(started)
}

fn in_words(refusal: &Refusal) -> String {
    format!("{}; {}", refusal.why, refusal.next)
}

/// The seed of an errand: the same for the same process of the same job, whenever it asks.
fn seed_of(seed: u64, said: &ErrandSaid) -> u64 {
    let begun = seed ^ u64::from(said.id.dpid.process.0).rotate_left(32);
    let mixed = said
        .name
        .bytes()
        .fold(begun, |mixed, byte| (mixed ^ u64::from(byte)).wrapping_mul(0xBF58_476D_1CE4_E5B9).rotate_left(27));
    mixed.max(1)
}

/// Stops an errand that lives and was not told so.
fn stop(state: &State, process: &Process, name: &str) -> Option<Event> {
    let number = process.errands.get(name)?.lives_as()?;
    let job = state.jobs.get(&number).filter(|job| !job.stopping)?;
    let grace = job.spec.module.stop_grace;
    let stop = StopRequested { job: number, processes: Vec::new(), grace, reason: StopReason::Errand };
    Some(Event::StopRequested(stop))
}
