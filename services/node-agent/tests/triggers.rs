//! Triggers on one machine, over a real bus: what is armed acts once for each firing, for its own epoch and holder alone, and not
//! again after the agent was killed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use common::{Script, World, at, machine};
use muster_bus::{Authority, subjects};
use muster_model::TriggerNumber;
use muster_proto::v1::{self, TriggerAction, TriggerOutcome, envelope::Body};

const NUMBER: u8 = 3;

fn arm(action: TriggerAction, argument: &str, epoch: u64) -> v1::TriggerArm {
    v1::TriggerArm {
        armed: Some(at(6)),
        number: NUMBER.into(),
        epoch,
        action: action.into(),
        argument: argument.into(),
        ..Default::default()
    }
}

/// An agent with a policy, whose magic SysRq is a file.
struct Armed {
    world: World,
    keys: PathBuf,
}

impl Armed {
    async fn new(policy: &str) -> Self {
        let mut world = World::new().await;
        let keys = world.home.path().join("sysrq");
        std::fs::write(&keys, "").unwrap();
        let text = format!("sysrq_trigger = \"{}\"\npacket_to = \"127.0.0.1:9\"\n{policy}", keys.display());
        let path = world.home.path().join("triggers.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        world.start_agent();
        world.wait_up().await;
        Self { world, keys }
    }

    /// Kills the agent and starts it again, until it is greeted.
    async fn restart(&mut self) {
        self.world.kill_agent();
        self.world.start_agent();
        self.world
            .wait("the new agent is greeted", |script| script.heartbeats.last().is_some_and(|last| last.0 == 2))
            .await;
    }

    async fn arm(&self, arms: Vec<v1::TriggerArm>) {
        let builds_on = self.world.script().jobs.generation.unwrap();
        let generation = at(builds_on.sequence + 1);
        {
            let mut script = self.world.script();
            script.jobs.generation = Some(generation);
            script.jobs.arms.clone_from(&arms);
        }
        let update =
            v1::UpdateJobs { builds_on: Some(builds_on), generation: Some(generation), arms, ..Default::default() };
        let kind = v1::agent_command::Kind::UpdateJobs(update);
        let reply = self.world.command("scheduler/a", "jobs", kind, self.world.authority(1)).await;
        assert_eq!(reply.refusal(), v1::AgentRefusal::Unspecified, "{reply:?}");
    }

    /// A person fires.
    async fn fire(&self, firing: u8, age: Duration) {
        self.fire_as(firing, age, 0).await;
    }

    async fn fire_as(&self, firing: u8, age: Duration, reservation: u64) {
        let fired = v1::TriggerFired {
            firing: vec![firing; 16].into(),
            number: NUMBER.into(),
            actor: "user:test".into(),
            fired_ns: (self.world.bus.now() - age).0,
            reservation,
            ..Default::default()
        };
        let envelope = self.world.bus.envelope(Body::EdgeFired(fired), Authority::default());
        self.world.bus.publish(&subjects::trigger_edge(TriggerNumber(NUMBER), None), &envelope).await.unwrap();
        self.world.bus.settled().await.unwrap();
    }

    fn keys(&self) -> String {
        std::fs::read_to_string(&self.keys).unwrap()
    }

    /// Waits for what is said of a firing.
    async fn outcome(&self, firing: u8) -> v1::TriggerActed {
        self.world.wait("what became of the firing is said", |script| !said(script, firing).is_empty()).await;
        let script = self.world.script();
        let said = said(&script, firing);
        assert_eq!(said.len(), 1, "it is said once: {said:?}");
        said[0].clone()
    }
}

fn said(script: &Script, firing: u8) -> Vec<v1::TriggerActed> {
    let acted = script.reports.iter().filter_map(|report| match &report.kind {
        Some(v1::report::Kind::TriggerActed(acted)) if *acted.firing == [firing; 16] => Some(acted.clone()),
        _ => None,
    });
    acted.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firing_acts_once_whatever_happens_between() {
    let mut armed = Armed::new("sysrq = \"wt\"").await;
    armed.arm(vec![arm(TriggerAction::Sysrq, "w", 1)]).await;
    armed.fire(1, Duration::ZERO).await;
    let acted = armed.outcome(1).await;
    assert_eq!((acted.outcome(), acted.machine.as_str()), (TriggerOutcome::Acted, machine().as_str()), "{acted:?}");
    assert!(acted.latency_ns > 0 && acted.latency_ns < 2_000_000_000, "{}", acted.latency_ns);
    armed.fire(1, Duration::ZERO).await;
    armed.fire(2, Duration::ZERO).await;
    armed.outcome(2).await;
    assert_eq!(armed.keys(), "ww", "the second message of the first firing did nothing");
    armed.restart().await;
    // The scripted scheduler says the arm again in its answer to the hello.
    armed.fire(1, Duration::ZERO).await;
    armed.fire(3, Duration::ZERO).await;
    armed.outcome(3).await;
    assert_eq!(armed.keys(), "www", "what it did before it was killed is not done again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_crashed_does_not_crash_again_when_it_is_back() {
    let mut armed = Armed::new("crash = true").await;
    armed.arm(vec![arm(TriggerAction::Crash, "", 1)]).await;
    armed.fire(1, Duration::ZERO).await;
    armed.outcome(1).await;
    armed.restart().await;
    armed.fire(2, Duration::ZERO).await;
    let anew = v1::TriggerArm { armed: Some(at(9)), ..arm(TriggerAction::Sysrq, "w", 1) };
    armed.arm(vec![anew]).await;
    armed.fire(3, Duration::ZERO).await;
    let acted = armed.outcome(3).await;
    assert_eq!(acted.outcome(), TriggerOutcome::Forbidden, "the key is not permitted: {acted:?}");
    assert_eq!(armed.keys(), "c");
    assert!(said(&armed.world.script(), 2).is_empty(), "it had disarmed itself");
}

/// Files of crashes that were kept: name, firing and size.
fn kept(script: &Script) -> Vec<(String, Vec<u8>, u64)> {
    let kept = script.reports.iter().filter_map(|report| match &report.kind {
        Some(v1::report::Kind::Artifact(stored)) if stored.id.is_none() => {
            let name = stored.path.rsplit('/').next().unwrap_or_default().to_owned();
            Some((name, stored.firing.to_vec(), stored.size_bytes))
        }
        _ => None,
    });
    kept.collect()
}

/// What was said of those that stay on the machine.
fn left(script: &Script) -> Vec<String> {
    let left = script.reports.iter().filter_map(|report| match &report.kind {
        Some(v1::report::Kind::Error(error)) if error.id.is_none() => Some(error.message.clone()),
        _ => None,
    });
    left.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_is_kept_with_its_firing_and_once() {
    let mut armed = Armed::new("crash = true").await;
    let directory = armed.world.home.path().join("crash");
    let put = |name: &str, content: &[u8]| {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    // Nobody fired yet: a crash of its own accord.
    put("dmesg-efi-1", b"of its own accord");
    armed.world.wait("the first is kept", |script| kept(script).len() == 1).await;
    assert_eq!(kept(&armed.world.script()), [("dmesg-efi-1".to_owned(), vec![], 17)]);

    armed.arm(vec![arm(TriggerAction::Crash, "", 1)]).await;
    armed.fire(1, Duration::ZERO).await;
    armed.outcome(1).await;
    put("202611300128/vmcore", b"the memory");
    put("202611300128/vmcore-incomplete", b"not yet");
    put("202611300129/vmcore", &[7; 2_000]);
    armed.world.wait("both are told", |script| kept(script).len() == 2 && !left(script).is_empty()).await;
    let files = kept(&armed.world.script());
    let messages = left(&armed.world.script());
    assert_eq!(files[1], ("vmcore".to_owned(), vec![1; 16], 10));
    assert!(messages[0].contains("202611300129/vmcore: it is larger than 1000 bytes"), "{messages:?}");
    let names = armed.world.bus.list_objects(muster_bus::Bucket::Artifacts).await.unwrap();
    let of_crash = format!("crash/node-1/{}/", "01".repeat(16));
    assert!(
        names.iter().any(|name| name.starts_with(&of_crash) && name.ends_with("-202611300128-vmcore")),
        "{names:?}"
    );

    // What is known stays known; what is left by the next one is the only news.
    armed.restart().await;
    put("202611300130/vmcore", b"again");
    armed.world.wait("the next is kept", |script| kept(script).len() > 2).await;
    let files = kept(&armed.world.script());
    let messages = left(&armed.world.script());
    assert_eq!((files.len(), messages.len()), (3, 1), "{files:?} {messages:?}");
    assert_eq!(files[2], ("vmcore".to_owned(), vec![1; 16], 5), "it is still the boot of that crash");
}

#[tokio::test(flavor = "multi_thread")]
async fn late_firings_other_holders_and_old_epochs_move_nothing() {
    let armed = Armed::new("sysrq = \"w\"").await;
    armed.arm(vec![arm(TriggerAction::Sysrq, "w", 1)]).await;
    armed.fire_as(1, Duration::ZERO, 7).await;
    armed.fire(2, Duration::from_secs(3)).await;
    let missed = armed.outcome(2).await;
    assert_eq!(missed.outcome(), TriggerOutcome::Missed, "{missed:?}");
    assert!(missed.latency_ns > 2_000_000_000, "{}", missed.latency_ns);
    armed.arm(vec![arm(TriggerAction::Sysrq, "w", 0)]).await;
    armed.fire(3, Duration::ZERO).await;
    armed.arm(vec![arm(TriggerAction::Sysrq, "w", 1)]).await;
    armed.fire(4, Duration::ZERO).await;
    armed.outcome(4).await;
    assert_eq!(armed.keys(), "w", "only the last");
    let script = armed.world.script();
    assert!(said(&script, 1).is_empty() && said(&script, 3).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_the_policy_runs_without_a_shell() {
    let policy = "[command.note]\nprogram = \"/bin/sh\"\narguments = [\"-c\", \"echo $MUSTER_TRIGGER >> OUT\"]\n\
        [command.bad]\nprogram = \"/bin/false\"\n";
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let armed = Armed::new(&policy.replace("OUT", &out.to_string_lossy())).await;
    armed.arm(vec![arm(TriggerAction::Command, "note", 1)]).await;
    armed.fire(1, Duration::ZERO).await;
    assert_eq!(armed.outcome(1).await.outcome(), TriggerOutcome::Acted);
    assert_eq!(std::fs::read_to_string(out).unwrap(), "3\n");
    armed.arm(vec![arm(TriggerAction::Command, "bad", 1)]).await;
    armed.fire(2, Duration::ZERO).await;
    assert_eq!(armed.outcome(2).await.outcome(), TriggerOutcome::Failed);
    armed.arm(vec![arm(TriggerAction::Command, "other", 1)]).await;
    armed.fire(3, Duration::ZERO).await;
    assert_eq!(armed.outcome(3).await.outcome(), TriggerOutcome::Forbidden);
    armed.arm(vec![arm(TriggerAction::Packet, "", 1)]).await;
    armed.fire(4, Duration::ZERO).await;
    assert_eq!(armed.outcome(4).await.outcome(), TriggerOutcome::Acted);
    let heartbeats = &armed.world.script().heartbeats;
    let said = heartbeats.last().unwrap().1.trigger_policy.clone().unwrap();
    assert_eq!(said.commands, ["bad", "note"], "the scheduler hears what is permitted");
}

/// Starts a process that asks for a crash of its machine.
async fn start_crashing(armed: &Armed) {
    let module = armed.world.ping_module().await;
    let reply = armed.world.update(vec![common::orders(&module, 1, 1..=1, &[("crash", "1")])], vec![]).await;
    assert_eq!(reply.refusal(), v1::AgentRefusal::Unspecified, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_started_to_crash_its_machine_does_so_once() {
    let armed = Armed::new("crash = true").await;
    start_crashing(&armed).await;
    let acted = |script: &Script| {
        let acted = script.reports.iter().filter_map(|report| match &report.kind {
            Some(v1::report::Kind::TriggerActed(acted)) => Some(acted.clone()),
            _ => None,
        });
        acted.collect::<Vec<_>>()
    };
    armed.world.wait("it is said", |script| !acted(script).is_empty()).await;
    let acted = acted(&armed.world.script());
    assert_eq!((acted.len(), acted[0].outcome(), acted[0].action()), (1, TriggerOutcome::Acted, TriggerAction::Crash));
    let script = armed.world.script();
    let fired = script.reports.iter().find_map(|report| match &report.kind {
        Some(v1::report::Kind::TriggerFired(fired)) => Some(fired.clone()),
        _ => None,
    });
    let fired = fired.expect("it is kept as a firing");
    assert_eq!((fired.firing, fired.note.as_str()), (acted[0].firing.clone(), "crash on error: wrong data"));
    assert_eq!(armed.keys(), "c");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_told_why_its_machine_does_not_crash() {
    let armed = Armed::new("").await;
    start_crashing(&armed).await;
    let heard = armed.world.work(common::id(1, 1)).join("heard");
    let text = || std::fs::read_to_string(&heard).unwrap_or_default();
    muster_testkit::wait_until("it is told", common::LIMIT, || !text().is_empty()).unwrap();
    assert!(text().contains("the machine's policy file does not permit it"), "{}", text());
    assert_eq!(armed.keys(), "");
}
