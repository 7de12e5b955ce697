//! What the processes of a job have in common, and where they are placed.

use muster_model::{Epoch, JobNumber, ProcessNumber, ReservationId, RunId};
use muster_proto::{WireError, v1};

use super::{key_values, machine_id, pairs, position, resource_id};
use crate::core::event::Placement;
use crate::core::job::StartSpec;

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
        })
    }
}

impl From<&Placement> for v1::MachinePlacement {
    fn from(placement: &Placement) -> Self {
        let each = placement.processes.first().map_or(0, Vec::len);
        Self {
            machine: placement.machine.to_string(),
            epoch: placement.epoch.0,
            first: placement.first.0,
            count: placement.processes.len() as u32,
            resources: placement.processes.iter().flatten().map(ToString::to_string).collect(),
            resources_each: each as u32,
            machine_generation: Some(placement.machine_generation.into()),
            ..Default::default()
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
        if expected != Some(placement.resources.len()) || count > crate::core::limits::PROCESSES_MAX as usize {
            let found = placement.resources.len();
            return Err(WireError::invalid(
                MESSAGE,
                "resources",
                format!("{found} for {count} processes of {each} each"),
            ));
        }
        let mut ids = placement.resources.iter().map(|text| resource_id(MESSAGE, text));
        let mut processes = Vec::with_capacity(count);
        for _ in 0..count {
            processes.push(ids.by_ref().take(each).collect::<Result<_, _>>()?);
        }
        Ok(Self {
            machine: machine_id(MESSAGE, &placement.machine)?,
            epoch: Epoch(placement.epoch),
            machine_generation: position(placement.machine_generation),
            first: ProcessNumber(placement.first),
            processes,
        })
    }
}
