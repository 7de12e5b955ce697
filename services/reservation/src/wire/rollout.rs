//! Kernels and quorums of rollouts.

use muster_model::{KernelName, nanoseconds};
use muster_proto::WireError;
use muster_proto::v1;

use super::{checked_duration, duration};
use crate::core::Rollout;

pub(super) fn kernel_name(message: &'static str, text: &str) -> Result<KernelName, WireError> {
    KernelName::new(text).map_err(|error| WireError::invalid(message, "kernel", error))
}

pub(super) fn rollout_to_wire(rollout: &Rollout) -> v1::Rollout {
    v1::Rollout {
        kernel: rollout.kernel.to_string(),
        minimum: rollout.minimum,
        countdown_ns: nanoseconds(rollout.countdown),
        give_up_ns: nanoseconds(rollout.give_up),
        nonce: rollout.nonce.clone(),
    }
}

pub(super) fn rollout_from_wire(wire: v1::Rollout) -> Result<Rollout, WireError> {
    Ok(Rollout {
        kernel: kernel_name("Rollout", &wire.kernel)?,
        minimum: wire.minimum,
        countdown: duration(wire.countdown_ns),
        give_up: duration(wire.give_up_ns),
        nonce: wire.nonce,
    })
}

/// What is asked for; its nonce is made here, where chance is allowed, and never taken from outside.
pub(super) fn asked(wire: v1::Rollout, nonce: &str) -> Result<Rollout, WireError> {
    Ok(Rollout {
        kernel: kernel_name("Rollout", &wire.kernel)?,
        minimum: wire.minimum,
        countdown: checked_duration("Rollout", "countdown_ns", wire.countdown_ns)?,
        give_up: checked_duration("Rollout", "give_up_ns", wire.give_up_ns)?,
        nonce: nonce.to_owned(),
    })
}
