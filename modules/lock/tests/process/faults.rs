//! Every fault that the module can make: found at the first verification, classified rightly, its owner named.

use muster_module_protocol::{Corruption, ModuleMessage, Outcome, Status};
use muster_module_testkit::{Done, names};

use crate::hand::{CLIENT, Gang, Process, SERVER, corruptions, dpid, events, first};

const DAMAGE: [&str; 8] = ["BITFLIP", "STALE", "MISDIRECTED", "WRONG_FORM", "ZERO", "TORN", "SHIFTED", "UNKNOWN"];

/// A fault that was made in a gang of a server and a client, and what was said of it.
struct Made {
    /// Who found it.
    finder: Process,
    done: Done,
    corruption: Corruption,
    /// All that is known of the two.
    dpids: [String; 2],
}

/// Lets the server of a gang, or its first process, make a fault; exactly one of both finds it, once, and fails.
fn make(gang: &Gang, class: &str, into: &str) -> Made {
    let inject = [format!("inject={class}"), format!("inject_into={into}")];
    let parameters: Vec<&str> = inject.iter().map(String::as_str).collect();
    let (server, client) = (gang.start(SERVER, &parameters), gang.start(CLIENT, &parameters));
    let dpids = [server.dpid(), client.dpid()];
    let injected = server.wait_event("injected");
    assert!(injected.starts_with(&format!("{class} into ")) && injected.ends_with("of lock 0"), "{injected}");
    // Whoever finds it ends by itself; the other one is stopped then, where it did not end with its server.
    let finder = first("a corruption", [&server, &client], |said| !corruptions(said).is_empty());
    let (mut finder, mut other) = if finder == 0 { (server, client) } else { (client, server) };
    let done = finder.end();
    assert_eq!((done.code, done.status, done.result), (Some(1), Status::Complete, Outcome::Fail), "{done:?}");
    other.end_in_order();
    let others = other.end();
    let all = [corruptions(&done.messages), corruptions(&others.messages)].concat();
    // The token of a file goes back for both: the second one blames the first, who took that token.
    let both = gang.shared().exists() && (class, into) == ("STALE", "grant");
    assert!(all.len() == 1 || all.len() == 2 && both, "{all:?}");
    let is_right = |found: &Corruption| (found.class.as_str(), found.target.as_str()) == (class, "lock 0");
    assert!(all.iter().all(is_right), "{all:?}");
    let corruption = all.iter().find(|found| both && found.owner_dpid == dpids[0]).unwrap_or(&all[0]).clone();
    assert!(done.reason.starts_with(&format!("{class} of lock 0: ")), "{done:?}");
    assert!((done.totals["errors"] - 1.0).abs() < 0.1, "{done:?}");
    Made { finder, done, corruption, dpids }
}

/// Rows of the history that a finder has kept, as cells.
fn history(made: &Made) -> Vec<Vec<String>> {
    let name = names(&made.finder.results).into_iter().find(|name| name.ends_with("-history.csv"));
    let text = std::fs::read_to_string(made.finder.results.join(name.expect("a history"))).expect("history");
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// Data that were spoiled are found by who wrote them, when it reads them for the first time.
fn check_damage(gang: &Gang, class: &str, into: &str, persistence: &str) {
    let made = make(gang, class, into);
    let corruption = &made.corruption;
    assert_eq!(corruption.persistence, persistence, "{corruption:?}");
    assert_eq!((corruption.expected.len(), corruption.actual.len()), (1024, 1024));
    assert_ne!(corruption.expected, corruption.actual);
    let head = "offset          word  expected          actual            difference        flag  meaning";
    assert!(corruption.detail.contains(head), "{corruption:?}");
    // The finder's last lock: asked, got, what was there verified, written, verified.
    let rows = history(&made);
    let token = corruption.detail.split("held under token ").nth(1).expect("a token");
    let token = token.split([';', '\n']).next().expect("a token");
    let own: Vec<&str> = rows
        .iter()
        .filter(|row| row[2].starts_with("taker/") && row[10] == token && row[8] == "exclusive")
        .map(|row| row[6].as_str())
        .collect();
    assert_eq!(own, ["got", "verified", "wrote", "verified"], "token {token}");
    assert_eq!(made.done.kept(), ["expected.bin", "actual.bin", "explained.txt", "the report", "history.csv"]);
    let said = |wanted: fn(&ModuleMessage) -> bool| made.done.messages.iter().position(wanted);
    let fired = said(|message| matches!(message, ModuleMessage::Trigger { n: 7, .. })).expect("it is fired");
    let first = said(|message| matches!(message, ModuleMessage::Artifact { .. })).expect("a file is kept");
    assert!(fired < first, "the trigger comes first");
}

#[test]
fn damage_of_a_record_at_a_server_is_found_at_once_classified_and_saved() {
    for (into, persistence) in [("record", "STORED"), ("reading", "TRANSIENT")] {
        for class in DAMAGE {
            check_damage(&Gang::new(&["locks=1", "takers=2", "trigger=7"]), class, into, persistence);
        }
    }
}

#[test]
fn damage_of_a_record_in_a_file_is_found_at_once_classified_and_saved() {
    for (into, persistence) in [("record", "STORED"), ("reading", "TRANSIENT")] {
        for class in DAMAGE {
            let gang = Gang::by_files(&["locks=1", "takers=2", "trigger=7", "record_size=1KiB"]);
            check_damage(&gang, class, into, persistence);
        }
    }
}

#[test]
fn a_record_of_another_owner_names_that_one() {
    for gang in [Gang::new(&["locks=1"]), Gang::by_files(&["locks=1"])] {
        for (into, persistence) in [("record", "STORED"), ("reading", "TRANSIENT")] {
            let made = make(&gang, "FOREIGN", into);
            // The pattern makes it of the process beside the writer, which is the finder.
            assert_eq!(made.corruption.owner_dpid, dpid(made.finder.pid() ^ 1));
            assert_eq!(made.corruption.persistence, persistence);
        }
    }
}

#[test]
fn two_holders_at_once_are_seen_by_data_and_the_first_names_the_second() {
    let gang = Gang::new(&["locks=1", "takers=1", "shared_percent=0"]);
    for _ in 0..5 {
        let made = make(&gang, "FOREIGN", "grant");
        let other = made.dpids.iter().find(|dpid| **dpid != made.finder.dpid()).expect("the other one");
        assert_eq!((&made.corruption.owner_dpid, made.corruption.persistence.as_str()), (other, "STORED"));
        assert!(made.corruption.detail.contains("two held the lock at once"), "{:?}", made.corruption);
    }
    // One that writes without a lock at all, into a file.
    let gang = Gang::by_files(&["locks=1", "takers=1", "shared_percent=0", "hold=5ms"]);
    for _ in 0..5 {
        let made = make(&gang, "FOREIGN", "grant");
        assert_eq!(made.corruption.owner_dpid, made.dpids[0], "who wrote it is the first process");
        assert!(made.corruption.detail.contains("two held the lock at once"), "{:?}", made.corruption);
    }
}

#[test]
fn a_wrong_order_of_grants_is_found_with_the_grant_and_names_who_had_it_before() {
    for (class, into, text) in [
        ("STALE", "grant", "it went back"),
        ("DUPLICATED", "grant", "was granted twice"),
        ("REORDERED", "grant", "who asked later was served earlier"),
    ] {
        let gang = Gang::new(&["locks=1", "takers=2"]);
        let made = make(&gang, class, into);
        let corruption = &made.corruption;
        assert!(corruption.detail.contains(text), "{corruption:?}");
        assert!(made.dpids.contains(&corruption.owner_dpid), "{corruption:?}");
        assert_eq!((corruption.persistence.as_str(), corruption.expected.as_str()), ("PASSED", ""));
        check_first_look(&made);
    }
    let gang = Gang::by_files(&["locks=1", "takers=1"]);
    let made = make(&gang, "STALE", "grant");
    assert!(made.corruption.detail.contains("it went back"), "{:?}", made.corruption);
    assert_eq!(made.corruption.owner_dpid, made.dpids[0]);
}

/// The finder did nothing with a lock between the wrong grant and the report.
fn check_first_look(made: &Made) {
    let rows = history(made);
    let token = made.corruption.detail.rsplit("at token ").next().expect("a token");
    let own = rows.iter().rposition(|row| row[2].starts_with("taker/") && row[6] == "got" && row[10] == token);
    let taker = &rows[own.expect("the grant")][2];
    let after = &rows[own.expect("the grant") + 1..];
    assert!(after.iter().all(|row| row[2] != *taker), "{after:?}");
}

#[test]
fn what_did_not_arrive_is_dropped_and_names_who_said_it() {
    for (into, text) in [("grant", "the grant did not come"), ("release", "the release did not come")] {
        let gang = Gang::new(&["locks=1", "takers=2"]);
        let made = make(&gang, "DROPPED", into);
        assert!(made.corruption.detail.contains(text), "{:?}", made.corruption);
        let owner = if into == "grant" { made.dpids[0].clone() } else { made.finder.dpid() };
        assert_eq!(made.corruption.owner_dpid, owner);
    }
}

#[test]
fn who_goes_on_after_a_fault_works_on_and_fails_in_the_end() {
    for (class, into) in [("ZERO", "record"), ("FOREIGN", "grant"), ("DROPPED", "release"), ("REORDERED", "grant")] {
        let gang = Gang::new(&["locks=1", "takers=2", "shared_percent=0"]);
        let inject = [format!("inject={class}"), format!("inject_into={into}")];
        let parameters = [&inject[0], &inject[1], "--on-error=continue"];
        let (mut server, mut client) = (gang.start(SERVER, &parameters), gang.start(CLIENT, &parameters));
        server.wait_event("injected");
        let locks = |process: &Process| {
            process.wait("a metric", |said| {
                said.iter().rev().find_map(|message| match message {
                    ModuleMessage::Metric { counters, .. } => Some(counters["exclusive_locks"]),
                    _ => None,
                })
            })
        };
        // Both go on: the second metric after the fault has more than the first.
        for process in [&server, &client] {
            let so_far = locks(process);
            process.wait_counter("exclusive_locks", so_far);
            let so_far = locks(process);
            process.wait_counter("exclusive_locks", so_far);
        }
        client.signal("TERM");
        let client_done = client.end();
        server.signal("TERM");
        let server_done = server.end();
        let (by_server, by_client) = (&server_done.messages, &client_done.messages);
        let found = [corruptions(by_server), corruptions(by_client)].concat();
        assert!((1..=2).contains(&found.len()), "{class}: {found:?}");
        assert!(found.iter().all(|corruption| corruption.class == class), "{found:?}");
        let failed = |said: &[ModuleMessage]| if corruptions(said).is_empty() { Outcome::Pass } else { Outcome::Fail };
        assert_eq!((server_done.result, client_done.result), (failed(by_server), failed(by_client)));
        assert_eq!(events(by_server, "client_cut"), Vec::<String>::new(), "{class} into {into}");
    }
}
