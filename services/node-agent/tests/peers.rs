//! Words between the processes of a gang, over two agents and a real bus.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{LIMIT, MACHINE, World, at, id, orders};
use muster_bus::Authority;
use muster_model::{Incarnation, MachineId, ProcessId, Term};
use muster_module_protocol::{Context, PEER_WORDS_MAX_BYTES};
use muster_proto::v1::{self, AgentRefusal, ProcessState, agent_command};
use muster_testkit::until;

const OTHER: &str = "node-2";
const SERVER: u32 = 1;
const CLIENT: u32 = 2;

/// The order of one member of a gang of two: the server on this machine, the client on the other one.
fn member(module: &v1::Module, process: u32, client_attempt: u32) -> v1::JobOrders {
    let module = v1::Module { roles: vec!["server".into(), "client".into()], ..module.clone() };
    let mut orders = orders(&module, 1, process..=process, &[("words", "1")]);
    let place = |process, attempt, machine: &str| v1::GangMember { process, attempt, machine: machine.into() };
    orders.processes[0].gang = 1;
    orders.processes[0].role = process - 1;
    orders.processes[0].members = vec![place(SERVER, 1, MACHINE), place(CLIENT, client_attempt, OTHER)];
    orders
}

fn words(from: ProcessId, to: ProcessId, data: &str) -> agent_command::Kind {
    agent_command::Kind::Peer(v1::PeerWord { from: Some(from.into()), to: Some(to.into()), data: data.into() })
}

struct Pool {
    world: World,
    module: v1::Module,
}

impl Pool {
    /// Two agents that have said hello, and run nothing.
    async fn new() -> Self {
        let mut world = World::new().await;
        let nothing = v1::JobDesired { generation: Some(at(5)), ..Default::default() };
        world.script().jobs_of.insert(OTHER.into(), nothing);
        world.start_agent();
        world.start_other(OTHER);
        let greeted = |script: &common::Script| {
            let up = |machine| {
                let incarnation = script.incarnations.get(machine);
                script
                    .heartbeats
                    .iter()
                    .any(|(said, heartbeat)| heartbeat.machine == machine && Some(said) == incarnation)
            };
            up(MACHINE) && up(OTHER)
        };
        world.wait("both agents are up", greeted).await;
        let module = world.ping_module().await;
        Self { world, module }
    }

    /// Orders something of the agent of one machine, after what it has.
    async fn order(&self, machine: &str, jobs: Vec<v1::JobOrders>, generation: u64) -> v1::AgentReply {
        let incarnation = Incarnation(self.world.script().incarnations[machine]);
        let authority = Authority { incarnation, ..self.world.authority(1) };
        let update = v1::UpdateJobs {
            builds_on: Some(at(generation - 1)),
            generation: Some(at(generation)),
            jobs,
            ..Default::default()
        };
        let kind = agent_command::Kind::UpdateJobs(update);
        let machine = MachineId::new(machine).unwrap();
        let reply = self.world.command_to(&machine, "scheduler/a", "jobs", kind, authority).await;
        assert_eq!((reply.refusal(), reply.refused.len()), (AgentRefusal::Unspecified, 0), "{reply:?}");
        reply
    }

    async fn say(&self, source: &str, term: u64, kind: agent_command::Kind) -> AgentRefusal {
        let authority = Authority { term: Term(term), ..Authority::default() };
        self.world.command(source, "peer", kind, authority).await.refusal()
    }

    fn directory(&self, process: u32) -> std::path::PathBuf {
        let home = self.world.home.path();
        let home = if process == SERVER { home.to_owned() } else { home.join(OTHER) };
        home.join(format!("s/work/1-{}-1", id(1, process).dpid))
    }

    /// What a process heard from its gang, a line each.
    fn heard(&self, process: u32) -> String {
        std::fs::read_to_string(self.directory(process).join("heard")).unwrap_or_default()
    }

    async fn wait_heard(&self, process: u32, text: &str) {
        let what = format!("process {process} hears {text:?}");
        until(&what, LIMIT, async || Ok(self.heard(process)), |heard| heard.contains(text)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_said_once_reach_a_member_that_starts_later_on_another_machine() {
    let pool = Pool::new().await;
    pool.order(MACHINE, vec![member(&pool.module, SERVER, 1)], 6).await;
    pool.world.wait("the server runs", |script| common::processes_of(script, ProcessState::Running) == 1).await;
    pool.order(OTHER, vec![member(&pool.module, CLIENT, 1)], 6).await;
    pool.wait_heard(CLIENT, "I am 00010001").await;
    pool.wait_heard(SERVER, "I am 00010002").await;
    let line = pool.heard(SERVER);
    assert!(line.contains("\"from\":\"client\"") && line.contains("\"dpid\":\"00010002\""), "{line}");
    assert_eq!(pool.heard(CLIENT).lines().count(), 1, "said once, heard once");

    let context = std::fs::read(pool.directory(CLIENT).join("context.json")).unwrap();
    let gang = serde_json::from_slice::<Context>(&context).unwrap().gang.unwrap();
    assert_eq!((gang.number, gang.role.as_str()), (1, "client"));
    let members: Vec<_> = gang.members.iter().map(|m| (m.role.as_str(), m.dpid.as_str(), m.machine.as_str())).collect();
    assert_eq!(members, [("server", "00010001", MACHINE), ("client", "00010002", OTHER)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_agent_of_a_member_brings_words_and_only_to_its_gang() {
    let pool = Pool::new().await;
    let (server, client) = (id(1, SERVER), id(1, CLIENT));
    let of_agent = format!("agent/{OTHER}");
    assert_eq!(pool.say(&of_agent, 0, words(client, server, "early")).await, AgentRefusal::NoMember);
    pool.order(MACHINE, vec![member(&pool.module, SERVER, 1)], 6).await;
    assert_eq!(pool.say("scheduler/a", 0, words(client, server, "x")).await, AgentRefusal::Invalid);
    assert_eq!(pool.say(&of_agent, 1, words(client, server, "x")).await, AgentRefusal::Invalid, "with a term");
    assert_eq!(pool.say("agent/node-3", 0, words(client, server, "x")).await, AgentRefusal::NoMember);
    assert_eq!(pool.say(&of_agent, 0, words(id(1, 3), server, "x")).await, AgentRefusal::NoMember, "not of the gang");
    assert_eq!(pool.say(&of_agent, 0, words(client, id(1, 3), "x")).await, AgentRefusal::NoMember, "nobody here");
    let long = "x".repeat(PEER_WORDS_MAX_BYTES + 1);
    assert_eq!(pool.say(&of_agent, 0, words(client, server, &long)).await, AgentRefusal::Invalid);
    let most = "y".repeat(PEER_WORDS_MAX_BYTES);
    assert_eq!(pool.say(&of_agent, 0, words(client, server, &most)).await, AgentRefusal::Unspecified);
    pool.wait_heard(SERVER, &most).await;
    assert_eq!(pool.heard(SERVER).lines().count(), 1, "nothing that was refused arrived");

    // The client is in its second attempt now: the gang of a known process is what the newest order says.
    pool.order(MACHINE, vec![member(&pool.module, SERVER, 2)], 7).await;
    assert_eq!(pool.say(&of_agent, 0, words(client, server, "x")).await, AgentRefusal::NoMember, "its first is over");
    let second = ProcessId { attempt: muster_model::Attempt(2), ..client };
    assert_eq!(pool.say(&of_agent, 0, words(second, server, "second")).await, AgentRefusal::Unspecified);
    pool.wait_heard(SERVER, "second").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_agent_knows_the_gang_again() {
    let mut pool = Pool::new().await;
    let order = member(&pool.module, SERVER, 1);
    pool.order(MACHINE, vec![order.clone()], 6).await;
    pool.world.wait("the server runs", |script| common::processes_of(script, ProcessState::Running) == 1).await;
    pool.world.script().jobs = v1::JobDesired { generation: Some(at(6)), jobs: vec![order], ..Default::default() };
    pool.world.kill_agent();
    let before = pool.world.script().incarnations[MACHINE];
    pool.world.start_agent();
    pool.world
        .wait("it is back", |script| {
            let back = |(said, heartbeat): &(u64, v1::Heartbeat)| heartbeat.machine == MACHINE && *said > before;
            script.heartbeats.iter().any(back)
        })
        .await;
    let words = words(id(1, CLIENT), id(1, SERVER), "welcome back");
    assert_eq!(pool.say(&format!("agent/{OTHER}"), 0, words).await, AgentRefusal::Unspecified);
    pool.wait_heard(SERVER, "welcome back").await;
}
