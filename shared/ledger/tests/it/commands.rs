//! Commands, queries, turns.

use futures::future::join_all;
use muster_model::RefusalCode;

use crate::counter::{Input, noise};
use crate::harness::{Instance, LOG, all_announced, command_id, eventually, log_state, state, system};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_wait_together_are_appended_together_and_each_once() {
    let (_server, bus) = system().await;
    let instance = Instance::start(&bus, "a");
    let (_, handle) = instance.leading().await;
    let before = log_state(&bus).await.last;
    let commands = (0..2_000_u64).map(|token| handle.command(command_id(), "user:a".into(), Input::Add(token)));
    for answer in join_all(commands).await {
        assert!(answer.is_ok(), "{answer:?}");
    }
    let messages = log_state(&bus).await.last - before;
    assert!(messages < 200, "2,000 commands made {messages} messages");
    let state = state(&handle).await;
    assert_eq!(state.added.len(), 2_000);
    assert!(state.added.values().all(|count| *count == 1));
    instance.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_gets_the_same_reply_also_after_a_restart() {
    let (_server, bus) = system().await;
    let first = Instance::start(&bus, "a");
    let id = command_id();
    let answer = Instance::command(&[&first], id, || Input::Add(1)).await.expect("taken");
    let again = Instance::command(&[&first], id, || Input::Add(1)).await.expect("taken");
    assert_eq!((answer.position, answer.reply.clone()), (again.position, again.reply));
    first.stop().await;
    let second = Instance::start(&bus, "b");
    let after = Instance::command(&[&second], id, || Input::Add(1)).await.expect("taken");
    assert_eq!((answer.position, answer.reply), (after.position, after.reply));
    assert!(after.term > answer.term, "another leader answers");
    let (_, handle) = second.leading().await;
    assert_eq!(state(&handle).await.added[&1], 1);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_and_commands_that_decide_nothing_append_nothing() {
    let (_server, bus) = system().await;
    let instance = Instance::start(&bus, "a");
    let (_, handle) = instance.leading().await;
    let before = log_state(&bus).await.last;
    let refusal = handle.command(command_id(), String::new(), Input::Refuse).await.expect_err("refused");
    assert_eq!(refusal.code, RefusalCode::Refused);
    let answer = handle.command(command_id(), String::new(), Input::Nothing).await.expect("answered");
    assert_eq!(answer.position.sequence.0, before);
    assert_eq!(log_state(&bus).await.last, before);
    instance.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_too_large_for_a_message_is_refused_with_its_limit_and_others_wait_for_the_next() {
    let (_server, bus) = system().await;
    let instance = Instance::start(&bus, "a");
    let (_, handle) = instance.leading().await;
    let too_large = Input::AddPadded(1, noise(1, 600 * 1024));
    let refusal = handle.command(command_id(), String::new(), too_large).await.expect_err("too large");
    assert_eq!(refusal.code, RefusalCode::Limit);
    assert!(refusal.why.contains("512 KiB"), "{refusal}");
    let compressible = Input::AddPadded(2, vec![0; 600 * 1024]);
    handle.command(command_id(), String::new(), compressible).await.expect("it compresses below the limit");
    let many = (10..20)
        .map(|token| handle.command(command_id(), String::new(), Input::AddPadded(token, noise(token, 200 * 1024))));
    for answer in join_all(many).await {
        answer.expect("taken, in one turn or another");
    }
    assert_eq!(state(&handle).await.added.len(), 11);
    instance.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn effects_follow_from_state_and_are_wanted_until_they_are_done() {
    let (_server, bus) = system().await;
    let instance = Instance::start(&bus, "a");
    let (_, handle) = instance.leading().await;
    for token in 0..200 {
        handle.command(command_id(), String::new(), Input::Add(token)).await.expect("taken");
    }
    all_announced(&handle).await;
    assert_eq!(instance.shell.announced.lock().expect("not poisoned").len(), 200);
    instance.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_projection_follows_the_state_and_is_rebuilt_when_its_bucket_is_gone() {
    let (_server, bus) = system().await;
    let instance = Instance::start(&bus, "a");
    let (_, handle) = instance.leading().await;
    let commands = (0..2_500_u64).map(|token| handle.command(command_id(), String::new(), Input::Add(token)));
    join_all(commands).await;
    let projected = async |token: u64| {
        let Ok(store) = bus.jetstream().get_key_value("counters").await else { return None };
        store.get(format!("token.{token}")).await.ok().flatten()
    };
    eventually("all tokens are projected", async || projected(0).await.is_some() && projected(2_499).await.is_some())
        .await;
    bus.jetstream().delete_key_value("counters").await.expect("deleted");
    handle.command(command_id(), String::new(), Input::Add(7)).await.expect("taken");
    eventually("it is whole again", async || {
        projected(7).await.as_deref() == Some(b"2") && projected(2_499).await.is_some()
    })
    .await;
    let store = bus.jetstream().get_key_value("counters").await.expect("made again");
    assert!(store.get("_head").await.expect("read").is_some(), "the head comes last");
    instance.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_answered_for_who_does_not_lead() {
    let (_server, bus) = system().await;
    let instance = Instance::start(&bus, "a");
    let (_, handle) = instance.leading().await;
    instance.kill().await;
    let refusal = handle.command(command_id(), String::new(), Input::Add(1)).await.expect_err("nobody leads");
    assert_eq!(refusal.code, RefusalCode::Unavailable);
    assert!(!handle.observe(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_store_that_is_90_percent_full_only_what_frees_is_taken() {
    let (_server, bus) = system().await;
    let mut config = bus.jetstream().get_stream(LOG).await.expect("the log").cached_info().config.clone();
    config.max_bytes = 100_000;
    bus.jetstream().update_stream(config).await.expect("made small");
    let instance = Instance::start(&bus, "a");
    let (_, handle) = instance.leading().await;
    let mut token = 0_u64;
    while log_state(&bus).await.size_bytes < 90_000 {
        token += 1;
        handle.command(command_id(), String::new(), Input::AddPadded(token, noise(token, 1_600))).await.expect("taken");
    }
    // What appends nothing may be tried as often as we like: the store does not fill by it.
    eventually("commands are refused", async || {
        let given = handle.command(command_id(), String::new(), Input::Nothing).await;
        given.is_err_and(|refusal| refusal.code == RefusalCode::Limit)
    })
    .await;
    let refusal = handle.command(command_id(), String::new(), Input::Add(0)).await.expect_err("refused");
    assert_eq!(refusal.code, RefusalCode::Limit);
    handle.command(command_id(), String::new(), Input::Remove).await.expect("it frees");
    instance.stop().await;
}
