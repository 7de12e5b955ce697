//! Who is gated by which pulse, by the state: what is told to machines, and to people.

use std::collections::BTreeSet;

use muster_model::{JobNumber, MachineId, PoolTime, Position, Pulse, PulseNumber};

use super::input::PulseUse;
use super::job::Job;
use super::limits::GATED_JOBS_MAX;
use super::machine::Machine;
use super::state::State;

impl State {
    /// Jobs with live processes that have one of these pulses.
    fn jobs_gated<'a>(&'a self, numbers: &'a [PulseNumber]) -> impl Iterator<Item = (JobNumber, &'a Job)> {
        let live = self.jobs.iter().filter(|(_, job)| job.ended == PoolTime::NEVER);
        live.filter(|(_, job)| numbers.iter().any(|number| job.specs().any(|spec| spec.pulses.contains(number))))
            .map(|(number, job)| (*number, job))
    }

    /// Machines with live processes of jobs that have one of these pulses.
    #[must_use]
    pub(super) fn machines_gated(&self, numbers: &[PulseNumber]) -> BTreeSet<MachineId> {
        let parts = self.jobs_gated(numbers).flat_map(|(_, job)| &job.parts);
        parts.filter(|(_, counts)| counts.live() > 0).map(|(machine, _)| machine.clone()).collect()
    }

    /// The definitions changed: every machine that needs them is to be told.
    pub(super) fn tell_gated(&mut self, numbers: &[PulseNumber], position: Position) {
        for machine in self.machines_gated(numbers) {
            if let Some(machine) = self.machines.get_mut(&machine) {
                machine.generation = position;
            }
        }
    }

    /// Every pulse that jobs with live processes on a machine have and that is defined, sorted by number.
    #[must_use]
    pub fn pulses_on(&self, machine: &Machine) -> Vec<(PulseNumber, Pulse)> {
        if self.pulses.is_empty() {
            return Vec::new();
        }
        let mut jobs: Vec<JobNumber> = machine.live.iter().map(|dpid| dpid.job).collect();
        jobs.dedup();
        let jobs = jobs.iter().filter_map(|job| self.jobs.get(job));
        let numbers: BTreeSet<PulseNumber> =
            jobs.flat_map(Job::specs).flat_map(|spec| spec.pulses.iter().copied()).collect();
        numbers.into_iter().filter_map(|number| Some((number, *self.pulses.get(&number)?))).collect()
    }

    /// A pulse, and who is gated by it.
    #[must_use]
    pub fn pulse_use(&self, number: PulseNumber, pulse: Pulse) -> PulseUse {
        let jobs: Vec<_> = self.jobs_gated(&[number]).map(|(job, found)| (job, found.by_state.live())).collect();
        PulseUse {
            number,
            pulse,
            processes: jobs.iter().map(|(_, live)| u64::from(*live)).sum(),
            jobs: jobs.into_iter().map(|(job, _)| job).take(GATED_JOBS_MAX).collect(),
            cleared: false,
        }
    }
}
