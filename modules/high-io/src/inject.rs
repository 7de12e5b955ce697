//! Corruption made on purpose: a detector that was never seen to fire is not trusted.

pub(crate) use muster_pattern::spoil;
