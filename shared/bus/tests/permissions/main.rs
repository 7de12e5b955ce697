//! The permissions on a live server: everybody x every subject x publish, subscribe, subscribe in a queue group, against what is
//! written by hand in `expected.rs`; and what the lists alone do not show.

mod client;
mod expected;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use muster_bus::authorization::{Admitted, configuration};
use muster_bus::permissions::Member;
use muster_bus::subjects::Service;
use muster_bus::{Access, Authority, Bus, BusError, BusOptions, Credentials, Role, Sender, subjects};
use muster_model::MachineId;
use muster_proto::v1::{AgentCommand, Envelope, envelope::Body};
use muster_testkit::{NatsOptions, NatsServer};
use prost::Message;

use client::Client;

/// The words for everybody in `expected.rs`, their identities and roles.
const MEMBERS: [(&str, &str, Role); 13] = [
    ("node-1", "agent/node-1", Role::Viewer),
    ("node-2", "agent/node-2", Role::Viewer),
    ("token", "enrollment/node-3", Role::Viewer),
    ("reservation", "service/reservation", Role::Viewer),
    ("machine-lifecycle", "service/machine-lifecycle", Role::Viewer),
    ("scheduler", "service/scheduler", Role::Viewer),
    ("telemetry-logger", "service/telemetry-logger", Role::Viewer),
    ("report", "service/report", Role::Viewer),
    ("vera", "user/vera", Role::Viewer),
    ("tess", "user/tess", Role::Tester),
    ("owen", "user/owen", Role::Owner),
    ("ada", "user/ada", Role::Administrator),
    ("operator", "operator/servers", Role::Viewer),
];

/// Fewest attempts that make a matrix.
const ATTEMPTS_MIN: usize = 2_000;

/// A server with the generated configuration, and everybody's credentials.
struct Pool {
    server: NatsServer,
    folder: tempfile::TempDir,
}

impl Pool {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, identity, _) in MEMBERS {
            Credentials::make(&key(folder.path(), name), identity.parse().expect("valid")).expect("made");
        }
        admit(folder.path(), |_| true);
        let options = NatsOptions {
            directory: folder.path().join("nats"),
            port: 0,
            store_max: "1GB".into(),
            cluster: None,
            authorization: Some(folder.path().join("authorization.conf")),
        };
        Self { server: NatsServer::start_with(&options).expect("it takes the configuration"), folder }
    }

    async fn bus(&self, name: &str) -> Result<Bus, BusError> {
        let access = Access::Credentials(Credentials::open(&key(self.folder.path(), name))?);
        Bus::connect(&BusOptions::new(&self.server.url(), name, access)).await
    }

    fn client(&self, name: &str) -> Client {
        let port = self.server.url().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        Client::connect(port, &key(self.folder.path(), name)).expect("it is let in")
    }
}

fn key(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.key"))
}

/// Writes the configuration for those who stay.
fn admit(folder: &Path, stays: impl Fn(&str) -> bool) {
    let members = MEMBERS.into_iter().filter(|(name, _, _)| stays(name));
    let admitted = members.map(|(name, identity, role)| {
        let credentials = Credentials::open(&key(folder, name)).expect("in order");
        let member = Member { identity: identity.parse().expect("valid"), role };
        Admitted { member, key: credentials.public_key().expect("a key") }
    });
    let text = configuration(&admitted.collect::<Vec<_>>());
    std::fs::write(folder.join("authorization.conf"), text).expect("written");
}

/// Everybody whom the words of a row mean.
fn meant(words: &str) -> Vec<&str> {
    words
        .split_whitespace()
        .flat_map(|word| match word {
            "viewers" => vec!["vera", "tess", "owen", "ada"],
            "testers" => vec!["tess", "owen", "ada"],
            "owners" => vec!["owen", "ada"],
            "administrators" => vec!["ada"],
            "services" => vec!["reservation", "machine-lifecycle", "scheduler", "telemetry-logger", "report"],
            "loggers" => vec!["reservation", "machine-lifecycle", "scheduler"],
            one => vec![one],
        })
        .collect()
}

#[test]
fn everybody_may_what_is_written_and_nothing_else() {
    let pool = Pool::start();
    let (mut attempts, mut wrong) = (0, Vec::new());
    for (name, _, _) in MEMBERS.into_iter().filter(|(name, _, _)| *name != "operator") {
        let mut client = pool.client(name);
        for (subject, sayers, hearers) in expected::ROWS {
            let may_say = meant(sayers).contains(&name);
            let may_hear = meant(hearers).contains(&name);
            let found = [
                ("publish on", may_say, client.may_publish(subject)),
                ("subscribe to", may_hear, client.may_subscribe(subject, "")),
                ("queue-subscribe to", may_hear, client.may_subscribe(subject, "group")),
            ];
            for (what, expected, found) in found {
                attempts += 1;
                let found = found.unwrap_or_else(|error| panic!("{name} {what} {subject}: {error:#}"));
                if found != expected {
                    wrong.push(format!("{name} {} {what} {subject}", if found { "can" } else { "can not" }));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {attempts}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(attempts >= ATTEMPTS_MIN, "{attempts}");
    eprintln!("{attempts} attempts, each as expected");
}

#[test]
fn every_rule_of_the_table_of_subjects_was_tried() {
    let fits = |pattern: &str, subject: &str| {
        let (pattern, subject): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), subject.split('.').collect());
        pattern.last() == Some(&">")
            || pattern.len() == subject.len()
                && pattern.iter().zip(&subject).all(|(a, b)| *a == "*" || *a == "<m>" || a == b)
    };
    for rule in subjects::TABLE.iter().flat_map(|row| row.rules) {
        let pattern = rule.subject.replace("<i>", "*.*");
        let tried = expected::ROWS.iter().any(|(subject, _, _)| fits(&pattern, subject));
        assert!(tried, "{} is in no row of what is expected", rule.subject);
    }
    let named: BTreeMap<_, _> = MEMBERS.iter().map(|(name, identity, _)| (*name, *identity)).collect();
    for (subject, sayers, hearers) in expected::ROWS {
        for word in meant(sayers).into_iter().chain(meant(hearers)) {
            assert!(named.contains_key(word), "`{word}` in the row of {subject} means nobody");
        }
    }
}

fn node_1() -> MachineId {
    MachineId::new("node-1").expect("valid")
}

fn command() -> Body {
    Body::AgentCommand(AgentCommand::default())
}

#[tokio::test]
async fn an_agent_answers_in_its_own_part_of_the_inbox_of_who_asks() {
    let pool = Pool::start();
    let (agent, scheduler) = (pool.bus("node-1").await.expect("let in"), pool.bus("scheduler").await.expect("let in"));
    let mut commands = agent.subscribe(&subjects::commands_of(&node_1()), None).await.expect("subscribed");
    agent.settled().await.expect("connected");
    let asked = tokio::spawn(async move {
        let envelope = scheduler.envelope(command(), Authority::default());
        scheduler.command(&node_1(), "jobs", &envelope, Duration::from_secs(5)).await
    });
    let heard =
        tokio::time::timeout(Duration::from_secs(5), commands.next()).await.expect("in time").expect("it is asked");
    let reply = heard.reply.expect("an answer is wanted");
    assert!(reply.starts_with("_INBOX.service.scheduler.agent.node-1."), "{reply}");
    agent.answer(&reply, command(), Authority::default()).await;
    asked.await.expect("done").expect("it is answered");
}

#[test]
fn who_has_the_key_of_an_agent_can_not_have_the_server_permit_more_by_asking_itself() {
    let pool = Pool::start();
    let mut agent = pool.client("node-1");
    assert!(agent.listen("muster.v1.cmd.node-1.*").expect("answered"));
    for subject in ["muster.v1.svc.scheduler.command.user.ada", "muster.v1.log.scheduler.turn", "_INBOX.user.ada.a"] {
        agent.publish("muster.v1.cmd.node-1.peer", subject, "").expect("it may ask any agent");
        assert!(!agent.may_publish(subject).expect("answered"), "{subject}");
    }
}

#[tokio::test]
async fn an_answer_of_the_server_that_is_directed_to_a_service_is_not_taken() {
    let pool = Pool::start();
    let (scheduler, viewer) = (pool.bus("scheduler").await.expect("let in"), pool.bus("vera").await.expect("let in"));
    let mut served = scheduler.serve(Service::Scheduler, "test", &["command"]).await.expect("served");
    let mut commands = served.endpoints.remove(0);
    scheduler.settled().await.expect("connected");
    let subject = subjects::service_from(Service::Scheduler, "command", &"user/ada".parse().expect("valid"));
    let raw = viewer.client();
    for asked in ["$JS.API.STREAM.INFO.JOBS", "$SYS.REQ.USER.INFO"] {
        raw.publish_with_reply(asked, subject.clone(), Bytes::new()).await.expect("published");
    }
    viewer.settled().await.expect("connected");
    tokio::time::timeout(Duration::from_millis(500), commands.next()).await.expect_err("nothing of it is heard");
}

#[tokio::test]
async fn a_service_knows_who_asks_and_refuses_who_says_another_name() {
    let pool = Pool::start();
    let (scheduler, tess) = (pool.bus("scheduler").await.expect("let in"), pool.bus("tess").await.expect("let in"));
    let mut served = scheduler.serve(Service::Scheduler, "test", &["command"]).await.expect("served");
    let mut commands = served.endpoints.remove(0);
    scheduler.settled().await.expect("connected");
    let taking = tokio::spawn(async move {
        let request = commands.next().await.expect("one is taken");
        let (sender, actor) = (request.sender.clone(), request.envelope.clone().expect("decodable").actor);
        request.answer(command(), Authority::default()).await;
        (sender, actor, commands)
    });
    let subject = tess.service(Service::Scheduler, "command");
    let ask = async |actor: &str| {
        let envelope = Envelope { actor: actor.into(), ..tess.envelope(command(), Authority::default()) };
        tess.request(&subject, &envelope, Duration::from_secs(5)).await.expect("answered").body
    };
    let Some(Body::Refusal(refused)) = ask("user:ada").await else { panic!("it is refused") };
    assert!(refused.what.contains("user:ada") && refused.why.contains("user/tess"), "{refused:?}");
    assert!(matches!(ask("user:tess").await, Some(Body::AgentCommand(_))), "in her own name she is answered");
    let (sender, actor, _commands) = taking.await.expect("done");
    assert_eq!((sender, actor.as_str()), (Sender::Proven("user/tess".parse().expect("valid")), "user:tess"));
}

#[tokio::test]
async fn a_stored_message_that_is_directed_to_an_agent_is_not_taken() {
    let pool = Pool::start();
    let agent = pool.bus("node-1").await.expect("let in");
    let administrator = pool.bus("ada").await.expect("let in");
    let options = muster_bus::streams::InitOptions { replicas: 1, size_divisor: 256 };
    administrator.init_streams(options).await.expect("an administrator makes the streams");
    let mut commands = agent.subscribe(&subjects::commands_of(&node_1()), None).await.expect("subscribed");
    agent.settled().await.expect("connected");
    let evil = Envelope { source: "evil".into(), body: Some(command()), ..Envelope::default() }.encode_to_vec();
    // A tester may put the description of a module, and look at it; where to is theirs to say, and the server does not ask whether
    // they may publish there.
    let tester = pool.bus("tess").await.expect("let in");
    let subject = subjects::command(&node_1(), "jobs");
    let raw = tester.client();
    raw.publish("$O.modules.M.evil", Bytes::from(evil)).await.expect("published");
    tester.settled().await.expect("connected");
    let stored = tester.client().request("$JS.API.DIRECT.GET.OBJ_modules.$O.modules.M.evil", Bytes::new()).await;
    assert!(stored.is_ok_and(|message| message.payload.len() > 4), "it is stored, and may be looked at");
    raw.publish_with_reply("$JS.API.DIRECT.GET.OBJ_modules.$O.modules.M.evil", subject.clone(), Bytes::new())
        .await
        .expect("published");
    tester.settled().await.expect("connected");
    tokio::time::timeout(Duration::from_millis(500), commands.next()).await.expect_err("nothing of it is heard");
    let scheduler = pool.bus("scheduler").await.expect("let in");
    let envelope = scheduler.envelope(command(), Authority::default());
    scheduler.publish_with_reply(&subject, &scheduler.new_inbox(), &envelope).await.expect("published");
    let heard = tokio::time::timeout(Duration::from_secs(5), commands.next()).await.expect("in time").expect("heard");
    assert_eq!(heard.envelope.expect("decodable").source, "scheduler", "what the scheduler says is heard");
}

#[tokio::test]
async fn who_is_revoked_is_cut_off_within_five_seconds_and_the_others_stay() {
    let pool = Pool::start();
    let (anna, vera) = (pool.bus("tess").await.expect("let in"), pool.bus("vera").await.expect("let in"));
    let operator = pool.bus("operator").await.expect("let in");
    let before = vera.connections();
    admit(pool.folder.path(), |name| name != "tess");
    let begun = Instant::now();
    assert_eq!(operator.reload_servers().await.expect("it reads its configuration again").len(), 1);
    while anna.is_connected() {
        assert!(begun.elapsed() < Duration::from_secs(5), "still connected");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    eprintln!("cut off after {:?}", begun.elapsed());
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!anna.is_connected(), "and it does not come back");
    assert!(matches!(pool.bus("tess").await, Err(BusError::NotAdmitted { .. })));
    assert!(vera.is_connected() && vera.connections() == before, "the others notice nothing");
}

#[tokio::test]
async fn a_rotated_key_counts_from_the_next_connection_on() {
    let pool = Pool::start();
    let (tess, operator) = (pool.bus("tess").await.expect("let in"), pool.bus("operator").await.expect("let in"));
    let before = tess.connections();
    Credentials::make(&key(pool.folder.path(), "tess"), "user/tess".parse().expect("valid")).expect("made again");
    admit(pool.folder.path(), |_| true);
    operator.reload_servers().await.expect("it reads its configuration again");
    let begun = Instant::now();
    while !(tess.is_connected() && tess.connections() > before) {
        assert!(begun.elapsed() < Duration::from_secs(20), "it comes back with its new key");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn without_a_key_nobody_comes_in_and_with_one_nobody_trusts_an_open_server() {
    let pool = Pool::start();
    let without = Bus::connect(&BusOptions::insecure_local(&pool.server.url(), "nobody")).await;
    assert!(matches!(without, Err(BusError::NotAdmitted { .. })), "{without:?}");
    let open = NatsServer::start().expect("nats-server starts");
    let access = Access::Credentials(Credentials::open(&key(pool.folder.path(), "vera")).expect("in order"));
    let trusting = Bus::connect(&BusOptions::new(&open.url(), "vera", access)).await;
    assert!(matches!(trusting, Err(BusError::Open { .. })), "{trusting:?}");
}

#[tokio::test]
async fn the_operator_hears_and_says_nothing_of_the_pool() {
    let pool = Pool::start();
    let mut operator = pool.client("operator");
    for subject in [
        "muster.v1.log.>",
        "muster.v1.svc.scheduler.command.user.ada",
        "$JS.API.STREAM.INFO.JOBS",
        "$SYS.REQ.SERVER.PING.CONNZ",
    ] {
        assert!(!operator.may_publish(subject).expect("answered"), "{subject}");
        assert!(!operator.may_subscribe(subject, "").expect("answered"), "{subject}");
    }
}
