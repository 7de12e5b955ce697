//! Errands on the wire.

use std::collections::BTreeMap;

use muster_model::Epoch;
use muster_proto::{WireError, v1};

use super::{bounded, pairs};
use crate::core::errand::{Errand, ErrandEnd, ErrandOf};
use crate::core::event::ErrandRefused;
use crate::core::input::{ErrandSaid, ErrandStart};

/// What an agent says of a process.
pub(super) fn report(said: v1::ErrandSaid) -> Option<ErrandSaid> {
    let start = (!said.stop).then(|| ErrandStart {
        machine: bounded(said.machine),
        module: bounded(said.module),
        parameters: pairs(said.parameters),
        detached: said.detached,
    });
    Some(ErrandSaid { id: said.id?.into(), epoch: Epoch(said.epoch), name: said.name, start })
}

pub(super) fn of_to_wire(of: &ErrandOf) -> v1::ErrandOf {
    v1::ErrandOf { id: Some(of.id.into()), name: of.name.to_string(), detached: of.detached }
}

pub(super) fn of_from_wire(of: v1::ErrandOf) -> Result<ErrandOf, WireError> {
    let id = of.id.ok_or_else(|| WireError::missing("ErrandOf", "id"))?.into();
    Ok(ErrandOf { id, name: of.name.as_str().into(), detached: of.detached })
}

pub(super) fn refused_to_wire(refused: &ErrandRefused) -> v1::ErrandRefused {
    let ErrandRefused { id, name, machine, why } = refused.clone();
    v1::ErrandRefused { id: Some(id.into()), name, machine, why }
}

pub(super) fn refused_from_wire(refused: v1::ErrandRefused) -> Result<ErrandRefused, WireError> {
    let v1::ErrandRefused { id, name, machine, why } = refused;
    Ok(ErrandRefused { id: id.ok_or_else(|| WireError::missing("ErrandRefused", "id"))?.into(), name, machine, why })
}

/// An errand as who asked for it is told.
pub(super) fn to_wire(name: &str, errand: &Errand) -> v1::ErrandRecord {
    let end = errand.end.as_ref();
    v1::ErrandRecord {
        name: name.to_owned(),
        machine: errand.machine.clone(),
        dpid: errand.started.as_ref().ok().map(|dpid| (*dpid).into()),
        refused: errand.started.as_ref().err().cloned().unwrap_or_default(),
        detached: errand.detached,
        state: end.map_or(v1::ProcessState::Unspecified, |end| end.state.into()).into(),
        verdict: end.map_or(v1::Verdict::Unspecified, |end| end.verdict.into()).into(),
        exit_status: end.and_then(|end| end.exit_status).unwrap_or(0),
        exited: end.is_some_and(|end| end.exit_status.is_some()),
        reason: end.map_or_else(String::new, |end| end.reason.clone()),
    }
}

fn from_wire(record: v1::ErrandRecord) -> Result<(String, Errand), WireError> {
    let end = match record.state() {
        v1::ProcessState::Unspecified => None,
        state => Some(ErrandEnd {
            state: state.try_into()?,
            verdict: record.verdict().into(),
            exit_status: record.exited.then_some(record.exit_status),
            reason: record.reason.clone(),
        }),
    };
    let started = record.dpid.map(Into::into).ok_or(record.refused);
    Ok((record.name, Errand { machine: record.machine, started, detached: record.detached, end }))
}

pub(super) fn all_to_wire(errands: &BTreeMap<String, Errand>) -> Vec<v1::ErrandRecord> {
    errands.iter().map(|(name, errand)| to_wire(name, errand)).collect()
}

pub(super) fn all_from_wire(records: Vec<v1::ErrandRecord>) -> Result<BTreeMap<String, Errand>, WireError> {
    records.into_iter().map(from_wire).collect()
}
