//! A leader that stalls beyond its lease: its loop is wedged, or its process is stopped. Another leads, and when it goes on it
//! answers and does nothing of its old term, and folds again.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use muster_bus::streams::LEASE_AGE;
use muster_ledger::Handle;
use muster_model::{Refusal, RefusalCode};
use rustix::process::Signal;
use tokio::task::JoinHandle;

use crate::child::{Process, add_all};
use crate::counter::{Counter, Gate, Input};
use crate::harness::{Instance, command_id, connect, end_state, eventually, state, system};
use crate::proxy::Proxy;
use crate::requests;

/// A lease is renewed every two seconds, so it lasts at least so long after the loop was wedged.
const LEFT_MIN: Duration = Duration::from_secs(4);
/// The last renewal comes at most two seconds after the loop turned last; the server and the machine may be slow.
const LEFT_MAX: Duration = LEASE_AGE.saturating_add(Duration::from_secs(5));

/// Gives a runtime a little work until the sender is dropped. Without it a blocked thread may be the one that was to look after the
/// timers and sockets, and everything would stall with it.
fn keep_turning(runtime: tokio::runtime::Handle) -> mpsc::Sender<()> {
    let (end, has_ended) = mpsc::channel();
    std::thread::spawn(move || {
        while has_ended.recv_timeout(Duration::from_millis(10)) == Err(mpsc::RecvTimeoutError::Timeout) {
            runtime.spawn(async {});
        }
    });
    end
}

type Given = JoinHandle<Result<(), Refusal>>;

fn give(handle: &Handle<Counter>, input: Input) -> Given {
    let handle = handle.clone();
    tokio::spawn(async move { handle.command(command_id(), String::new(), input).await.map(drop) })
}

fn ask(handle: &Handle<Counter>) -> Given {
    let handle = handle.clone();
    tokio::spawn(async move { handle.query(|_| ()).await })
}

async fn nothing_is_answered(given: Vec<Given>) {
    for answer in given {
        let answer = tokio::time::timeout(LEFT_MAX, answer).await.expect("leadership ends in time");
        let refusal = answer.expect("no panic").expect_err("nothing is answered");
        assert_eq!(refusal.code, RefusalCode::Unavailable, "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wedged_leader_loses_its_lease_and_answers_and_does_nothing_when_it_goes_on() {
    let (server, bus) = system().await;
    // A runtime of its own: the loop blocks one of its threads.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build().expect("a runtime");
    let _other_work = keep_turning(runtime.handle().clone());
    let url = server.url();
    let own_bus = runtime.spawn(async move { connect(&url).await }).await.expect("no panic");
    let wedged = {
        let _entered = runtime.enter();
        Instance::start(&own_bus, "wedged")
    };
    let (term, handle) = wedged.leading().await;
    handle.command(command_id(), String::new(), Input::Add(0)).await.expect("taken");
    let second = Instance::start(&bus, "second");
    let ((entered, has_entered), (go_on, may_go_on)) = (mpsc::channel(), mpsc::channel());
    let gate = Arc::new(Gate::new(entered, may_go_on));
    let give = |input| give(&handle, input);
    let mut waiting = vec![give(Input::Wedge(1, gate))];
    let entering = tokio::task::spawn_blocking(move || has_entered.recv_timeout(LEFT_MAX));
    entering.await.expect("no panic").expect("the loop is wedged");
    let since = Instant::now();
    waiting.extend([Input::Add(2), Input::Nothing, Input::Refuse].map(give));
    waiting.push(ask(&handle));
    let (next_term, next) = second.leading().await;
    assert!(since.elapsed() > LEFT_MIN, "a lease was taken after {:?}", since.elapsed());
    assert!(since.elapsed() < LEFT_MAX, "it took {:?}", since.elapsed());
    assert!(next_term > term);
    next.command(command_id(), String::new(), Input::Add(3)).await.expect("taken");
    go_on.send(()).expect("the loop waits");
    nothing_is_answered(waiting).await;
    eventually("it notices", async || !wedged.leads()).await;
    second.stop().await;
    let (again, handle) = wedged.leading().await;
    assert!(again > next_term);
    assert_eq!(state(&handle).await.added, BTreeMap::from([(0, 1), (3, 1)]));
    let announced: Vec<_> = wedged.shell.announced.lock().expect("not poisoned").keys().copied().collect();
    assert!(!announced.contains(&1) && !announced.contains(&2), "{announced:?}");
    wedged.stop().await;
    runtime.shutdown_background();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_gives_up_with_its_lease_and_what_it_still_sends_later_is_refused() {
    let (server, bus) = system().await;
    let proxy = Proxy::start(&server.url()).await;
    let cut_off = Instance::start(&connect(proxy.url()).await, "cut-off");
    let (term, handle) = cut_off.leading().await;
    handle.command(command_id(), String::new(), Input::Add(0)).await.expect("taken");
    proxy.close();
    let since = Instant::now();
    let mut waiting: Vec<_> = [Input::Add(1), Input::Nothing, Input::Refuse].map(|input| give(&handle, input)).into();
    waiting.push(ask(&handle));
    // Nobody answers on its subject any more, so the next one need not wait for the lease: the log tells them apart.
    let second = Instance::start(&bus, "second");
    let (next_term, next) = second.leading().await;
    assert!(next_term > term);
    next.command(command_id(), String::new(), Input::Add(2)).await.expect("taken");
    nothing_is_answered(waiting).await;
    eventually("it gives up", async || !cut_off.leads()).await;
    assert!(since.elapsed() < LEFT_MAX, "it took {:?}", since.elapsed());
    // What its connection has kept of the append is sent now.
    proxy.open();
    next.command(command_id(), String::new(), Input::Add(3)).await.expect("the second still leads");
    second.stop().await;
    let (again, handle) = cut_off.leading().await;
    assert!(again > next_term);
    assert_eq!(state(&handle).await.added, BTreeMap::from([(0, 1), (2, 1), (3, 1)]));
    cut_off.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_stopped_before_a_reply_says_nothing_of_its_old_term_when_it_goes_on() {
    let (server, bus) = system().await;
    // Stopped when the append is acknowledged and the lease was looked at: nothing is between it and the answer any more.
    let first = Process::start(&server.url(), "first", Some("before_reply:10:stop"));
    let first_term = add_all(&bus, 0..5).await[&4];
    let inbox = bus.new_inbox();
    let mut answers = bus.subscribe(&inbox, None).await.expect("listening");
    let (id, mut token) = (command_id(), 5);
    let give = async |id, body| {
        let request = requests::request(&bus, id, body);
        bus.publish_with_reply(&requests::commands(), &inbox, &request).await.expect("sent");
    };
    let mut is_answered = true;
    eventually("it stops", async || {
        // One at a time: a second one would reach it, and be neither answered nor done.
        if is_answered {
            give(command_id(), requests::add(token)).await;
            token += 1;
        }
        is_answered = tokio::time::timeout(Duration::from_millis(200), answers.next()).await.is_ok();
        first.is_stopped()
    })
    .await;
    while answers.next().now_or_never().is_some() {}
    for body in [requests::add(100), requests::refused(), requests::status()] {
        give(id, body).await;
    }
    let stopped = Instant::now();
    let second = Process::start(&server.url(), "second", None);
    let during = add_all(&bus, 200..210).await;
    assert!(stopped.elapsed() < LEFT_MAX, "it took {:?}", stopped.elapsed());
    first.signal(Signal::CONT);
    let after = add_all(&bus, 300..310).await;
    assert!(during.values().chain(after.values()).all(|term| *term > first_term), "{during:?} {after:?}");
    drop(second);
    // The first one follows the log again, and leads when it is alone.
    let alone = add_all(&bus, 400..405).await;
    assert!(alone.values().all(|term| *term > after[&309]), "{alone:?}");
    drop(first);
    let late: Vec<_> = std::iter::from_fn(|| answers.next().now_or_never().flatten()).collect();
    assert!(late.is_empty(), "{late:?}");
    let state = end_state(&bus).await;
    for token in (0..token).chain(during.into_keys()).chain(after.into_keys()).chain(alone.into_keys()) {
        assert_eq!(state.added.get(&token), Some(&1), "token {token}");
    }
    assert!(!state.added.contains_key(&100), "it came to a leader whose lease was over");
}
