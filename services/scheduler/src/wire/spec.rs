//! What the processes of a job have in common, and where they are placed.

use muster_model::{Epoch, JobNumber, OnError, ProcessNumber, ReservationId, RunId};
use muster_proto::{WireError, v1};

use super::{errands, key_values, machine_id, pairs, position, pulses, resource_ids};
use crate::core::event::Placement;
use crate::core::job::{Member, StartSpec};
use crate::core::limits::{PROCESSES_MAX, ROLES_MAX};

impl From<&StartSpec> for v1::StartSpec {
    fn from(spec: &StartSpec) -> Self {
        Self {
            module: Some((&spec.module).into()),
            parameters: key_values(spec.parameters.iter().map(|(name, value)| (name, value))),
            seed: spec.seed,
            reservation: spec.reservation.0,
            actor: spec.actor.clone(),
            run: spec.run.0,
            job: spec.job.0,
            pulses: pulses::numbers_to_wire(&spec.pulses),
            // As it was written before there were others.
            check_out: spec.check_out,
            on_error: if spec.on_error == OnError::Report { String::new() } else { spec.on_error.to_string() },
            errand_of: spec.errand_of.as_ref().map(errands::of_to_wire),
        }
    }
}

impl TryFrom<v1::StartSpec> for StartSpec {
    type Error = WireError;
    fn try_from(spec: v1::StartSpec) -> Result<Self, WireError> {
        Ok(Self {
            module: spec.module.ok_or_else(|| WireError::missing("StartSpec", "module"))?.try_into()?,
            parameters: pairs(spec.parameters),
            seed: spec.seed,
            reservation: ReservationId(spec.reservation),
            actor: spec.actor,
            run: RunId(spec.run),
            job: JobNumber(spec.job),
            pulses: pulses::numbers("StartSpec", &spec.pulses)?,
            check_out: spec.check_out,
            on_error: OnError::parse(&spec.on_error).map_err(|why| WireError::invalid("StartSpec", "on_error", why))?,
            errand_of: spec.errand_of.map(errands::of_from_wire).transpose()?,
        })
    }
}

impl From<&Placement> for v1::MachinePlacement {
    fn from(placement: &Placement) -> Self {
        Self {
            machine: placement.machine.to_string(),
            epoch: placement.epoch.0,
            first: placement.first.0,
            count: placement.count,
            resources: placement.resources.iter().map(ToString::to_string).collect(),
            resources_each: placement.resources_each() as u32,
            machine_generation: Some(placement.machine_generation.into()),
            gangs: placement.members.iter().map(|member| member.gang).collect(),
            roles: placement.members.iter().map(|member| member.role).collect(),
        }
    }
}

impl TryFrom<v1::MachinePlacement> for Placement {
    type Error = WireError;
    fn try_from(placement: v1::MachinePlacement) -> Result<Self, WireError> {
        const MESSAGE: &str = "MachinePlacement";
        let (count, each) = (placement.count as usize, placement.resources_each as usize);
        // Checked before anything is allocated for it.
        let expected = count.checked_mul(each);
        if expected != Some(placement.resources.len()) || count > PROCESSES_MAX as usize {
            let found = placement.resources.len();
            return Err(WireError::invalid(
                MESSAGE,
                "resources",
                format!("{found} for {count} processes of {each} each"),
            ));
        }
        let members = members(&placement)?;
        Ok(Self {
            machine: machine_id(MESSAGE, &placement.machine)?,
            epoch: Epoch(placement.epoch),
            machine_generation: position(placement.machine_generation),
            first: ProcessNumber(placement.first),
            count: placement.count,
            resources: resource_ids(MESSAGE, &placement.resources)?.into(),
            members,
        })
    }
}

/// Gang and role of each process: of all of them, or of none.
fn members(placement: &v1::MachinePlacement) -> Result<Vec<Member>, WireError> {
    let (gangs, roles, count) = (placement.gangs.len(), placement.roles.len(), placement.count as usize);
    if gangs != roles || (gangs != 0 && gangs != count) {
        return Err(WireError::invalid("MachinePlacement", "gangs", format!("{gangs} and {roles} roles for {count}")));
    }
    let pairs = placement.gangs.iter().zip(&placement.roles);
    pairs.map(|(gang, role)| member("MachinePlacement", *gang, *role)).collect()
}

/// A process's place in a gang. Gangs are numbered from 1, and a job has no more of them than processes.
pub(super) fn member(message: &'static str, gang: u32, role: u32) -> Result<Member, WireError> {
    if !(1..=PROCESSES_MAX).contains(&gang) || role as usize >= ROLES_MAX {
        return Err(WireError::invalid(message, "gang", format!("{gang}, role {role}")));
    }
    Ok(Member { gang, role })
}
