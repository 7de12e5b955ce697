//! The ssh key of who holds a machine: there while they do, gone after, whatever becomes of the agent meanwhile.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::{LIMIT, World};
use muster_proto::v1;
use muster_testkit::until;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFn3FcEJ5bNVDaLEqkGjB7Lk2qVq4K4H3cM0gT5E5e5y anna";
const HOUR_NS: i64 = 3_600_000_000_000;

struct Login {
    world: World,
    home: PathBuf,
    drop_in: PathBuf,
}

impl Login {
    async fn new() -> Self {
        let world = World::new().await;
        let home = world.home.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let drop_in = world.home.path().join("10-muster.conf");
        Self { world, home, drop_in }
    }

    fn start(&mut self, keys: bool) {
        let pid = self.world.home.path().join("no-sshd.pid");
        let mut more = vec!["--ssh-admins-only".into(), "lab-admins".into()];
        more.extend(["--sshd-drop-in".into(), self.drop_in.display().to_string()]);
        more.extend(["--sshd-pid".into(), pid.display().to_string()]);
        if keys {
            let own = Command::new("id").arg("-un").output().unwrap().stdout;
            let own = String::from_utf8(own).unwrap().trim().to_owned();
            more.extend(["--allow-ssh-keys".into(), own, "--ssh-home".into(), self.home.display().to_string()]);
        }
        self.world.start_agent_with(&more);
    }

    fn hold(&self, deadline_ns: i64) {
        let holder = v1::Holder { reservation: 3, user: "user:anna".into(), deadline_ns, ssh_key: KEY.into() };
        self.world.script().machine.holder = Some(holder);
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.home.join(".ssh/authorized_keys")).unwrap_or_default()
    }

    async fn wait_key(&self, is_there: bool) {
        let what = if is_there { "the key is there" } else { "the key is gone" };
        until(what, LIMIT, async || Ok(self.text()), |text| text.contains(KEY) == is_there).await.unwrap();
    }

    async fn wait_told(&self, words: &str) {
        let told = |script: &common::Script| {
            script.heartbeats.last().is_some_and(|(_, heartbeat)| heartbeat.ssh_key.contains(words))
        };
        self.world.wait(words, told).await;
    }

    fn is_for_admins_only(&self) -> bool {
        std::fs::read_to_string(&self.drop_in).unwrap_or_default().contains("AllowGroups lab-admins")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holders_key_comes_and_goes_with_the_machine() {
    let mut login = Login::new().await;
    login.start(true);
    login.world.wait_up().await;
    until("only administrators log in", LIMIT, async || Ok(login.is_for_admins_only()), |only| *only).await.unwrap();
    login.world.kill_agent();
    login.hold(login.world.bus.now().0 + HOUR_NS);
    login.start(true);
    login.wait_key(true).await;
    login.wait_told("installed for").await;
    assert!(!login.is_for_admins_only(), "who holds it logs in");

    // Killed, and told when it comes back that the machine is the pool's.
    login.world.kill_agent();
    {
        let mut script = login.world.script();
        script.machine.holder = None;
        script.machine.epoch += 1;
    }
    login.start(true);
    login.wait_key(false).await;
    until("only administrators log in", LIMIT, async || Ok(login.is_for_admins_only()), |only| *only).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_time_is_over_goes_when_the_agent_starts_and_nobody_answers() {
    let mut login = Login::new().await;
    let deadline_ns = login.world.bus.now().0 + 12_000_000_000;
    login.hold(deadline_ns);
    login.start(true);
    login.wait_key(true).await;
    login.world.kill_agent();
    let bus = &login.world.bus;
    until("its deadline passes", LIMIT, async || Ok(bus.now().0), |now| *now > deadline_ns).await.unwrap();
    assert!(login.text().contains(KEY), "nobody was there to remove it");
    login.world.script().answering = false;
    login.start(true);
    login.wait_key(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_leave_a_key_is_refused_and_that_is_told() {
    let mut login = Login::new().await;
    login.hold(login.world.bus.now().0 + HOUR_NS);
    login.start(false);
    login.wait_told("refused: the agent has no leave").await;
    assert!(!login.home.join(".ssh").exists());
}
