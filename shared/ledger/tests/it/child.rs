//! A process of its own that leads: so that it can be killed, crash at a named point, or be stopped.
//!
//! The test binary runs itself with `child_main` and the variables below; without them `child_main` does nothing.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use muster_bus::{Bus, RequestError, subjects};
use muster_model::CommandId;
use muster_proto::v1::Envelope;

use crate::counter::Input;
use crate::harness::{Instance, SERVICE, connect};

const URL: &str = "MUSTER_TEST_CHILD_URL";
const NAME: &str = "MUSTER_TEST_CHILD_NAME";

/// A child process; killed when dropped.
pub(crate) struct Process(Child);

impl Process {
    /// Starts an instance, that dies at `crash_at` if that is said.
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

/// Leads, and adds the token that stands in a request's `epoch` under the request's command id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_main() {
    let (Ok(url), Ok(name)) = (std::env::var(URL), std::env::var(NAME)) else { return };
    let bus = connect(&url).await;
    let instance = Instance::start(&bus, &name);
    loop {
        let (term, handle) = instance.leading().await;
        let mut requests = bus.subscribe(&subject(), None).await.expect("listening");
        while instance.leads() {
            let Ok(Some(request)) = tokio::time::timeout(Duration::from_millis(50), requests.next()).await else {
                continue;
            };
            let (handle, bus) = (handle.clone(), bus.clone());
            tokio::spawn(async move {
                let (Some(reply), Ok(envelope)) = (request.reply, request.envelope) else { return };
                let id = CommandId(envelope.cmd_id.as_ref().try_into().expect("16 bytes"));
                let Ok(answer) = handle.command(id, String::new(), Input::Add(envelope.epoch)).await else { return };
                let (sequence, term) = (answer.position.sequence.0, answer.term.0);
                let source = String::from_utf8_lossy(&answer.reply).into_owned();
                let envelope = Envelope { sequence, term, source, ..Envelope::default() };
                drop(bus.publish(&reply, &envelope).await);
            });
        }
        let _ = term;
    }
}

fn subject() -> String {
    subjects::service(SERVICE, "test")
}

/// Asks whichever child leads to add a token. None when the answer did not come in time.
pub(crate) async fn add(bus: &Bus, id: CommandId, token: u64) -> Option<Envelope> {
    let request =
        Envelope { cmd_id: Bytes::copy_from_slice(&id.0), epoch: token, source: "test".into(), ..Envelope::default() };
    match bus.request(&subject(), &request, Duration::from_millis(700)).await {
        Ok(answer) => Some(answer),
        Err(RequestError::NoResponders { .. }) => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            None
        }
        Err(_) => None,
    }
}
