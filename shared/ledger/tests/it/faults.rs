//! Crashes and killed servers: nothing that was answered is lost, and nothing is done twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use muster_bus::Bus;
use muster_testkit::NatsServer;
use tokio::task::JoinHandle;

use crate::child::{self, Process, add_all};
use crate::counter::Input;
use crate::harness::{Instance, LOG, command_id, connect, end_state, eventually, init_with, new_system, system};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_crash_point_gives_the_same_end_state() {
    tokio::join!(crash_everywhere(1), crash_everywhere(3));
}

/// Lets a leader die at each point, when it passes it the `pass`th time.
async fn crash_everywhere(pass: u32) {
    let points =
        ["before_append", "before_ack", "after_append", "before_reply", "after_reply", "before_effect", "after_effect"];
    let (server, bus) = system().await;
    let mut token = 0;
    for point in points {
        let mut crashing = Process::start(&server.url(), "crashing", Some(&format!("{point}:{pass}")));
        eventually("it leads", async || child::add(&bus, command_id(), token).await.is_some() || crashing.has_ended())
            .await;
        let standing_by = Process::start(&server.url(), "standing-by", None);
        add_all(&bus, token + 1..token + 6).await;
        eventually("it crashes", async || crashing.has_ended()).await;
        drop(standing_by);
        token += 10;
    }
    let state = end_state(&bus).await;
    for base in (0..token).step_by(10) {
        for token in base + 1..base + 6 {
            assert_eq!(state.added.get(&token), Some(&1), "token {token}");
        }
    }
}

/// Two instances, and clients that give them one command after the other.
struct Load {
    instances: Arc<[Instance; 2]>,
    clients: Vec<JoinHandle<Vec<u64>>>,
    is_over: Arc<AtomicBool>,
}

impl Load {
    async fn start(url: &str, clients: u64) -> Self {
        let (a, b) = (connect(url).await, connect(url).await);
        let instances = Arc::new([Instance::start(&a, "a"), Instance::start(&b, "b")]);
        eventually("one leads", async || instances.iter().any(Instance::leads)).await;
        let is_over = Arc::new(AtomicBool::new(false));
        let start = |client| tokio::spawn(give(instances.clone(), client, is_over.clone()));
        Self { clients: (0..clients).map(start).collect(), instances, is_over }
    }

    /// Waits until commands are taken, after whatever happened just now.
    async fn goes_on(&self) {
        let count = async || {
            let led = self.instances.iter().find(|instance| instance.leads())?;
            let (_, handle) = led.leading().await;
            handle.query(|view| view.state.added.len()).await.ok()
        };
        let mut start = None;
        eventually("commands are taken again", async || {
            let Some(now) = count().await else { return false };
            now > *start.get_or_insert(now)
        })
        .await;
    }

    /// Ends it, and expects each command that was acknowledged once, and none twice.
    async fn end(self, bus: &Bus) {
        self.is_over.store(true, Ordering::Relaxed);
        let mut acknowledged = Vec::new();
        for client in self.clients {
            acknowledged.extend(client.await.expect("no panic"));
        }
        for instance in Arc::into_inner(self.instances).expect("clients are gone") {
            instance.stop().await;
        }
        let added = end_state(bus).await.added;
        let lost: Vec<_> = acknowledged.iter().filter(|token| !added.contains_key(token)).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        let doubled: Vec<_> = added.iter().filter(|(_, count)| **count != 1).collect();
        assert!(doubled.is_empty(), "doubled: {doubled:?}");
        assert!(acknowledged.len() > 100, "only {} commands", acknowledged.len());
    }
}

async fn give(instances: Arc<[Instance; 2]>, client: u64, is_over: Arc<AtomicBool>) -> Vec<u64> {
    let all: Vec<_> = instances.iter().collect();
    let mut acknowledged = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let token = client * 1_000_000 + acknowledged.len() as u64;
        Instance::command(&all, command_id(), || Input::Add(token)).await.expect("never refused");
        acknowledged.push(token);
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_no_acknowledged_command_and_doubles_none() {
    let (mut server, bus) = system().await;
    let load = Load::start(&server.url(), 16).await;
    for _ in 0..3 {
        load.goes_on().await;
        server.kill9();
        server.restart().expect("it comes back");
        load.goes_on().await;
    }
    load.end(&bus).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_whose_log_loses_its_server_goes_on_and_loses_and_doubles_nothing() {
    let scratch = tempfile::tempdir().expect("a folder");
    let mut servers = NatsServer::start_cluster(scratch.path(), 3, None).expect("three servers start");
    let url = servers.iter().map(NatsServer::url).collect::<Vec<_>>().join(",");
    let bus = connect(&url).await;
    eventually("the cluster has a leader", async || init_with(&bus, 3).await.is_ok()).await;
    new_system(&bus).await;
    let load = Load::start(&url, 8).await;
    load.goes_on().await;
    let index = log_leader(&bus).await;
    servers[index].kill9();
    // An election among servers takes 4 to 9 s.
    load.goes_on().await;
    assert_ne!(log_leader(&bus).await, index);
    servers[index].restart().expect("it comes back");
    load.goes_on().await;
    load.end(&bus).await;
}

/// Index of the server that leads the log's stream.
async fn log_leader(bus: &Bus) -> usize {
    let mut leader = None;
    eventually("the log has a leader", async || {
        let Ok(stream) = bus.jetstream().get_stream(LOG).await else { return false };
        let name = stream.cached_info().cluster.as_ref().and_then(|cluster| cluster.leader.clone());
        leader = name.and_then(|name| name.strip_prefix("lab-")?.parse().ok());
        leader.is_some()
    })
    .await;
    leader.expect("waited for")
}
