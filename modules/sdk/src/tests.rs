//! The session against an agent played by the test, over a real socket.

use std::path::Path;
use std::time::{Duration, Instant};

use muster_module_protocol::{AgentMessage, Context, ModuleMessage, Status};
use muster_module_testkit::{Agent, Peer};

use crate::ending::Ending;
use crate::error::PeerError;
use crate::live::Live;
use crate::peers::{Ask, PeerWords, To};
use crate::run::connect;
use crate::session::Session;

const PATIENCE: Duration = Duration::from_secs(10);

fn context(directory: &Path) -> Context {
    let text = format!(
        r#"{{"run":3,"job":1,"process":100,"dpid":"00010064","attempt":2,"module":"m","version":"1","machine":"a",
        "boot_id":"b","seed":"00000000000000ff","parameters":{{"rate_max":"5","depth":"2"}},"resources":[],"gang":{{"number":1,"role":"client","members":[
        {{"role":"server","dpid":"00010063","machine":"b"}},{{"role":"client","dpid":"00010064","machine":"a"}}]}},"work":{directory:?},"results":{directory:?}}}"#
    );
    serde_json::from_str(&text).expect("a context")
}

fn expect_hello(peer: &mut Peer) {
    let hello = peer.hear().expect("hello");
    assert!(matches!(&hello, ModuleMessage::Hello { run: 3, dpid, attempt: 2, .. } if dpid == "00010064"), "{hello:?}");
}

/// Ping until the pong; other messages are passed over.
fn ping(peer: &mut Peer, n: u64) -> u64 {
    peer.say(&AgentMessage::Ping { n });
    loop {
        if let ModuleMessage::Pong { n: answer, iterations } = peer.hear().expect("pong") {
            assert_eq!(answer, n);
            return iterations;
        }
    }
}

/// A directory, an agent, and a session that said hello to it.
fn begin() -> (tempfile::TempDir, Agent, Peer, Session) {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("agent.sock");
    let (agent, context) = (Agent::listen(&path), context(directory.path()));
    let session = std::thread::spawn(move || connect(path, context).expect("session"));
    let mut peer = agent.accept();
    expect_hello(&mut peer);
    peer.say(&AgentMessage::Start);
    (directory, agent, peer, session.join().expect("session"))
}

#[test]
fn pings_are_answered_with_the_iterations_while_the_test_works() {
    let (_directory, _agent, mut peer, session) = begin();
    assert_eq!(ping(&mut peer, 1), 0);
    session.iterate(5);
    assert_eq!(ping(&mut peer, 2), 5);
    assert_eq!(session.seed(), 255);
}

#[test]
fn what_the_test_says_arrives_in_order_and_done_waits_to_be_kept() {
    let (_directory, _agent, mut peer, session) = begin();
    session.ready();
    session.metric("disk-a", &[("written_bytes", 4.0)], &[]);
    session.event("opened", "x");
    let done = std::thread::spawn(move || session.done(&Ending::fail("wrong").total("passes", 2.0)));
    assert_eq!(peer.hear(), Some(ModuleMessage::Ready));
    assert!(matches!(peer.hear(), Some(ModuleMessage::Metric { device, .. }) if device == "disk-a"));
    assert!(matches!(peer.hear(), Some(ModuleMessage::Event { name, .. }) if name == "opened"));
    assert!(
        matches!(peer.hear(), Some(ModuleMessage::Done { status: Status::Complete, reason, .. }) if reason == "wrong")
    );
    assert!(!done.is_finished());
    peer.say(&AgentMessage::Kept);
    assert!(done.join().expect("done"));
}

#[test]
fn a_stop_wakes_the_test_and_gives_it_its_grace() {
    let (_directory, _agent, mut peer, session) = begin();
    let before = Instant::now();
    peer.say(&AgentMessage::Stop { grace_ms: 5000 });
    assert!(session.wait(PATIENCE));
    assert!(before.elapsed() < PATIENCE / 2);
    assert!(session.stopping());
    let left = session.stop_deadline().expect("a deadline").duration_since(before);
    assert!((Duration::from_secs(5)..Duration::from_secs(6)).contains(&left));
    // A pause during a stop is no pause, and pings are still answered.
    assert!(session.wait(PATIENCE));
    ping(&mut peer, 9);
}

#[test]
fn a_restarted_agent_gets_hello_again_and_what_was_said_meanwhile() {
    let (directory, agent, peer, session) = begin();
    drop((peer, agent));
    session.event("while-away", "");
    session.iterate(7);
    let agent = Agent::listen(&directory.path().join("agent.sock"));
    let mut peer = agent.accept();
    expect_hello(&mut peer);
    peer.say(&AgentMessage::Start);
    assert!(matches!(peer.hear(), Some(ModuleMessage::Event { name, .. }) if name == "while-away"));
    assert_eq!(ping(&mut peer, 1), 7);
    assert!(!session.stopping());
}

#[test]
fn a_done_that_was_not_kept_is_said_again_to_the_next_agent() {
    let (directory, agent, mut peer, session) = begin();
    let done = std::thread::spawn(move || session.done(&Ending::pass()));
    assert!(matches!(peer.hear(), Some(ModuleMessage::Done { .. })));
    drop((peer, agent));
    let agent = Agent::listen(&directory.path().join("agent.sock"));
    let mut peer = agent.accept();
    expect_hello(&mut peer);
    assert!(matches!(peer.hear(), Some(ModuleMessage::Done { .. })));
    assert!(!done.is_finished());
    peer.say(&AgentMessage::Kept);
    drop(peer);
    assert!(done.join().expect("done"));
}

#[test]
fn messages_beyond_the_bound_are_dropped_and_counted_and_done_still_arrives() {
    let (directory, agent, peer, session) = begin();
    drop((peer, agent));
    for _ in 0..10_000 {
        session.metric("", &[("x_count", 1.0)], &[]);
    }
    let done = std::thread::spawn(move || session.done(&Ending::pass()));
    let agent = Agent::listen(&directory.path().join("agent.sock"));
    let mut peer = agent.accept();
    expect_hello(&mut peer);
    assert!(matches!(peer.hear(), Some(ModuleMessage::Event { name, .. }) if name == "messages_dropped"));
    while !matches!(peer.hear().expect("done"), ModuleMessage::Done { .. }) {}
    peer.say(&AgentMessage::Kept);
    assert!(done.join().expect("done"));
}

#[test]
fn wrong_and_unknown_lines_of_an_agent_are_passed_over() {
    let (_directory, _agent, mut peer, _session) = begin();
    peer.say_bytes(b"{\"type\":\"pulse\"}\nnonsense\n\xff\n");
    ping(&mut peer, 4);
}

#[test]
fn a_hung_agent_holds_up_no_test() {
    let (_directory, _agent, peer, session) = begin();
    // The agent reads nothing: the socket's buffer fills, then the outbox does.
    let before = Instant::now();
    for _ in 0..20_000 {
        session.metric("", &[("some_long_name_of_a_counter_count", 1.0)], &[("another_gauge_seconds", 0.5)]);
    }
    assert!(before.elapsed() < PATIENCE);
    drop(peer);
}

fn from_server(words: &str) -> AgentMessage {
    AgentMessage::Peer { from: "server".into(), dpid: "00010063".into(), data: words.into() }
}

#[test]
fn a_question_is_asked_again_until_it_is_answered() {
    let (_directory, _agent, mut peer, session) = begin();
    let names: Vec<&str> = session.peers().map(|member| member.dpid.as_str()).collect();
    assert_eq!(names, ["00010063"]);
    let asked = std::thread::spawn(move || {
        let repeat = Duration::from_millis(10);
        let ask = Ask { repeat, ..Ask::new(To::Role("server"), "where?", Instant::now() + PATIENCE) };
        session.ask_peer(ask, |heard| heard.words.strip_prefix("at ").map(str::to_owned))
    });
    let question = ModuleMessage::Peer { to: "server".into(), data: "where?".into() };
    for _ in 0..3 {
        assert_eq!(peer.hear().as_ref(), Some(&question));
    }
    peer.say(&from_server("something else"));
    assert_eq!(peer.hear(), Some(question));
    peer.say(&from_server("at home"));
    assert_eq!(asked.join().expect("asked"), Ok(Some("home".to_owned())));
}

#[test]
fn hearing_a_peer_ends_at_its_deadline_and_with_a_stop_and_keeps_the_newest() {
    let (_directory, _agent, mut peer, session) = begin();
    assert_eq!(session.hear_peer(Instant::now()), None);
    for n in 0..200 {
        peer.say(&from_server(&n.to_string()));
    }
    ping(&mut peer, 1);
    let heard: Vec<PeerWords> = std::iter::from_fn(|| session.hear_peer(Instant::now())).collect();
    assert_eq!((heard.len(), heard[0].words.as_str(), heard[63].words.as_str()), (64, "136", "199"));
    let before = Instant::now();
    peer.say(&AgentMessage::Stop { grace_ms: 5000 });
    assert_eq!(session.hear_peer(before + PATIENCE), None);
    assert_eq!(session.ask_peer(Ask::new(To::Everyone, "?", before + PATIENCE), |_| Some(())), Ok(None));
    assert!(before.elapsed() < PATIENCE / 2);
}

#[test]
fn words_that_reach_nobody_are_refused() {
    let (_directory, _agent, _peer, session) = begin();
    assert_eq!(session.say_to_peer(To::Role("judge"), "x"), Err(PeerError::NoRole("judge".into())));
    assert_eq!(session.say_to_peer(To::Role("client"), "x"), Err(PeerError::NoRole("client".into())));
    assert_eq!(session.say_to_peer(To::Everyone, &"x".repeat(4097)), Err(PeerError::TooLong(4097)));
    assert_eq!(session.say_to_peer(To::Everyone, &"x".repeat(4096)), Ok(()));
}

fn set(rate_max: &str) -> AgentMessage {
    let parameters = [("rate_max", rate_max), ("depth", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    AgentMessage::Set { pulses: Vec::new(), parameters: parameters.into() }
}

#[test]
fn a_changed_parameter_is_taken_once_and_one_that_can_not_be_read_is_left_as_it_was() {
    let (_directory, _agent, mut peer, session) = begin();
    let mut rate_max = Live::new(&session, |parameters| parameters.count("rate_max")).expect("it is a count");
    assert_eq!((rate_max.follow(&session), *rate_max), (false, 5));
    peer.say(&set("7"));
    // The pong shows that the line before was taken.
    ping(&mut peer, 1);
    assert_eq!((rate_max.follow(&session), *rate_max), (true, 7));
    assert!(!rate_max.follow(&session));
    peer.say(&set("7"));
    ping(&mut peer, 2);
    assert!(!rate_max.follow(&session), "said again, it is no change");
    assert_eq!(session.parameters().count("rate_max"), Ok(5), "what it was started with stays");
    peer.say(&set("x"));
    ping(&mut peer, 3);
    assert_eq!((rate_max.follow(&session), *rate_max), (true, 7));
    assert!(
        matches!(peer.hear(), Some(ModuleMessage::Event { name, text }) if name == "not_taken" && text.contains("`x`"))
    );
}

#[test]
fn a_change_and_a_stop_cut_a_pause_short() {
    let (_directory, _agent, mut peer, session) = begin();
    let mut rate_max = Live::new(&session, |parameters| parameters.count("rate_max")).expect("it is a count");
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| rate_max.wait(&session, PATIENCE * 6));
        peer.say(&set("7"));
        assert!(!waiting.join().expect("it returns"), "no stop was asked for");
    });
    assert!(rate_max.follow(&session));
    peer.say(&AgentMessage::Stop { grace_ms: 1_000 });
    assert!(rate_max.wait(&session, PATIENCE * 6), "a stop was asked for");
    assert!(begun.elapsed() < PATIENCE * 6);
}
