//! Judgements, through one found system that is well, and one thing changed in it.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_bus::subjects::Service;
use muster_bus::{ServedProgram, ServerHealth, StreamHealth};
use muster_ledger::{Archived, Inspected};
use muster_model::Position;
use muster_proto::v1;

use super::super::found::{Decided, Found, Heard, Passes, ServiceFound};
use super::{Check, Outcome, judge};

const OWN: &str = env!("CARGO_PKG_VERSION");

fn status(instance: &str, leads: bool, sequence: u64, hash: &str) -> v1::ServiceStatus {
    v1::ServiceStatus {
        instance: instance.into(),
        term: 3,
        position: Some(v1::Position { lineage: 1, sequence }),
        state_hash: hash.into(),
        version: OWN.into(),
        leads,
        ..v1::ServiceStatus::default()
    }
}

fn reply(differences: &[(&str, &str)]) -> v1::CheckReply {
    let difference = |(subject, what): &(&str, &str)| v1::Difference {
        subject: (*subject).into(),
        what: (*what).into(),
        next: "it is told again".into(),
    };
    v1::CheckReply {
        status: Some(status("a", true, 40, "abc")),
        differences: differences.iter().map(difference).collect(),
        ..v1::CheckReply::default()
    }
}

fn passes(first: v1::CheckReply, last: v1::CheckReply) -> Passes {
    Passes { first, last, took: Duration::from_millis(1_200), decided: Vec::new() }
}

fn machine(name: &str) -> v1::MachineStatus {
    let record =
        v1::MachineRecord { machine: name.into(), active: true, agent_version: OWN.into(), ..Default::default() };
    v1::MachineStatus { record: Some(record), health: v1::Health::Up.into(), ..Default::default() }
}

/// Everything is well.
fn well() -> Found {
    let stream = |name: &str| StreamHealth {
        name: name.into(),
        exists: true,
        last: 40,
        size_bytes: 10,
        size_max_bytes: 100,
        replicas: 1,
        ..StreamHealth::default()
    };
    let program = |name: &str| ServedProgram { name: name.into(), version: OWN.into() };
    let inspected = Inspected {
        log: "JOBS",
        messages: 40,
        head: Some(Position::new(1, 40)),
        archived: Archived::Agrees(Position::new(1, 40)),
    };
    let service = ServiceFound {
        service: Service::Scheduler,
        passes: Ok(passes(reply(&[]), reply(&[]))),
        replicas: vec![vec![status("a", true, 40, "abc"), status("b", false, 40, "abc")]],
        log: Ok(inspected),
    };
    Found {
        server: Ok(ServerHealth {
            name: "n1".into(),
            version: "2.15.1".into(),
            cluster: None,
            round_trip: Duration::from_micros(80),
            stored_bytes: 10,
            stored_max_bytes: None,
        }),
        streams: Ok(["JOBS", "REPORTS"].map(stream).into()),
        programs: ["muster-telemetry-logger", "muster-report"].map(program).into(),
        services: vec![service],
        store: Ok(v1::ReportReply { notes: vec!["store at host".into()], ..v1::ReportReply::default() }),
        machines: Ok(vec![machine("node-1"), machine("node-2")]),
        heard: ["node-1", "node-2"]
            .map(|name| {
                (
                    name.to_owned(),
                    Heard { clock_error: Some(Duration::from_micros(90)), ahead_ns: -300_000, containment: None },
                )
            })
            .into(),
    }
}

/// The checks that are not ok.
fn bad(found: &Found) -> Vec<Check> {
    let checks = judge(found);
    let bad: Vec<Check> = checks.into_iter().filter(|check| check.outcome != Outcome::Ok).collect();
    for check in &bad {
        assert!(!check.why.is_empty() && !check.next.is_empty(), "it says why, and what to do: {check:?}");
    }
    bad
}

/// The one check that is not ok.
fn the_bad(found: &Found) -> Check {
    let bad = bad(found);
    assert_eq!(bad.len(), 1, "{bad:?}");
    bad.into_iter().next().expect("there is one")
}

fn named(found: &Found, name: &str) -> Check {
    judge(found).into_iter().find(|check| check.name == name).expect("there is such a check")
}

#[test]
fn a_system_that_is_well_gives_ok_alone() {
    assert_eq!(bad(&well()), []);
}

#[test]
fn a_standby_with_another_state_at_the_leaders_position_fails_and_elsewhere_it_says_nothing() {
    let mut found = well();
    found.services[0].replicas = vec![vec![status("a", true, 40, "abc"), status("b", false, 40, "xyz")]];
    let check = the_bad(&found);
    assert_eq!((check.outcome, check.name.as_str()), (Outcome::Fail, "scheduler replicas"));
    assert!(check.found.contains("standby b at 1/40"), "{check:?}");
    found.services[0].replicas = vec![vec![status("a", true, 41, "abc"), status("b", false, 40, "xyz")]];
    assert_eq!(bad(&found), []);
    assert!(named(&found, "scheduler replicas").found.contains("never met"));
    found.services[0].replicas.push(vec![status("a", true, 43, "def"), status("b", false, 41, "abc")]);
    assert!(named(&found, "scheduler replicas").found.contains("has the leader's state"), "met one message later");
}

#[test]
fn what_the_full_pass_repaired_is_told_with_what_was_decided() {
    let mut found = well();
    let mut repaired = passes(reply(&[("node-1", "its agent is behind")]), reply(&[]));
    let text = r#"{"machine":"node-1"} null"#.to_owned();
    repaired.decided.push(Decided { what: "MACHINES 1/41 protection_acknowledged".into(), text });
    repaired.decided.push(Decided { what: "MACHINES 1/42 tags_set".into(), text: r#"{"machine":"node-11"}"#.into() });
    found.services[0].passes = Ok(repaired);
    let check = named(&found, "scheduler node-1");
    assert_eq!(check.outcome, Outcome::Ok);
    assert!(check.found.contains("its agent is behind") && check.found.contains("it is told again"), "{check:?}");
    assert!(check.found.contains("1/41") && !check.found.contains("1/42"), "{check:?}");
}

#[test]
fn what_still_differs_is_a_warning_that_names_the_machine() {
    let mut found = well();
    let still = [("node-2", "it runs 3 processes, and 4 are wanted")];
    found.services[0].passes = Ok(passes(reply(&[("node-2", "it runs 2 processes")]), reply(&still)));
    let check = the_bad(&found);
    assert_eq!((check.outcome, check.name.as_str()), (Outcome::Warn, "scheduler node-2"));
    assert!(check.found.contains("3 processes") && check.next.contains("node-2"), "the newest counts: {check:?}");
}

#[test]
fn an_archive_that_holds_something_else_fails_and_one_that_is_away_warns() {
    for (archived, outcome) in [
        (Archived::Differs("message 9 is not the one that was archived".into()), Outcome::Fail),
        (Archived::Away("no answer".into()), Outcome::Warn),
        (Archived::Nothing("it holds nothing of this log yet".into()), Outcome::Warn),
    ] {
        let mut found = well();
        found.services[0].log.as_mut().expect("it was found").archived = archived;
        let check = the_bad(&found);
        assert_eq!((check.outcome, check.name.as_str()), (outcome, "JOBS"));
    }
}

#[test]
fn streams_that_are_missing_changed_or_full_are_named() {
    type Change = fn(&mut StreamHealth);
    let cases: [(Change, Outcome, &str); 4] = [
        (|stream| stream.exists = false, Outcome::Fail, "JOBS missing"),
        (|stream| stream.differences.push("discard is Old, not New".into()), Outcome::Fail, "discard is Old"),
        (|stream| stream.size_bytes = 80, Outcome::Warn, "JOBS is 80 % full"),
        (|stream| stream.size_bytes = 95, Outcome::Fail, "JOBS is 95 % full"),
    ];
    for (change, outcome, text) in cases {
        let mut found = well();
        change(&mut found.streams.as_mut().expect("they were found")[0]);
        let check = the_bad(&found);
        assert!(check.outcome == outcome && check.found.contains(text), "{check:?}");
    }
}

#[test]
fn one_machine_that_is_not_heard_warns_and_all_of_them_fail() {
    let mut found = well();
    let machines = found.machines.as_mut().expect("they were found");
    machines[0].health = v1::Health::Down.into();
    machines[0].heartbeat_age_ms = 65_000;
    let check = the_bad(&found);
    assert_eq!((check.outcome, check.found.as_str()), (Outcome::Warn, "node-1 is down for 1m05s"));
    found.heard = BTreeMap::new();
    assert_eq!(the_bad(&found).outcome, Outcome::Fail, "none is heard by us");
    for machine in found.machines.as_mut().expect("they were found") {
        machine.record.as_mut().expect("it has one").active = false;
    }
    assert_eq!(bad(&found), [], "who takes no part need not be heard");
}

#[test]
fn agents_of_other_versions_and_with_wrong_clocks_are_named() {
    let mut found = well();
    let machines = found.machines.as_mut().expect("they were found");
    machines[1].record.as_mut().expect("it has one").agent_version = "0.0.9".into();
    let ahead = Heard { clock_error: Some(Duration::from_micros(90)), ahead_ns: 900_000_000, containment: None };
    found.heard.insert("node-1".into(), ahead);
    let checks = bad(&found);
    let texts: Vec<&str> = checks.iter().map(|check| check.found.as_str()).collect();
    assert_eq!(texts, ["0.0.9 on node-2", "node-1 is 0.9s ahead of the pool"]);
}

#[test]
fn a_policy_that_is_not_believed_fails_and_what_is_not_limited_is_told() {
    let mut found = well();
    let missing = vec!["its cgroups do not limit tests by memory".to_owned()];
    let told = v1::Containment { own_users: true, missing, policy_error: String::new() };
    found.heard.get_mut("node-1").expect("it is heard").containment = Some(told.clone());
    let checks = judge(&found);
    let check = checks.iter().find(|check| check.name == "containment").expect("it is judged");
    assert_eq!(check.found, "its cgroups do not limit tests by memory (node-1)");
    assert_eq!(bad(&found), []);
    let mistrusted = v1::Containment { policy_error: "trust /etc/muster/policy.toml".into(), ..told };
    found.heard.get_mut("node-2").expect("it is heard").containment = Some(mistrusted);
    let bad = the_bad(&found);
    assert_eq!((bad.outcome, bad.found.as_str()), (Outcome::Fail, "node-2: trust /etc/muster/policy.toml"));
}

#[test]
fn a_service_without_a_leader_and_a_store_that_is_away_fail() {
    let mut found = well();
    found.services[0].passes = Err("nobody answered for scheduler within 5s".into());
    found.services[0].replicas = vec![vec![status("b", false, 40, "abc")]];
    found.store = Err("PostgreSQL is away".into());
    found.programs.remove(0);
    let failed: Vec<String> = bad(&found).into_iter().map(|check| check.name).collect();
    assert_eq!(failed, ["scheduler", "telemetry-logger", "postgresql"]);
}

#[test]
fn a_leader_that_makes_no_pass_for_us_leads_all_the_same() {
    let mut found = well();
    found.services[0].passes = Err("your role does not permit that".into());
    let found: Vec<_> = bad(&found).into_iter().map(|check| (check.name, check.outcome, check.found)).collect();
    let text = "a leads, term 3; no full pass: your role does not permit that";
    assert_eq!(found, [("scheduler".into(), Outcome::Warn, text.into())]);
}
