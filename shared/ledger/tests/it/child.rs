//! A process of its own that leads: so that it can be killed, crash at a named point, or be stopped.
//!
//! The test binary runs itself with `child_main` and the variables below; without them `child_main` does nothing.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_bus::{Bus, RequestError};
use muster_model::CommandId;
use muster_proto::v1::Envelope;

use crate::harness::{DEADLINE, Instance, command_id, connect};
use crate::requests;

const URL: &str = "MUSTER_TEST_CHILD_URL";
const NAME: &str = "MUSTER_TEST_CHILD_NAME";

/// A child process; killed when dropped.
pub(crate) struct Process(Child);

impl Process {
    /// Starts an instance, that dies or stops at `crash_at` if that is said.
    pub(crate) fn start(url: &str, name: &str, crash_at: Option<&str>) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("our own path"));
        command.args(["child::child_main", "--exact", "--nocapture"]).env(URL, url).env(NAME, name);
        command.env_remove("MUSTER_CRASH_AT").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(point) = crash_at {
            command.env("MUSTER_CRASH_AT", point);
        }
        Self(command.spawn().expect("the child starts"))
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).expect("the child lives");
    }

    /// Whether it is stopped by a signal.
    pub(crate) fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).expect("the child lives");
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("our child").is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Leads, and answers requests, until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_main() {
    let (Ok(url), Ok(name)) = (std::env::var(URL), std::env::var(NAME)) else { return };
    let instance = Instance::start_serving(&connect(&url).await, &name, Arc::default());
    panic!("it ended: {:?}", instance.task.await);
}

/// Asks whichever child leads to add a token. None when the answer did not come in time.
pub(crate) async fn add(bus: &Bus, id: CommandId, token: u64) -> Option<Envelope> {
    let request = requests::request(bus, id, requests::add(token));
    match bus.request(&requests::commands(), &request, Duration::from_millis(700)).await {
        Ok(answer) => Some(answer),
        Err(RequestError::NoResponders { .. }) => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            None
        }
        Err(_) => None,
    }
}

/// Adds `tokens` one after the other, each again with the same id until it is answered. Returns the terms of the answers.
pub(crate) async fn add_all(bus: &Bus, tokens: std::ops::Range<u64>) -> BTreeMap<u64, u64> {
    let mut answers = BTreeMap::new();
    for token in tokens {
        let (id, start) = (command_id(), Instant::now());
        loop {
            if let Some(answer) = add(bus, id, token).await {
                answers.insert(token, answer.term);
                break;
            }
            assert!(start.elapsed() < DEADLINE, "token {token} was not taken in time");
        }
    }
    answers
}
