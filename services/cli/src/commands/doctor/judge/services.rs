//! An owning service: its leader, its replicas, its full pass, its log and the archive of that.

use std::collections::BTreeMap;

use muster_bus::streams;
use muster_ledger::Archived;
use muster_model::Position;
use muster_proto::v1;

use super::super::found::{Decided, Found, Passes, ServiceFound};
use super::{Check, Reason};
use crate::times;

/// Decided facts that are named for one difference.
const DECIDED_NAMED_MAX: usize = 4;
/// A follower that is behind by more is slow; positions are noted now and then only.
const FOLLOWED_LAG_MAX: u64 = 10_000;
/// An archive that is behind by more is slow.
const ARCHIVE_LAG_MAX: u64 = 10_000;

pub(super) fn judge(found: &Found, service: &ServiceFound) -> Vec<Check> {
    let mut checks = vec![leader(found, service), replicas(service)];
    if let Ok(passes) = &service.passes {
        checks.extend(pass(service, passes));
    }
    checks.push(log(service));
    checks
}

fn leader(found: &Found, service: &ServiceFound) -> Check {
    let name = service.service.as_str();
    let passes = match &service.passes {
        Ok(passes) => passes,
        Err(error) => return without_pass(service, error),
    };
    let status = passes.last.status.clone().unwrap_or_default();
    let position = Position::from(status.position.unwrap_or_default());
    let text = format!("{} leads, term {}, at {position}", status.instance, status.term);
    let behind: Vec<String> = status.followed.iter().filter_map(|followed| behind(found, followed)).collect();
    if behind.is_empty() {
        return Check::ok(name, text);
    }
    let next =
        format!("`muster doctor` again: if it does not catch up, look at the load of muster-{name} and at its log");
    Check::warn(
        name,
        format!("{text}, {}", behind.join(", ")),
        Reason { why: "it decides from what is long past", next: &next },
    )
}

/// The leader of a service that made no full pass for us: there is none, or it does not make one for everybody.
fn without_pass(service: &ServiceFound, error: &str) -> Check {
    let name = service.service.as_str();
    let Some(status) = service.replicas.iter().flatten().rfind(|status| status.leads) else {
        let next = format!("start muster-{name}, or look at its log: an alarm there says why it stopped");
        let reason = Reason { why: "no replica leads: what it decides is refused until one does", next: &next };
        return Check::fail(name, error, reason);
    };
    let next = "have somebody look who has the role of a tester, or a higher one; without roles, look at its log";
    let reason = Reason { why: "what its log and the agents disagree about is not looked for", next };
    Check::warn(name, format!("{} leads, term {}; no full pass: {error}", status.instance, status.term), reason)
}

/// A followed stream that goes on far beyond what was taken of it.
fn behind(found: &Found, followed: &v1::FollowedStatus) -> Option<String> {
    let streams = found.streams.as_ref().ok()?;
    let end = streams.iter().find(|stream| stream.name == followed.stream)?.last;
    let taken = Position::from(followed.position.unwrap_or_default()).sequence.0;
    let lag = end.saturating_sub(taken);
    (lag > FOLLOWED_LAG_MAX).then(|| format!("{lag} messages of {} are not taken yet", followed.stream))
}

/// Whether the standbys have the leader's state.
fn replicas(service: &ServiceFound) -> Check {
    let name = format!("{} replicas", service.service.as_str());
    let last = service.replicas.last().map(Vec::as_slice).unwrap_or_default();
    let leaders = last.iter().filter(|status| status.leads).count();
    let standbys: Vec<&v1::ServiceStatus> = last.iter().filter(|status| !status.leads).collect();
    if let Some(text) = differing_hash(service) {
        let next = "stop that replica and start it again: it folds the log anew; keep its log and the stream for whoever mends this";
        let why = "replicas that fold the same log have different states: a defect, or a damaged memory";
        return Check::fail(name, text, Reason { why, next });
    }
    if leaders > 1 {
        let text = format!("{leaders} replicas say that they lead");
        let next = "`muster doctor` again: one of them loses its lease within 6 s; the log takes the word of one alone";
        return Check::warn(name, text, Reason { why: "leadership is changing", next });
    }
    if standbys.is_empty() {
        return Check::ok(name, "no standby: nobody takes over when the only one ends");
    }
    let names: Vec<&str> = standbys.iter().map(|status| status.instance.as_str()).collect();
    if met(service) {
        return Check::ok(name, format!("standby {} has the leader's state", names.join(", ")));
    }
    let text = format!("standby {}: never met at the leader's position while this looked", names.join(", "));
    Check::ok(name, format!("{text}, as under load"))
}

/// A standby whose state at a position is not what the leader's was there.
fn differing_hash(service: &ServiceFound) -> Option<String> {
    let mut of_leader = BTreeMap::new();
    let all = || service.replicas.iter().flatten();
    for status in all().filter(|status| status.leads) {
        of_leader.insert(Position::from(status.position.unwrap_or_default()), &status.state_hash);
    }
    let differs = |status: &&v1::ServiceStatus| {
        let at = Position::from(status.position.unwrap_or_default());
        !status.leads && of_leader.get(&at).is_some_and(|hash| **hash != status.state_hash)
    };
    let found = all().find(differs)?;
    let at = Position::from(found.position.unwrap_or_default());
    Some(format!("the state of standby {} at {at} is not the leader's", found.instance))
}

/// Every standby that answered was met at a position of the leader.
fn met(service: &ServiceFound) -> bool {
    let positions: Vec<_> =
        service.replicas.iter().flatten().filter(|status| status.leads).map(|status| status.position).collect();
    let last = service.replicas.last().map(Vec::as_slice).unwrap_or_default();
    last.iter().filter(|status| !status.leads).all(|standby| {
        let of_standby = service.replicas.iter().flatten().filter(|status| status.instance == standby.instance);
        of_standby.filter(|status| !status.leads).any(|status| positions.contains(&status.position))
    })
}

/// What the full pass found: what differed, what was done, and whether it still differs.
fn pass(service: &ServiceFound, passes: &Passes) -> Vec<Check> {
    let name = format!("{} full pass", service.service.as_str());
    let mut checks = Vec::new();
    let broken = &passes.last.broken;
    if !broken.is_empty() {
        let next = "take a backup (`muster admin backup`), and give it with the service's log to whoever mends this";
        let why = "the state of the service breaks a rule that decisions keep";
        checks.push(Check::fail(&name, broken, Reason { why, next }));
    }
    let total = passes.first.differences.len() + passes.first.differences_more as usize;
    if checks.is_empty() && total == 0 {
        let decided = match passes.first.events.len() {
            0 => "nothing differs, nothing was due".to_owned(),
            events => format!("nothing differs, {events} events were due"),
        };
        checks.push(Check::ok(&name, decided));
    }
    let gone = passes.first.differences.iter().filter(|difference| !remains(passes, &difference.subject));
    checks.extend(gone.map(|difference| repaired(service, passes, difference)));
    checks.extend(passes.last.differences.iter().map(|difference| remaining(service, passes, difference)));
    let more = passes.last.differences_more;
    if more > 0 {
        let text = format!("{more} further differences are not listed");
        let next = "`muster doctor` again once the ones above are gone";
        checks.push(Check::warn(&name, text, Reason { why: "an answer has a bound", next }));
    }
    checks.extend(passes.last.alarms.iter().map(|alarm| {
        Check::warn(
            format!("{} alarm", service.service.as_str()),
            &alarm.what,
            Reason { why: &alarm.why, next: &alarm.next },
        )
    }));
    checks
}

/// Something differs about this subject in the last pass, too.
fn remains(passes: &Passes, subject: &str) -> bool {
    passes.last.differences.iter().any(|left| left.subject == subject)
}

/// What differed at first, and does not any more.
fn repaired(service: &ServiceFound, passes: &Passes, difference: &v1::Difference) -> Check {
    let v1::Difference { subject, what, next } = difference;
    let (took, decided) = (times::short(passes.took), decided_about(&passes.decided, subject));
    Check::ok(format!("{} {subject}", service.service.as_str()), format!("{what}; done within {took}: {next}{decided}"))
}

/// What differs still.
fn remaining(service: &ServiceFound, passes: &Passes, difference: &v1::Difference) -> Check {
    let v1::Difference { subject, what, next } = difference;
    let decided = decided_about(&passes.decided, subject);
    let why = format!("it differs after {}, too; {next}", times::short(passes.took));
    let next = match subject.contains(' ') {
        true => "`muster doctor` again, then look at the log of the service".into(),
        false => format!("`muster machine show {subject}` and the log of its agent say why it does not take it"),
    };
    let name = format!("{} {subject}", service.service.as_str());
    Check::warn(name, format!("{what}{decided}"), Reason { why: &why, next: &next })
}

/// What was decided about a subject, as an appendix.
fn decided_about(decided: &[Decided], subject: &str) -> String {
    let name = subject.rsplit(' ').next().unwrap_or(subject);
    let (quoted, bare) = (format!("\"{name}\""), format!(":{name}"));
    let about = decided.iter().filter(|one| one.text.contains(&quoted) || one.text.contains(&bare));
    let words: Vec<&str> = about.take(DECIDED_NAMED_MAX).map(|one| one.what.as_str()).collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

/// The log against its archive.
fn log(service: &ServiceFound) -> Check {
    let name = streams::log_of(service.service).unwrap_or_default();
    let inspected = match &service.log {
        Ok(inspected) => inspected,
        Err(error) => {
            let next = format!(
                "`muster admin init` makes a stream that is missing; a log that was lost: `muster admin recover {name}`"
            );
            return Check::fail(name, error, Reason { why: "the log can not be read", next: &next });
        }
    };
    let Some(head) = inspected.head else {
        let next =
            format!("a new system: `muster admin init --new-system`; one that was lost: `muster admin recover {name}`");
        return Check::fail(
            name,
            "the log is empty",
            Reason { why: "an empty log never starts by itself", next: &next },
        );
    };
    match &inspected.archived {
        Archived::Agrees(archived) => {
            let lag = head.sequence.0.saturating_sub(archived.sequence.0);
            let text = format!("at {head}, its archive agrees at {archived}");
            if lag <= ARCHIVE_LAG_MAX {
                return Check::ok(name, text);
            }
            let reason = Reason {
                why: "the archive is far behind: what is lost now can not be rebuilt",
                next: "look at telemetry-logger and PostgreSQL",
            };
            Check::warn(name, text, reason)
        }
        Archived::Nothing(why) => {
            let next = "`muster report status` shows how far the store is: it takes the log from where it begins";
            Check::warn(name, format!("at {head}, and nothing to compare it with"), Reason { why, next })
        }
        Archived::Away(why) => {
            let next = "bring telemetry-logger and PostgreSQL up: jobs go on without, and the log is compared later";
            Check::warn(name, format!("at {head}, its archive is away"), Reason { why, next })
        }
        Archived::Differs(why) => {
            let next = format!(
                "find out which of both is damaged before anything is stopped; a damaged log: `muster admin recover {name} --replace`"
            );
            Check::fail(name, format!("at {head}, its archive holds something else"), Reason { why, next: &next })
        }
    }
}
