//! A full pass that somebody asks for: what differed, what the pass decided, and what it wants done.
//!
//! Responsible for the verb and for its answer. The pass itself is the leader's, and what differs is the core's to say.

use muster_bus::{Authority, Endpoint};
use muster_model::{Refusal, RefusalCode};
use muster_proto::v1::envelope::Body;
use muster_proto::v1::{self, TurnBlock};
use prost::Message;

use crate::{Core, Handle, Lead};

/// Of each kind so many are listed; more are counted.
const LISTED_MAX: usize = 500;
/// Events are listed up to so many bytes, so that the answer fits into a message.
const EVENT_BYTES_MAX: usize = 400_000;

/// Something that the state and what is observed disagree about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What it is about: a machine, a reservation.
    pub subject: String,
    /// What differs.
    pub what: String,
    /// What is done about it.
    pub next: String,
}

/// Something that a person is to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// What it is.
    pub what: String,
    /// Why it is so.
    pub why: String,
    /// What to do.
    pub next: String,
}

/// What a core finds when it is examined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// What differs.
    pub differences: Vec<Difference>,
    /// What people are to know.
    pub alarms: Vec<Alarm>,
    /// An invariant that the state does not keep.
    pub broken: Option<String>,
}

/// What is told of a pass that decided a block of entries, and wants these effects.
pub(crate) fn reply(
    findings: Findings,
    event_type: &str,
    block: &[u8],
    effects: impl Iterator<Item = String>,
) -> v1::CheckReply {
    let entries = TurnBlock::decode(block).map(|block| block.entries).unwrap_or_default();
    let mut size = 0;
    let (events, events_more) = listed(entries.into_iter().flat_map(|entry| entry.events), |event| {
        size += event.len();
        size <= EVENT_BYTES_MAX
    });
    let differences = findings.differences.into_iter();
    let differences = differences.map(|one| v1::Difference { subject: one.subject, what: one.what, next: one.next });
    let (differences, differences_more) = listed(differences, |_| true);
    let (effects, effects_more) = listed(effects, |_| true);
    let alarms = findings.alarms.into_iter().take(LISTED_MAX);
    v1::CheckReply {
        status: None,
        differences,
        differences_more,
        alarms: alarms.map(|alarm| v1::Alarm { what: alarm.what, why: alarm.why, next: alarm.next }).collect(),
        event_type: event_type.to_owned(),
        events,
        events_more,
        effects,
        effects_more,
        broken: findings.broken.unwrap_or_default(),
    }
}

/// The first of them that fit, and how many more there are.
fn listed<T>(all: impl Iterator<Item = T>, mut fits: impl FnMut(&T) -> bool) -> (Vec<T>, u32) {
    let (mut listed, mut more) = (Vec::new(), 0_u32);
    for one in all {
        if more == 0 && listed.len() < LISTED_MAX && fits(&one) {
            listed.push(one);
        } else {
            more = more.saturating_add(1);
        }
    }
    (listed, more)
}

/// Answers who asks for a full pass, one after the other, for as long as this leads.
pub(crate) async fn serve<C: Core>(endpoint: Option<Endpoint>, handle: Handle<C>, lead: Lead) {
    let Some(mut endpoint) = endpoint else { return };
    while let Some(request) = endpoint.next().await {
        let is_check = matches!(&request.envelope, Ok(envelope) if matches!(envelope.body, Some(Body::CheckQuery(_))));
        let checked = if is_check { handle.check().await } else { Err(unknown()) };
        if !lead.holds() {
            continue;
        }
        match checked {
            Ok(found) => request.answer(Body::CheckReply(found), Authority::default()).await,
            Err(refusal) => request.refuse(&refusal).await,
        }
    }
}

fn unknown() -> Refusal {
    let next = "use a `muster` of the same version as the service";
    Refusal::new(RefusalCode::Invalid, "make a full pass", "the request is no check_query", next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        let difference = |number: usize| Difference {
            subject: format!("m{number}"),
            what: "it is behind".into(),
            next: "it is told again".into(),
        };
        let findings = Findings { differences: (0..LISTED_MAX + 7).map(difference).collect(), ..Findings::default() };
        let entry = v1::Entry { events: vec![vec![0; EVENT_BYTES_MAX / 2].into(); 3], ..v1::Entry::default() };
        let block = TurnBlock { entries: vec![entry] }.encode_to_vec();
        let found = reply(findings, "muster.v1.MachineEvent", &block, std::iter::empty());
        assert_eq!((found.differences.len(), found.differences_more), (LISTED_MAX, 7));
        assert_eq!((found.events.len(), found.events_more), (2, 1));
        assert_eq!(found.effects_more, 0);
    }
}
