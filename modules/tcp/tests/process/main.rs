//! The built program in pairs: over real connections, under two agents that the test plays, and by hand.

mod broker;
mod proxy;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use broker::{CLIENT, PATIENCE, Pair, SERVER};
use muster_module_protocol::{AgentMessage, ModuleMessage, Outcome, Status};
use muster_module_testkit::{CLASSES, Done, described, manifest, names};
use proxy::{Damage, Proxy};

const PROGRAM: &str = env!("CARGO_BIN_EXE_muster-tcp");
/// Bytes before the first packet: the client's hello.
const HELLO: usize = 512;

#[test]
fn describe_prints_the_manifest() {
    let described = described(&mut Command::new(PROGRAM));
    assert_eq!(described, manifest(include_str!("../../module.toml")));
    assert_eq!(described.version, env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_stop_of_one_ends_both_and_their_counts_agree() {
    let mut pair = Pair::start(&["packet_size=16KiB"]);
    for role in [SERVER, CLIENT] {
        pair.wait_counter(role, "verified_bytes", 1e6);
        pair.say(role, &AgentMessage::Ping { n: 9 });
        let pong = |said: &[ModuleMessage]| {
            said.iter().find_map(|message| match message {
                ModuleMessage::Pong { n: 9, iterations } => Some(*iterations),
                _ => None,
            })
        };
        assert!(pair.wait(role, "pong", pong) > 0);
    }
    pair.stop(SERVER);
    for end in pair.agreed_ends() {
        assert!(end.totals["sent_bytes"] >= 1e6 && end.totals["verified_bytes"] >= 1e6, "{end:?}");
        assert!((end.totals["received_packets"] * 16384.0 - end.totals["received_bytes"]).abs() < 0.5);
        assert!(end.totals["reconnects"] < 0.5);
    }
}

#[test]
fn both_ends_stop_at_once_with_agreeing_counts_for_every_packet_size() {
    for size in ["512", "4KiB", "128KiB", "1MiB"] {
        let mut pair = Pair::start(&[&format!("packet_size={size}"), "streams=2"]);
        pair.wait_counter(SERVER, "verified_bytes", 0.0);
        pair.wait_counter(CLIENT, "verified_bytes", 0.0);
        pair.stop(SERVER);
        pair.stop(CLIENT);
        pair.agreed_ends();
    }
}

#[test]
fn one_direction_sends_nothing_back_and_keeps_its_limit_over_all_streams() {
    for (direction, sender) in [("to_server", CLIENT), ("to_client", SERVER)] {
        let direction = format!("direction={direction}");
        let mut pair = Pair::start(&["packet_size=4KiB", "streams=3", "rate_max=3MB", "duration=2s", &direction]);
        let ends = pair.agreed_ends();
        let (sent, back) = (&ends[sender].totals, &ends[1 - sender].totals);
        assert!(sent["received_packets"] < 0.5 && back["sent_packets"] < 0.5, "{ends:?}");
        // A write of each stream beyond the limit, and half of it at least in spite of a busy machine.
        let allowed = 3e6 * sent["seconds"];
        assert!(sent["sent_bytes"] <= allowed + 3.0 * 131_072.0 && sent["sent_bytes"] > allowed / 2.0, "{sent:?}");
    }
}

#[test]
fn latencies_are_told_only_where_both_share_a_clock() {
    for (boot_ids, shared) in [(["one", "one"], true), (["one", "other"], false)] {
        let mut pair = Pair::agents(&["rate_max=10MB"], boot_ids, Box::new(str::to_owned));
        pair.start_process(SERVER, 1);
        pair.start_process(CLIENT, 1);
        let gauges = pair.wait_counter(SERVER, "verified_bytes", 0.0);
        assert_eq!(gauges.contains_key("latency_p99_seconds"), shared, "{gauges:?}");
        assert!(gauges["round_trip_seconds"] > 0.0);
        pair.stop(CLIENT);
        pair.agreed_ends();
    }
}

#[test]
fn asked_to_go_on_both_tell_of_wrong_packets_once_and_fail_in_the_end() {
    for class in CLASSES.into_iter().chain(["DROPPED", "DUPLICATED", "REORDERED"]) {
        let parameters = ["packet_size=4KiB", "streams=2", &format!("inject={class}")];
        let mut pair = Pair::agents(&parameters, ["one", "one"], Box::new(str::to_owned));
        pair.on_error = "continue".into();
        pair.start_process(SERVER, 1);
        pair.start_process(CLIENT, 1);
        assert_eq!(pair.corruption(SERVER).class, class);
        // Long after: the injection is at the eighth packet.
        pair.wait_counter(SERVER, "verified_bytes", 4096.0 * 2000.0);
        pair.wait_counter(CLIENT, "verified_bytes", 4096.0 * 2000.0);
        pair.stop(CLIENT);
        let (server, client) = (pair.done(SERVER), pair.done(CLIENT));
        for end in [&server, &client] {
            assert_eq!((end.status, end.result), (Status::Complete, Outcome::Fail), "{class}: {end:?}");
            assert!(end.reason.contains("1 packets were corrupt, 1 of them reported"), "{class}: {}", end.reason);
            assert!(end.totals["reconnects"] < 0.5, "{class}: {end:?}");
        }
        let told = server.messages.iter().filter(|message| matches!(message, ModuleMessage::Corruption(_))).count();
        assert_eq!(told, 1, "{class}");
    }
}

#[test]
fn each_injected_class_is_found_classified_saved_and_names_its_writer() {
    for class in CLASSES.into_iter().chain(["DROPPED", "DUPLICATED", "REORDERED"]) {
        let mut pair = Pair::start(&["packet_size=4KiB", "streams=2", &format!("inject={class}")]);
        let corruption = pair.corruption(SERVER);
        assert_eq!((corruption.class.as_str(), corruption.persistence.as_str()), (class, "PASSED"), "{corruption:?}");
        assert_eq!(corruption.target, "client-to-server/0");
        assert!(corruption.detail.contains("of peer 00010002 on node-2"), "{corruption:?}");
        assert_eq!(corruption.owner_dpid.is_empty(), class != "FOREIGN", "{corruption:?}");
        // The eighth packet; of two that changed places, and of one that came twice, too.
        assert_eq!(corruption.offset, 7 * 4096, "{corruption:?}");
        assert_eq!((corruption.expected.len(), corruption.actual.len()), (1024, 1024));
        let (server, client) = (pair.done(SERVER), pair.done(CLIENT));
        assert_eq!((server.status, server.result), (Status::Complete, Outcome::Fail));
        assert!(server.reason.contains(class), "{server:?}");
        assert_eq!((client.status, client.result), (Status::Complete, Outcome::Fail));
        assert!(client.reason.starts_with("peer 00010001 on node-1 found corrupt data"), "{client:?}");
        assert!(client.reason.contains(class), "{client:?}");
        assert_eq!(names(&pair.results(SERVER)).len(), 3);
        assert_eq!(names(&pair.results(CLIENT)), Vec::<String>::new());
    }
}

#[test]
fn damage_on_the_way_is_found_and_classified() {
    let packet = 4096;
    let tenth = HELLO + 9 * packet;
    let cases = [
        (Damage::Flip(tenth + 1000), "BITFLIP"),
        (Damage::Lose(tenth, packet), "DROPPED"),
        (Damage::Lose(tenth + 200, 24), "SHIFTED"),
        (Damage::Lose(tenth, 512), "MISDIRECTED"),
        (Damage::Repeat(tenth, packet), "DUPLICATED"),
    ];
    for (damage, class) in cases {
        let proxy = Proxy::start(damage);
        let mut pair = Pair::start_rewriting(&["packet_size=4KiB"], proxy.rewrite());
        assert_eq!(pair.corruption(SERVER).class, class, "{damage:?}");
        assert_eq!(pair.done(SERVER).result, Outcome::Fail);
        assert_eq!(pair.done(CLIENT).result, Outcome::Fail);
    }
}

#[test]
fn a_stranger_is_refused_and_said_and_disturbs_nothing() {
    let mut pair = Pair::start(&["rate_max=10MB"]);
    let listening = pair.wait_event(SERVER, "listening");
    let addresses = listening.split(", ").map(|text| text.parse::<SocketAddr>().expect("an address"));
    let place = addresses.into_iter().find(|address| address.ip().is_loopback()).expect("a loopback address");
    pair.wait_counter(SERVER, "verified_bytes", 0.0);
    let mut stranger = TcpStream::connect(place).expect("connect");
    stranger.write_all(&[0x55; 512]).expect("write");
    stranger.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let mut answer = Vec::new();
    stranger.read_to_end(&mut answer).expect("an answer and the end");
    assert_eq!(answer.len(), 512);
    assert!(String::from_utf8_lossy(&answer).contains("it does not speak as a peer does"));
    let said = pair.wait_event(SERVER, "stranger_refused");
    assert!(said.starts_with(&stranger.local_addr().expect("address").to_string()), "{said}");
    pair.stop(CLIENT);
    pair.agreed_ends();
}

#[test]
fn a_cut_connection_is_met_again_and_no_packet_is_lost_or_counted_twice() {
    let proxy = Proxy::start(Damage::CutAfter(HELLO + 1_000_000));
    let mut pair = Pair::start_rewriting(&["packet_size=8KiB"], proxy.rewrite());
    for role in [SERVER, CLIENT] {
        pair.wait_event(role, "connection_lost");
        pair.wait_counter(role, "verified_bytes", 4e6);
    }
    pair.stop(CLIENT);
    for end in pair.agreed_ends() {
        assert!((end.totals["reconnects"] - 1.0).abs() < 0.5, "{end:?}");
    }
}

#[test]
fn addresses_where_nobody_or_another_one_answers_are_passed_over() {
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a closed port");
    let other = TcpListener::bind("127.0.0.1:0").expect("listen");
    let other_address = other.local_addr().expect("address");
    let seen = std::thread::spawn(move || {
        let (mut socket, _) = other.accept().expect("accept");
        socket.write_all(&[0x41; 512]).expect("write");
    });
    let rewrite = move |words: &str| {
        let mut said: serde_json::Value = serde_json::from_str(words).expect("json");
        if let Some(addresses) = said.pointer_mut("/here/addresses") {
            let real = addresses.as_array().expect("a list").clone();
            let wrong = [closed, other_address].map(|address| serde_json::json!(address));
            *addresses = wrong.into_iter().chain(real).collect();
        }
        said.to_string()
    };
    let mut pair = Pair::start_rewriting(&["rate_max=10MB"], Box::new(rewrite));
    pair.wait_counter(CLIENT, "verified_bytes", 0.0);
    seen.join().expect("the client tried it");
    pair.stop(CLIENT);
    pair.agreed_ends();
}

#[test]
fn agents_that_die_and_come_back_end_nothing() {
    let mut pair = Pair::start(&[]);
    pair.wait_counter(SERVER, "verified_bytes", 0.0);
    pair.kill_agent(SERVER);
    pair.kill_agent(CLIENT);
    let before = Instant::now();
    pair.start_agent(SERVER);
    pair.start_agent(CLIENT);
    let hellos = |said: &[ModuleMessage]| {
        (said.iter().filter(|message| matches!(message, ModuleMessage::Hello { .. })).count() == 2).then_some(())
    };
    pair.wait(SERVER, "hello again", hellos);
    pair.wait(CLIENT, "hello again", hellos);
    assert!(before.elapsed() < PATIENCE / 2);
    pair.stop(SERVER);
    for end in pair.agreed_ends() {
        assert!(end.totals["reconnects"] < 0.5);
    }
}

#[test]
fn a_peer_that_is_gone_is_an_error_that_names_it() {
    let mut pair = Pair::start(&[]);
    pair.wait_counter(SERVER, "verified_bytes", 0.0);
    pair.kill_process(CLIENT);
    let before = Instant::now();
    let server = pair.done(SERVER);
    assert_eq!((server.status, server.result), (Status::Error, Outcome::Na), "{server:?}");
    assert!(server.reason.starts_with("peer 00010002 on node-2 is gone"), "{server:?}");
    assert!(before.elapsed() >= Duration::from_secs(10), "it was waited for");
}

#[test]
fn a_peer_that_was_started_again_is_not_taken_for_the_first() {
    let mut pair = Pair::start(&[]);
    pair.wait_counter(CLIENT, "verified_bytes", 0.0);
    pair.kill_process(SERVER);
    pair.start_process(SERVER, 2);
    let client = pair.done(CLIENT);
    assert_eq!((client.status, client.result), (Status::Error, Outcome::Na), "{client:?}");
    assert!(client.reason.contains("peer 00010001 on node-1 is gone: another one was started"), "{client:?}");
}

#[test]
fn a_stop_before_the_peer_came_is_a_skip() {
    let mut pair = Pair::agents(&[], ["boot", "boot"], Box::new(str::to_owned));
    pair.start_process(CLIENT, 1);
    let asked =
        |said: &[ModuleMessage]| said.iter().any(|said| matches!(said, ModuleMessage::Peer { .. })).then_some(());
    pair.wait(CLIENT, "where", asked);
    pair.stop(CLIENT);
    let client = pair.done(CLIENT);
    assert_eq!((client.status, client.result), (Status::Skip, Outcome::Na));
}

fn by_hand(role: &str, place: SocketAddr, directory: &std::path::Path) -> Command {
    let mut command = muster_module_testkit::by_hand(PROGRAM, &["duration=300ms"]);
    command.args(["--role", role, "--peer", &place.to_string()]).current_dir(directory).stdout(Stdio::piped());
    command
}

#[test]
fn two_run_by_hand_without_an_agent() {
    let directory = tempfile::tempdir().expect("directory");
    let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    // The client comes first: it asks until somebody is there.
    let client = by_hand("client", free, directory.path()).spawn().expect("start");
    let server = by_hand("server", free, directory.path()).output().expect("run");
    let client = client.wait_with_output().expect("run");
    for output in [&server, &client] {
        let done = Done::of(output);
        assert_eq!(done.result, Outcome::Pass, "{done:?}");
        assert!(done.totals["verified_bytes"] > 0.0);
    }
}

#[test]
fn what_can_not_be_tested_is_an_error_in_one_clear_line() {
    let cases = [
        ("packet_size=1000", "parameter `packet_size` can not be `1000`: it must be a multiple of 512"),
        ("streams=17", "parameter `streams` can not be `17`: it must be from 1 to 16"),
        ("direction=up", "parameter `direction` can not be `up`: write both"),
        ("inject=NONE", "parameter `inject` can not be `NONE`: write one of BITFLIP"),
        ("network=none0", "parameter `network` can not be `none0`: no address of this machine fits it"),
    ];
    let directory = tempfile::tempdir().expect("directory");
    let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    for (parameter, text) in cases {
        let done = Done::run(by_hand("server", free, directory.path()).args(["--param", parameter]));
        assert!(done.reason.contains(text) && done.reason.lines().count() == 1, "{}", done.reason);
        assert_eq!((done.code, done.status), (Some(2), Status::Error));
    }
}
