//! Sync points on the wire.

use std::sync::Arc;
use std::time::Duration;

use muster_model::{Epoch, JobNumber, PoolTime, ProcessNumber};
use muster_proto::{WireError, v1};

use super::bounded;
use crate::core::event::{SyncArrived, SyncLeft};
use crate::core::input::SyncSaid;
use crate::core::sync::{Answer, Arrival, Outcome, Round, RoundEnd, RoundKey};

/// What an agent says of a process.
pub(super) fn report(said: v1::SyncSaid) -> Option<SyncSaid> {
    Some(SyncSaid {
        id: said.id?.into(),
        epoch: Epoch(said.epoch),
        name: bounded(said.name),
        round: said.round,
        vote: said.vote,
        timeout: Duration::from_nanos(u64::try_from(said.timeout_ns).unwrap_or_default()),
        with: said.with,
        leaves: said.leaves,
    })
}

fn key_to_wire(key: &RoundKey) -> v1::SyncRound {
    v1::SyncRound { name: key.name.to_string(), number: key.number }
}

fn key_from_wire(message: &'static str, key: Option<v1::SyncRound>) -> Result<RoundKey, WireError> {
    let key = key.ok_or_else(|| WireError::missing(message, "round"))?;
    Ok(RoundKey { name: Arc::from(key.name.as_str()), number: key.number })
}

fn votes_to_wire<'a>(votes: impl Iterator<Item = (&'a ProcessNumber, &'a bool)>) -> (Vec<u32>, Vec<u32>) {
    let (mut yes, mut no) = (Vec::new(), Vec::new());
    votes.for_each(|(process, vote)| if *vote { yes.push(process.0) } else { no.push(process.0) });
    (yes, no)
}

fn votes_from_wire(yes: Vec<u32>, no: Vec<u32>) -> impl Iterator<Item = (ProcessNumber, bool)> {
    let of = |vote| move |process| (ProcessNumber(process), vote);
    yes.into_iter().map(of(true)).chain(no.into_iter().map(of(false)))
}

fn numbers(processes: Vec<u32>) -> Vec<ProcessNumber> {
    processes.into_iter().map(ProcessNumber).collect()
}

impl From<&SyncArrived> for v1::SyncArrived {
    fn from(arrived: &SyncArrived) -> Self {
        let (yes, no) = votes_to_wire(arrived.votes.iter().map(|(process, vote)| (process, vote)));
        Self {
            job: arrived.job.0,
            round: Some(key_to_wire(&arrived.round)),
            participants: arrived.participants.iter().map(|process| process.0).collect(),
            until_ns: arrived.until.0,
            yes,
            no,
            refused: arrived.refused.clone(),
        }
    }
}

impl TryFrom<v1::SyncArrived> for SyncArrived {
    type Error = WireError;
    fn try_from(wire: v1::SyncArrived) -> Result<Self, WireError> {
        Ok(Self {
            job: JobNumber(wire.job),
            round: key_from_wire("SyncArrived", wire.round)?,
            participants: numbers(wire.participants),
            until: PoolTime(wire.until_ns),
            votes: {
                let mut votes: Vec<_> = votes_from_wire(wire.yes, wire.no).collect();
                votes.sort_unstable();
                votes
            },
            refused: wire.refused,
        })
    }
}

pub(super) fn left_to_wire(left: &SyncLeft) -> v1::SyncLeft {
    v1::SyncLeft { job: left.job.0, processes: left.processes.iter().map(|process| process.0).collect() }
}

pub(super) fn left_from_wire(wire: v1::SyncLeft) -> SyncLeft {
    SyncLeft { job: JobNumber(wire.job), processes: numbers(wire.processes) }
}

pub(super) fn timed_out_to_wire(job: JobNumber, round: &RoundKey) -> v1::SyncTimedOut {
    v1::SyncTimedOut { job: job.0, round: Some(key_to_wire(round)) }
}

pub(super) fn timed_out_from_wire(wire: v1::SyncTimedOut) -> Result<(JobNumber, RoundKey), WireError> {
    Ok((JobNumber(wire.job), key_from_wire("SyncTimedOut", wire.round)?))
}

/// What a process is told.
pub(super) fn answer_to_wire(answer: &Answer) -> v1::SyncAnswer {
    let round = Some(key_to_wire(&answer.round));
    match &answer.told {
        Ok(outcome) => v1::SyncAnswer { round, ..outcome_to_wire(outcome) },
        Err(why) => {
            v1::SyncAnswer { round, end: v1::SyncEnd::Refused.into(), why: why.clone(), ..v1::SyncAnswer::default() }
        }
    }
}

fn outcome_to_wire(outcome: &Outcome) -> v1::SyncAnswer {
    let (end, by, why) = match &outcome.end {
        RoundEnd::Complete => (v1::SyncEnd::Complete, 0, String::new()),
        RoundEnd::Released { by, why } => (v1::SyncEnd::Released, by.0, why.clone()),
        RoundEnd::TimedOut => (v1::SyncEnd::TimedOut, 0, String::new()),
    };
    v1::SyncAnswer {
        round: None,
        end: end.into(),
        yes: outcome.yes,
        no: outcome.no,
        no_voters: outcome.no_voters.iter().map(|process| process.0).collect(),
        by,
        why,
    }
}

fn outcome_from_wire(wire: v1::SyncAnswer) -> Option<Outcome> {
    let end = match wire.end() {
        v1::SyncEnd::Complete => RoundEnd::Complete,
        v1::SyncEnd::Released => RoundEnd::Released { by: ProcessNumber(wire.by), why: wire.why },
        v1::SyncEnd::TimedOut => RoundEnd::TimedOut,
        v1::SyncEnd::Refused | v1::SyncEnd::Unspecified => return None,
    };
    Some(Outcome { end, yes: wire.yes, no: wire.no, no_voters: numbers(wire.no_voters) })
}

/// A round of a snapshot.
pub(super) fn round_to_wire((key, round): (&RoundKey, &Round)) -> v1::SnapshotRound {
    let (yes, no) = votes_to_wire(round.votes.iter());
    v1::SnapshotRound {
        round: Some(key_to_wire(key)),
        participants: round.participants.iter().map(|process| process.0).collect(),
        until_ns: round.until.0,
        yes,
        no,
        outcome: round.outcome.as_ref().map(outcome_to_wire),
    }
}

pub(super) fn round_from_wire(wire: v1::SnapshotRound) -> Result<(RoundKey, Round), WireError> {
    let round = Round {
        participants: numbers(wire.participants),
        until: PoolTime(wire.until_ns),
        votes: votes_from_wire(wire.yes, wire.no).collect(),
        outcome: wire.outcome.and_then(outcome_from_wire),
    };
    Ok((key_from_wire("SnapshotRound", wire.round)?, round))
}

pub(super) fn arrival_to_wire(arrival: &Arrival) -> v1::SyncArrival {
    v1::SyncArrival { round: Some(key_to_wire(&arrival.round)), refused: arrival.refused.clone() }
}

pub(super) fn arrival_from_wire(wire: v1::SyncArrival) -> Result<Arrival, WireError> {
    Ok(Arrival { round: key_from_wire("SyncArrival", wire.round)?, refused: wire.refused })
}
