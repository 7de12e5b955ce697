//! The logs are whole, their copies are the same, and nothing in them is decided twice or out of order.

use std::collections::{BTreeMap, BTreeSet};

use muster_proto::v1::cause::Kind;

use crate::facts::{Facts, Log};
use crate::oracle::Violation;

pub(super) fn judge(facts: &Facts) -> Vec<Violation> {
    let each = facts.logs.iter();
    each.flat_map(|log| [chain(log), copy(log), causes(facts, log)].concat()).collect()
}

/// Each message stands behind its predecessor, and has its hash.
fn chain(log: &Log) -> Vec<Violation> {
    let mut found = Vec::new();
    if log.messages.is_empty() {
        found.push(Violation::new(format!("{} is empty", log.name)));
    }
    for pair in log.messages.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        if after.position.sequence.0 != before.position.sequence.0 + 1 {
            found.push(Violation::new(format!(
                "{} has a gap between {} and {}",
                log.name, before.position, after.position
            )));
        } else if after.previous != before.hash {
            found.push(Violation::new(format!("{}: {} does not follow its predecessor", log.name, after.position)));
        }
    }
    found
}

/// The copy in PostgreSQL is the log.
fn copy(log: &Log) -> Vec<Violation> {
    let own = log.messages.iter().map(|message| (message.position, message.hash.as_slice()));
    let copied = log.archived.iter().map(|(position, hash)| (*position, hash.as_slice()));
    if own.clone().eq(copied.clone()) {
        return Vec::new();
    }
    let place = own.zip(copied).take_while(|(own, copied)| own == copied).count();
    let (own, copied) = (log.messages.len(), log.archived.len());
    let what =
        format!("{}: its copy differs from message {} on: {own} in the log, {copied} in the copy", log.name, place + 1);
    vec![Violation::new(what)]
}

/// Time does not go back, a command is decided once, and followed logs are taken in order.
fn causes(facts: &Facts, log: &Log) -> Vec<Violation> {
    let (mut found, mut commands, mut followed) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
    let mut time_ns = 0;
    for entry in log.messages.iter().flat_map(|message| &message.entries) {
        let at = facts.moment(entry.time_ns);
        if entry.time_ns < time_ns {
            found.push(Violation::at(format!("the time of {} goes back", log.name), at));
        }
        time_ns = entry.time_ns;
        match entry.cause.as_ref().and_then(|cause| cause.kind.as_ref()) {
            Some(Kind::Command(id)) if !commands.insert(id.clone()) => {
                found.push(Violation::at(format!("a command was decided twice in {}: {id:x?}", log.name), at));
            }
            Some(Kind::Followed(note)) => {
                let sequence = note.position.map_or(0, |position| position.sequence);
                let before = followed.insert(note.stream.clone(), sequence).unwrap_or(0);
                if sequence < before {
                    let what = format!("{} took {} {sequence} after {before}", log.name, note.stream);
                    found.push(Violation::at(what, at));
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::oracle::made_up::{finds, followed, good};

    #[test]
    fn a_missing_message_another_hash_and_another_copy_are_found() {
        let mut facts = good();
        facts.logs[0].messages.remove(1);
        finds(&facts, "has a gap");
        let mut facts = good();
        facts.logs[0].messages[1].hash[0] ^= 1;
        finds(&facts, "does not follow its predecessor");
        let mut facts = good();
        facts.logs[0].archived.pop();
        finds(&facts, "its copy differs from message");
        let mut facts = good();
        facts.logs[0].archived[0].1[0] ^= 1;
        finds(&facts, "its copy differs from message 1 on");
        let mut facts = good();
        facts.logs[1].messages.clear();
        finds(&facts, "is empty");
    }

    #[test]
    fn a_command_that_is_decided_twice_is_found() {
        let mut facts = good();
        let entry = facts.logs[0].messages[0].entries[0].clone();
        facts.logs[0].messages[1].entries.insert(0, entry);
        finds(&facts, "a command was decided twice in JOBS");
    }

    #[test]
    fn time_and_positions_that_go_back_are_found() {
        let mut facts = good();
        facts.logs[0].messages[1].entries[0].time_ns = 1;
        finds(&facts, "the time of JOBS goes back");
        let mut facts = good();
        for (message, sequence) in [(0, 9), (1, 8)] {
            let entry = followed("MACHINES", sequence);
            facts.logs[0].messages[message].entries.push(entry);
        }
        finds(&facts, "JOBS took MACHINES 8 after 9");
    }
}
