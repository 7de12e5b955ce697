//! What people were told is what the logs say: taken once, or not at all.

use std::collections::BTreeMap;

use muster_model::Position;
use muster_proto::v1::{self, cause::Kind, job_event, reservation_event};
use prost::Message as _;

use crate::commands;
use crate::facts::{Answer, Facts, Given};
use crate::load::Act;
use crate::oracle::Violation;

/// Where a command was decided, and which job or reservation that made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Decided {
    position: Position,
    made: Option<u64>,
}

pub(super) fn judge(facts: &Facts) -> Vec<Violation> {
    let decided = decided(facts);
    facts.given.iter().filter_map(|given| wrong(given, decided.get(given.id.0.as_slice()))).collect()
}

/// Every decision about a command, by the command's id.
fn decided(facts: &Facts) -> BTreeMap<Vec<u8>, Decided> {
    let mut decided = BTreeMap::new();
    for log in &facts.logs {
        for message in &log.messages {
            for entry in &message.entries {
                let Some(Kind::Command(id)) = entry.cause.as_ref().and_then(|cause| cause.kind.as_ref()) else {
                    continue;
                };
                let made = entry.events.iter().find_map(|event| made(&log.name, event));
                decided.insert(id.to_vec(), Decided { position: message.position, made });
            }
        }
    }
    decided
}

/// Number of the job or reservation that an event makes.
fn made(log: &str, event: &[u8]) -> Option<u64> {
    match log {
        "JOBS" => match v1::JobEvent::decode(event).ok()?.kind? {
            job_event::Kind::JobStarted(started) => started.spec.map(|spec| spec.job.into()),
            _ => None,
        },
        "RESERVATIONS" => {
            let event = v1::ReservationEvent::decode(event).ok()?;
            matches!(event.kind, Some(reservation_event::Kind::Queued(_))).then_some(event.reservation)
        }
        _ => None,
    }
}

fn wrong(given: &Given, decided: Option<&Decided>) -> Option<Violation> {
    let told = given.act.map_or_else(|| "the end".to_owned(), |act| format!("{act:?}"));
    let what = match (&given.answer, decided) {
        (Answer::Acknowledged { .. }, _) if matches!(given.act, Some(Act::Wrong(_))) => {
            format!("{told} was acknowledged, and can not be")
        }
        (Answer::Acknowledged { position, .. }, None) => {
            let is_owed = given.act.as_ref().is_some_and(commands::always_decides);
            is_owed.then(|| format!("{told} was acknowledged at {position}, and no log has its decision"))?
        }
        (Answer::Acknowledged { position, .. }, Some(decided)) if decided.position != *position => {
            format!("{told} was acknowledged at {position}, and its decision is at {}", decided.position)
        }
        (Answer::Acknowledged { made: Some(made), .. }, Some(Decided { made: Some(logged), .. })) if made != logged => {
            format!("{told} was answered with {made}, and made {logged}")
        }
        (Answer::Refused(why), Some(decided)) => {
            format!("{told} was refused ({why}), and its decision is at {}", decided.position)
        }
        (Answer::Acknowledged { .. }, Some(_)) | (Answer::Refused(_), None) | (Answer::Unknown, _) => return None,
    };
    Some(Violation::at(what, given.at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Wrong;
    use crate::oracle::made_up::{finds, good};

    #[test]
    fn an_acknowledged_command_without_its_decision_is_found() {
        let mut facts = good();
        facts.given[0].id.0[15] ^= 1;
        finds(&facts, "no log has its decision");
        let mut facts = good();
        facts.given[0].answer = Answer::Acknowledged { position: Position::new(1, 3), made: Some(1) };
        finds(&facts, "and its decision is at");
        let mut facts = good();
        facts.given[0].answer = Answer::Acknowledged { position: facts.logs[0].messages[0].position, made: Some(2) };
        finds(&facts, "was answered with 2, and made 1");
    }

    #[test]
    fn a_refused_command_that_was_done_and_a_wrong_one_that_was_taken_are_found() {
        let mut facts = good();
        facts.given[0].answer = Answer::Refused("it is not so".into());
        finds(&facts, "was refused (it is not so), and its decision is at");
        let mut facts = good();
        facts.given[0].act = Some(Act::Wrong(Wrong::Job));
        finds(&facts, "was acknowledged, and can not be");
    }

    #[test]
    fn of_an_unknown_answer_nothing_is_expected() {
        let mut facts = good();
        facts.given[0].answer = Answer::Unknown;
        assert_eq!(judge(&facts), []);
    }
}
