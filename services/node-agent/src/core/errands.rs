//! Errands of one process: what the scheduler said of them, and what the process waits for.
//!
//! Nothing is kept on the disk: the scheduler says all errands again with every order, and who was not answered asks again on its next connection.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_model::{Dpid, ProcessState, Verdict};
use muster_module_protocol::AgentMessage;
use muster_proto::v1::ErrandRecord;

/// Questions of one process that wait at once.
const ASKED_MAX: usize = 64;

/// What a process waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// That an errand is started.
    Start,
    /// That it has ended.
    End,
}

/// A question that is not answered yet.
#[derive(Debug)]
struct Asked {
    awaited: Awaited,
    name: String,
    until: Duration,
}

/// Errands of one process.
#[derive(Debug, Default)]
pub(crate) struct Errands {
    known: BTreeMap<String, ErrandRecord>,
    asked: Vec<Asked>,
}

impl Errands {
    /// A process waits for something; the answer where it is known, or where it waits for too much.
    pub(crate) fn ask(&mut self, awaited: Awaited, name: &str, until: Duration) -> Option<AgentMessage> {
        self.asked.retain(|asked| (asked.awaited, asked.name.as_str()) != (awaited, name));
        if let Some(answer) = self.answer(awaited, name) {
            return Some(answer);
        }
        if self.asked.len() >= ASKED_MAX {
            return Some(unknown(awaited, name, &format!("{ASKED_MAX} questions wait already")));
        }
        self.asked.push(Asked { awaited, name: name.to_owned(), until });
        None
    }

    /// The scheduler says what is known of all errands; who waited is answered.
    pub(crate) fn told(&mut self, records: &[ErrandRecord]) -> Vec<AgentMessage> {
        self.known = records.iter().map(|record| (record.name.clone(), record.clone())).collect();
        let asked = std::mem::take(&mut self.asked);
        let mut answers = Vec::new();
        for asked in asked {
            match self.answer(asked.awaited, &asked.name) {
                Some(answer) => answers.push(answer),
                None => self.asked.push(asked),
            }
        }
        answers
    }

    /// Answers of those who have waited for long enough.
    pub(crate) fn due(&mut self, now: Duration) -> Vec<AgentMessage> {
        let is_due = |asked: &mut Asked| asked.until <= now;
        let due = self.asked.extract_if(.., is_due);
        due.map(|asked| {
            let why = match asked.awaited {
                Awaited::Start => "it is not known to be started in time; ask again under the same name",
                Awaited::End => "it has not ended in time",
            };
            unknown(asked.awaited, &asked.name, why)
        })
        .collect()
    }

    fn answer(&self, awaited: Awaited, name: &str) -> Option<AgentMessage> {
        let record = self.known.get(name)?;
        match (awaited, &record.dpid) {
            (_, None) => Some(unknown(awaited, name, &record.refused)),
            (Awaited::Start, Some(dpid)) => {
                let dpid = Dpid::from(*dpid).to_string();
                Some(AgentMessage::StartedOn { name: name.to_owned(), dpid, why: String::new() })
            }
            (Awaited::End, Some(_)) => ended(record),
        }
    }
}

/// How an errand ended; none while it lives.
fn ended(record: &ErrandRecord) -> Option<AgentMessage> {
    let state = ProcessState::try_from(record.state()).ok().filter(|state| state.is_final())?;
    Some(AgentMessage::EndedOn {
        name: record.name.clone(),
        state: state.as_str().to_owned(),
        verdict: Verdict::from(record.verdict()).as_str().to_owned(),
        exit_status: record.exited.then_some(record.exit_status),
        reason: record.reason.clone(),
        why: String::new(),
    })
}

fn unknown(awaited: Awaited, name: &str, why: &str) -> AgentMessage {
    let (name, why) = (name.to_owned(), why.to_owned());
    match awaited {
        Awaited::Start => AgentMessage::StartedOn { name, dpid: String::new(), why },
        Awaited::End => AgentMessage::EndedOn {
            name,
            state: String::new(),
            verdict: String::new(),
            exit_status: None,
            reason: String::new(),
            why,
        },
    }
}

#[cfg(test)]
mod tests {
    use muster_proto::v1;

    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    fn record(name: &str, state: v1::ProcessState) -> ErrandRecord {
        let dpid = Some(v1::Dpid { job: 2, process: 1 });
        ErrandRecord { name: name.into(), dpid, state: state.into(), ..ErrandRecord::default() }
    }

    #[test]
    fn who_waits_is_answered_once_it_is_known_and_who_asks_later_at_once() {
        let mut errands = Errands::default();
        assert_eq!(errands.ask(Awaited::Start, "a", SOON), None);
        assert_eq!(errands.ask(Awaited::End, "a", SOON), None);
        let started = AgentMessage::StartedOn { name: "a".into(), dpid: "00020001".into(), why: String::new() };
        assert_eq!(errands.told(&[record("a", v1::ProcessState::Unspecified)]), std::slice::from_ref(&started));
        assert_eq!(errands.told(&[record("a", v1::ProcessState::Unspecified)]), []);
        let ends = errands.told(&[record("a", v1::ProcessState::Finished)]);
        assert!(matches!(&ends[..], [AgentMessage::EndedOn { state, .. }] if state == "finished"), "{ends:?}");
        assert_eq!(errands.ask(Awaited::Start, "a", SOON), Some(started));
        assert!(errands.ask(Awaited::End, "a", SOON).is_some());
        assert_eq!(errands.due(SOON), []);
    }

    #[test]
    fn a_refusal_answers_both_and_time_ends_what_is_not_answered() {
        let mut errands = Errands::default();
        let refused = ErrandRecord { name: "a".into(), refused: "no".into(), ..ErrandRecord::default() };
        errands.ask(Awaited::Start, "a", SOON);
        errands.ask(Awaited::End, "b", SOON);
        let told = errands.told(&[refused]);
        assert!(matches!(&told[..], [AgentMessage::StartedOn { dpid, why, .. }] if dpid.is_empty() && why == "no"));
        assert_eq!(errands.due(SOON - Duration::from_secs(1)), []);
        let due = errands.due(SOON);
        assert!(matches!(&due[..], [AgentMessage::EndedOn { state, why, .. }] if state.is_empty() && !why.is_empty()));
        assert_eq!(errands.due(SOON), []);
    }

    #[test]
    fn what_one_process_waits_for_has_a_bound_and_asked_again_is_one_question() {
        let mut errands = Errands::default();
        for number in 0..ASKED_MAX {
            assert_eq!(errands.ask(Awaited::End, &number.to_string(), SOON), None);
            assert_eq!(errands.ask(Awaited::End, &number.to_string(), SOON), None);
        }
        assert!(errands.ask(Awaited::End, "more", SOON).is_some());
    }
}
