//! The built program by hand: a server and its clients on the loopback, several processes over fcntl locks of a directory, and their
//! ends. What is made wrong on purpose is in `faults`.

mod faults;
mod hand;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use hand::{CLIENT, Gang, SERVER, events};
use muster_module_protocol::{ModuleMessage, Outcome, Status};
use muster_module_testkit::{described, manifest, names};

#[test]
fn describe_prints_the_manifest() {
    let described = described(&mut Command::new(env!("CARGO_BIN_EXE_muster-lock")));
    assert_eq!(described, manifest(include_str!("../../module.toml")));
    assert_eq!(described.version, env!("CARGO_PKG_VERSION"));
}

#[test]
fn many_clients_of_a_server_share_its_locks_and_its_stop_ends_all_in_order() {
    for parameters in [
        &["locks=1", "takers=4", "hold=0"][..],
        &["locks=3", "takers=16", "hold=200us", "shared_percent=60", "record_size=64KiB"],
        &["locks=1024", "takers=2", "shared_percent=0", "record_size=1KiB"],
    ] {
        let gang = Gang::new(parameters);
        // A client comes first: it asks until somebody is there.
        let mut clients = vec![gang.start(CLIENT, &[])];
        let mut server = gang.start(SERVER, &[]);
        clients.extend((0..2).map(|_| gang.start(CLIENT, &[])));
        server.wait_working();
        clients.iter().for_each(hand::Process::wait_working);
        server.signal("TERM");
        let done = server.passed();
        assert!(done.totals["verified_bytes"] > 0.0 && done.totals["locks_per_second"] > 0.0, "{done:?}");
        for client in &mut clients {
            assert!(client.passed().totals["reconnects"] < 0.5);
        }
    }
}

#[test]
fn latencies_of_waiting_and_holding_are_told_and_a_server_tells_who_is_there() {
    let gang = Gang::new(&["locks=1", "hold=5ms", "takers=2", "duration=3s"]);
    let (mut server, mut client) = (gang.start(SERVER, &[]), gang.start(CLIENT, &[]));
    let gauges = server.wait("its clients", |said| {
        said.iter().find_map(|message| match message {
            ModuleMessage::Metric { gauges, .. } if gauges.get("clients") == Some(&4.0) => Some(gauges.clone()),
            _ => None,
        })
    });
    for kind in ["wait", "hold"] {
        let levels = ["p50", "p99", "p999", "max"].map(|level| gauges[&format!("{kind}_latency_{level}_seconds")]);
        assert!(levels.is_sorted() && levels[0] > 0.0, "{kind} {levels:?}");
    }
    // Three others are before each, and each holds it for so long.
    assert!(gauges["hold_latency_p50_seconds"] >= 0.005 && gauges["wait_latency_max_seconds"] >= 0.010, "{gauges:?}");
    server.passed();
    client.passed();
}

#[test]
fn a_stop_of_one_client_leaves_the_others_at_work() {
    let gang = Gang::new(&["locks=1"]);
    let (mut server, mut other) = (gang.start(SERVER, &[]), gang.start(CLIENT, &[]));
    let mut stopped = gang.start(CLIENT, &["hold=10s", "takers=1", "shared_percent=0"]);
    other.wait_working();
    // It holds the only lock, or waits for it; either way it goes at once.
    let before = Instant::now();
    stopped.signal("TERM");
    let done = stopped.end();
    assert_eq!((done.code, done.reason.as_str()), (Some(0), ""), "{done:?}");
    assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
    other.signal("TERM");
    other.passed();
    server.signal("TERM");
    let done = server.end();
    assert_eq!(events(&done.messages, "client_cut"), Vec::<String>::new());
}

#[test]
fn a_process_of_another_gang_works_at_the_server_that_it_is_told() {
    let gang = Gang::new(&["locks=2"]);
    let (mut server, mut client) = (gang.start(SERVER, &[]), gang.start(CLIENT, &[]));
    let listening = server.wait_event("listening");
    let place = listening.split(' ').next().expect("a place");
    let other = Gang::new(&["locks=2", &format!("server={place}")]);
    let mut members = [other.start(SERVER, &[]), other.start(CLIENT, &[])];
    members.iter().for_each(hand::Process::wait_working);
    // Another shape is refused at once.
    let mut wrong = other.start(CLIENT, &["locks=3"]);
    let done = wrong.end();
    assert!(done.reason.contains("refused: its locks or record_size differ"), "{done:?}");
    server.signal("TERM");
    server.passed();
    client.passed();
    members.iter_mut().for_each(|member| drop(member.passed()));
}

#[test]
fn strangers_are_refused_and_disturb_nobody() {
    let gang = Gang::new(&["locks=1"]);
    let (mut server, mut client) = (gang.start(SERVER, &[]), gang.start(CLIENT, &[]));
    let listening = server.wait_event("listening");
    let address = listening.split('/').next().expect("an address").to_owned();
    client.wait_working();
    for words in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 128], &[0xFF; 70_000], b""] {
        let mut stranger = TcpStream::connect(&address).expect("connect");
        let _: std::io::Result<()> = stranger.write_all(words);
        stranger.set_read_timeout(Some(hand::PATIENCE)).expect("an option");
        // Whatever is said, the connection ends.
        while stranger.read(&mut [0; 512]).is_ok_and(|bytes| bytes > 0) {}
    }
    server.signal("TERM");
    let done = server.end();
    assert_eq!((done.code, done.result), (Some(0), Outcome::Pass), "{done:?}");
    assert_eq!(events(&done.messages, "stranger_refused").len(), 4, "{done:?}");
    client.passed();
}

#[test]
fn a_client_that_is_killed_frees_its_locks_and_the_last_one_that_is_gone_ends_the_server_by_name() {
    let gang = Gang::new(&["locks=1", "hold=20ms", "takers=2"]);
    let mut server = gang.start(SERVER, &[]);
    let (one, other) = (gang.start(CLIENT, &[]), gang.start(CLIENT, &[]));
    one.wait_working();
    other.wait_working();
    one.signal("KILL");
    let cut = server.wait_event("client_cut");
    assert!(cut.contains(&one.dpid()), "{cut}");
    other.wait_going_on();
    let before = Instant::now();
    other.signal("KILL");
    let done = server.end();
    assert_eq!((done.code, done.status, done.result), (Some(2), Status::Error, Outcome::Na), "{done:?}");
    assert_eq!(done.reason, format!("client {} is gone: it did not come back within 10 s", other.dpid()));
    assert!(before.elapsed() >= Duration::from_secs(10), "it was waited for");
    assert!(hand::corruptions(&done.messages).is_empty());
}

#[test]
fn a_server_that_is_killed_is_an_error_that_names_it() {
    let gang = Gang::new(&["locks=1"]);
    let (server, mut client) = (gang.start(SERVER, &[]), gang.start(CLIENT, &[]));
    client.wait_working();
    server.signal("KILL");
    let done = client.end();
    assert_eq!((done.code, done.status, done.result), (Some(2), Status::Error, Outcome::Na), "{done:?}");
    assert!(
        done.reason.starts_with("the lock server of this gang is gone: it did not come back within 10 s"),
        "{done:?}"
    );
}

#[test]
fn a_holder_that_hangs_is_named_by_who_waits_too_long() {
    let gang = Gang::new(&["locks=1", "takers=1", "shared_percent=0", "hold=50ms", "wait_max=2s"]);
    let (mut server, hung) = (gang.start(SERVER, &[]), gang.start(CLIENT, &[]));
    hung.wait_working();
    hung.signal("STOP");
    let done = server.end();
    assert_eq!((done.code, done.status), (Some(2), Status::Error), "{done:?}");
    let expected =
        format!("lock 0 was not granted within 2 s: {} holds it; a longer wait_max waits longer", hung.dpid());
    assert_eq!(done.reason, expected);
}

#[test]
fn a_stop_before_the_server_came_is_a_skip() {
    let gang = Gang::new(&[]);
    let place = gang.listen();
    let mut client = gang.start(CLIENT, &[]);
    // Once it asks, it listens to signals as well.
    place.recv(&mut [0; 1024]).expect("it asks");
    client.signal("TERM");
    let done = client.end();
    assert_eq!((done.code, done.status, done.result), (Some(0), Status::Skip, Outcome::Na), "{done:?}");
}

#[test]
fn several_processes_share_a_file_and_the_last_one_removes_it() {
    for parameters in [
        &["locks=1", "takers=2", "hold=0"][..],
        &["locks=4", "takers=8", "shared_percent=50", "record_size=4KiB", "hold=100us"],
    ] {
        let gang = Gang::by_files(parameters);
        let mut all = [SERVER, CLIENT, CLIENT].map(|role| gang.start(role, &[]));
        all.iter().for_each(hand::Process::wait_working);
        assert_eq!(names(&gang.shared()).len(), 1);
        all.iter().for_each(|process| process.signal("TERM"));
        all.iter_mut().for_each(|process| drop(process.passed()));
        assert_eq!(names(&gang.shared()), Vec::<String>::new());
    }
}

#[test]
fn a_process_that_is_killed_with_a_lock_of_a_file_is_no_corruption_and_others_go_on() {
    let gang = Gang::by_files(&["locks=1", "takers=1", "shared_percent=20", "hold=5ms"]);
    let mut other = gang.start(CLIENT, &[]);
    for _ in 0..5 {
        let killed = gang.start(SERVER, &[]);
        killed.wait_working();
        killed.signal("KILL");
    }
    other.wait_going_on();
    other.signal("TERM");
    other.passed();
}

#[test]
fn a_holder_of_a_file_that_hangs_is_named_and_a_stop_ends_a_wait_in_the_kernel() {
    let gang = Gang::by_files(&["locks=1", "takers=1", "shared_percent=0", "hold=10s"]);
    let hung = gang.start(SERVER, &[]);
    hung.wait("ready", |said| said.iter().any(|message| matches!(message, ModuleMessage::Ready)).then_some(()));
    wait_until_open(&gang);
    let mut late = gang.start(CLIENT, &["wait_max=1s"]);
    let done = late.end();
    assert_eq!((done.code, done.status), (Some(2), Status::Error), "{done:?}");
    assert!(done.reason.contains(&format!("was not granted within 1 s: {} had it last", hung.dpid())), "{done:?}");
    let mut stopped = gang.start(CLIENT, &[]);
    stopped.wait("ready", |said| said.iter().any(|message| matches!(message, ModuleMessage::Ready)).then_some(()));
    let before = Instant::now();
    stopped.signal("TERM");
    let done = stopped.end();
    assert_eq!((done.code, done.result), (Some(0), Outcome::Pass), "{done:?}");
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
}

/// Waits until somebody holds the lock of a file.
fn wait_until_open(gang: &Gang) {
    let deadline = Instant::now() + hand::PATIENCE;
    let written = || {
        let file = names(&gang.shared()).pop().map(|name| gang.shared().join(name));
        file.and_then(|path| std::fs::read(path).ok()).is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0))
    };
    while !written() {
        assert!(Instant::now() < deadline, "nobody takes the lock");
        std::thread::yield_now();
    }
}

#[test]
fn what_can_not_be_tested_is_an_error_in_one_clear_line() {
    let cases = [
        ("locks=0", "parameter `locks` can not be `0`: it must be from 1 to 1024"),
        ("takers=17", "parameter `takers` can not be `17`: it must be from 1 to 16"),
        ("shared_percent=101", "parameter `shared_percent` can not be `101`: it must be from 0 to 100"),
        ("hold=11s", "parameter `hold` can not be `11s`: it must be at most 10s"),
        ("wait_max=10ms", "parameter `wait_max` can not be `10ms`: it must be from 1s to 1h"),
        ("record_size=1000", "parameter `record_size` can not be `1000`: it must be a multiple of 512"),
        ("over=luck", "parameter `over` can not be `luck`: write one of server, fcntl"),
        ("over=fcntl", "parameter `directory` can not be ``: over=fcntl needs one"),
        ("directory=/tmp", "parameter `directory` can not be `/tmp`: it is of over=fcntl"),
        ("server=here", "parameter `server` can not be `here`: write it as the event `listening`"),
        ("inject=NONE", "parameter `inject` can not be `NONE`: write one of BITFLIP"),
        ("network=none0", "parameter `network` can not be `none0`: no address of this machine fits it"),
    ];
    let gang = Gang::new(&[]);
    for (parameter, text) in cases {
        let done = gang.start(SERVER, &[parameter]).end();
        assert_eq!((done.code, done.status, done.result), (Some(2), Status::Error, Outcome::Na), "{parameter}");
        assert!(done.reason.contains(text) && done.reason.lines().count() == 1, "{}", done.reason);
    }
    for (parameters, text) in [
        (&["inject=ZERO", "inject_into=release"][..], "`inject_into` can not be `release`: ZERO can not be made there"),
        (
            &["inject=REORDERED", "over=fcntl", "directory=/tmp"],
            "`inject` can not be `REORDERED`: fcntl locks promise no",
        ),
        (&["over=fcntl", "directory=/nowhere/at/all"], "opening /nowhere/at/all/muster-lock-0-0-8x512 failed"),
    ] {
        let done = gang.start(SERVER, parameters).end();
        assert!(done.reason.contains(text), "{}", done.reason);
    }
}
