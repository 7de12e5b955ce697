//! Appends whose outcome is unknown: the acknowledgement is lost, comes too late, or says something that can not be.

use std::time::{Duration, Instant};

use muster_bus::{Bus, subjects};
use muster_testkit::NatsServer;

use crate::counter::{Input, State};
use crate::harness::{
    Instance, LOG, SERVICE, all_announced, command_id, connect, end_state, eventually, log_state, system,
};
use crate::proxy::{Fate, Proxy, is_acknowledgement, is_published};

/// A system, and an instance that leads over a proxy.
async fn behind_a_proxy() -> (NatsServer, Bus, Proxy, Instance) {
    let (server, bus) = system().await;
    let proxy = Proxy::start(&server.url()).await;
    let instance = Instance::start(&connect(proxy.url()).await, "a");
    Instance::command(&[&instance], command_id(), || Input::Add(0)).await.expect("taken");
    (server, bus, proxy, instance)
}

fn is_turn(frame: &[u8]) -> bool {
    is_published(frame, &subjects::log(SERVICE, "turn"))
}

fn assert_once(state: &State, tokens: std::ops::Range<u64>) {
    assert_eq!(state.added, tokens.map(|token| (token, 1)).collect());
}

/// What a fresh instance folds in the end.
async fn stop_and_look(bus: &Bus, instance: Instance) -> State {
    instance.stop().await;
    end_state(bus).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_acknowledgement_deposes_nobody_and_doubles_nothing() {
    let (_server, bus, proxy, instance) = behind_a_proxy().await;
    let (term, handle) = instance.leading().await;
    for token in 1..4 {
        let mut is_lost = false;
        proxy.to_client(move |frame| {
            let loses = !is_lost && is_acknowledgement(frame, LOG);
            is_lost |= loses;
            if loses { Fate::Lose } else { Fate::Pass }
        });
        let answer = handle.command(command_id(), String::new(), Input::Add(token)).await.expect("taken");
        assert_eq!(answer.term, term, "the same leader goes on");
    }
    assert_once(&stop_and_look(&bus, instance).await, 0..4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_that_was_lost_with_its_connection_is_asked_for_on_the_next() {
    let (_server, bus, proxy, instance) = behind_a_proxy().await;
    let (term, handle) = instance.leading().await;
    let start = Instant::now();
    for token in 1..4 {
        let (cut, mut to_cut) = tokio::sync::mpsc::channel(1);
        proxy.to_client(move |frame| {
            let loses = is_acknowledgement(frame, LOG) && cut.try_send(()).is_ok();
            if loses { Fate::Lose } else { Fate::Pass }
        });
        let given = handle.command(command_id(), String::new(), Input::Add(token));
        let cutting = async {
            to_cut.recv().await.expect("it is acknowledged");
            proxy.to_client(|_| Fate::Pass);
            proxy.cut();
        };
        let (answer, ()) = tokio::join!(given, cutting);
        assert_eq!(answer.expect("taken").term, term, "the same leader goes on");
    }
    assert!(start.elapsed() < Duration::from_secs(3), "it waited for its time-outs: {:?}", start.elapsed());
    assert_once(&stop_and_look(&bus, instance).await, 0..4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_lands_after_its_repetition_on_the_next_connection_changes_nothing() {
    let (_server, bus, proxy, instance) = behind_a_proxy().await;
    let (term, handle) = instance.leading().await;
    all_announced(&handle).await;
    proxy.to_server(|frame| if is_turn(frame) { Fate::Keep } else { Fate::Pass });
    let given = handle.command(command_id(), String::new(), Input::Add(1));
    let cutting = async {
        eventually("the append is on its way", async || proxy.kept() > 0).await;
        proxy.to_server(|_| Fate::Pass);
        proxy.cut();
    };
    let (answer, ()) = tokio::join!(given, cutting);
    assert_eq!(answer.expect("taken").term, term);
    proxy.deliver_late().await;
    let after = handle.command(command_id(), String::new(), Input::Add(2)).await.expect("taken");
    assert_eq!(after.term, term, "the same leader goes on");
    assert_once(&stop_and_look(&bus, instance).await, 0..3);
}

/// A leader dies while its append is on the way, and the next one leads.
struct Orphan {
    bus: Bus,
    late: Proxy,
    next: Instance,
    next_proxy: Proxy,
    id: muster_model::CommandId,
    _server: NatsServer,
}

/// The next leader's first message is kept back when it comes.
async fn orphan() -> Orphan {
    let (server, bus, late, first) = behind_a_proxy().await;
    let (_, handle) = first.leading().await;
    all_announced(&handle).await;
    late.to_server(|frame| if is_turn(frame) { Fate::Keep } else { Fate::Pass });
    let id = command_id();
    let giving = handle.clone();
    let given = tokio::spawn(async move { giving.command(id, "user:test".into(), Input::Add(1)).await });
    eventually("the append is on its way", async || late.kept() > 0).await;
    first.kill().await;
    late.close();
    assert!(given.await.expect("no panic").is_err(), "nothing was acknowledged");
    let next_proxy = Proxy::start(&server.url()).await;
    let started = subjects::log(SERVICE, "leader");
    next_proxy.to_server(move |frame| if is_published(frame, &started) { Fate::Keep } else { Fate::Pass });
    let next = Instance::start(&connect(next_proxy.url()).await, "b");
    eventually("the next one begins to lead", async || next_proxy.kept() > 0).await;
    Orphan { bus, late, next, next_proxy, id, _server: server }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_lands_before_the_next_leaders_first_message_is_kept_and_not_repeated() {
    let Orphan { bus, late, next, next_proxy, id, _server } = orphan().await;
    let last = log_state(&bus).await.last;
    late.deliver_late().await;
    eventually("it landed", async || log_state(&bus).await.last == last + 1).await;
    next_proxy.to_server(|_| Fate::Pass);
    next_proxy.deliver_late().await;
    let answer = Instance::command(&[&next], id, || Input::Add(1)).await.expect("remembered");
    assert_eq!(answer.position.sequence.0, last + 1);
    assert_once(&stop_and_look(&bus, next).await, 0..2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_lands_after_the_next_leaders_first_message_is_refused() {
    let Orphan { bus, late, next, next_proxy, id, _server } = orphan().await;
    next_proxy.to_server(|_| Fate::Pass);
    next_proxy.deliver_late().await;
    let (term, handle) = next.leading().await;
    late.deliver_late().await;
    let after = handle.command(command_id(), String::new(), Input::Add(2)).await.expect("taken");
    assert_eq!(after.term, term, "the same leader goes on");
    assert!(!handle.query(|view| view.state.added.contains_key(&1)).await.expect("answered"));
    Instance::command(&[&next], id, || Input::Add(1)).await.expect("it is new");
    assert_once(&stop_and_look(&bus, next).await, 0..3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_at_another_sequence_stops_the_service_with_an_alarm() {
    let (_server, bus, proxy, instance) = behind_a_proxy().await;
    let (_, handle) = instance.leading().await;
    proxy.to_client(|frame| {
        if is_acknowledgement(frame, LOG) {
            let text = String::from_utf8_lossy(frame).into_owned();
            // Of the same length, so that the frame stays one.
            let (before, after) = text.split_once("\"seq\":").expect("an acknowledgement");
            let digits = after.chars().take_while(char::is_ascii_digit).count();
            *frame = format!("{before}\"seq\":{}{}", "9".repeat(digits), &after[digits..]).into_bytes();
        }
        Fate::Pass
    });
    let given = Instant::now();
    let answered = handle.command(command_id(), String::new(), Input::Add(1)).await;
    assert!(answered.is_err(), "nothing may be answered: {answered:?}");
    let error = instance.end().await.expect_err("it stops").to_string();
    assert!(error.contains("acknowledged message") && error.contains("muster admin recover"), "{error}");
    assert!(given.elapsed() < Duration::from_secs(5), "it took {:?}", given.elapsed());
    drop(bus);
}
