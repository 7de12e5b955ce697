//! Two agents, played by the test over real sockets: each has a process of the built program, answers it as an agent does, and
//! carries its words to the other. Words are lost where there is nobody to hear them, as agents lose them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use muster_module_protocol::{
    AgentMessage, Context, ContextGang, ContextMember, Corruption, ModuleMessage, Outcome, Status, decode_line,
    encode_line,
};
use muster_module_testkit::Done;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const SERVER: usize = 0;
pub(crate) const CLIENT: usize = 1;
const ROLES: [&str; 2] = ["server", "client"];
const DPIDS: [&str; 2] = ["00010001", "00010002"];
const MACHINES: [&str; 2] = ["node-1", "node-2"];

/// How words are changed on their way.
pub(crate) type Rewrite = Box<dyn Fn(&str) -> String + Send + Sync>;

/// What both agents know.
struct Known {
    said: [Vec<ModuleMessage>; 2],
    connections: [Option<UnixStream>; 2],
}

struct Shared {
    known: Mutex<Known>,
    changed: Condvar,
    rewrite: Rewrite,
}

/// Two agents and their processes.
pub(crate) struct Pair {
    directory: tempfile::TempDir,
    shared: Arc<Shared>,
    boot_ids: [&'static str; 2],
    parameters: BTreeMap<String, String>,
    /// What comes first when data are wrong, of processes that are started from now on.
    pub(crate) on_error: String,
    children: [Option<Child>; 2],
}

impl Pair {
    pub(crate) fn start(parameters: &[&str]) -> Self {
        let mut pair = Self::agents(parameters, ["boot", "boot"], Box::new(str::to_owned));
        pair.start_process(SERVER, 1);
        pair.start_process(CLIENT, 1);
        pair
    }

    pub(crate) fn start_rewriting(parameters: &[&str], rewrite: Rewrite) -> Self {
        let mut pair = Self::agents(parameters, ["boot", "boot"], rewrite);
        pair.start_process(SERVER, 1);
        pair.start_process(CLIENT, 1);
        pair
    }

    /// Only the agents.
    pub(crate) fn agents(parameters: &[&str], boot_ids: [&'static str; 2], rewrite: Rewrite) -> Self {
        let known = Known { said: [Vec::new(), Vec::new()], connections: [None, None] };
        let shared = Arc::new(Shared { known: Mutex::new(known), changed: Condvar::new(), rewrite });
        let manifest = muster_module_testkit::manifest(include_str!("../../module.toml"));
        let parameters = muster_module_testkit::parameters(manifest, parameters);
        let directory = tempfile::tempdir().expect("directory");
        let pair = Self { directory, shared, boot_ids, parameters, on_error: String::new(), children: [None, None] };
        pair.start_agent(SERVER);
        pair.start_agent(CLIENT);
        pair
    }

    fn path(&self, role: usize, name: &str) -> PathBuf {
        self.directory.path().join(format!("{}-{name}", ROLES[role]))
    }

    pub(crate) fn results(&self, role: usize) -> PathBuf {
        self.path(role, "results")
    }

    /// Listens until the socket's file is gone, and a connection after that.
    pub(crate) fn start_agent(&self, role: usize) {
        let listener = UnixListener::bind(self.path(role, "socket")).expect("listen");
        let (shared, path) = (Arc::clone(&self.shared), self.path(role, "socket"));
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if !path.exists() {
                    return;
                }
                serve(&shared, role, stream);
            }
        });
    }

    /// The agent dies: its socket is gone, its connection ends.
    pub(crate) fn kill_agent(&self, role: usize) {
        let path = self.path(role, "socket");
        let last = UnixStream::connect(&path).expect("the agent listens");
        std::fs::remove_file(&path).expect("remove socket");
        drop(last);
        if let Some(connection) = self.shared.known.lock().expect("lock").connections[role].take() {
            connection.shutdown(std::net::Shutdown::Both).expect("end the connection");
        }
    }

    pub(crate) fn start_process(&mut self, role: usize, attempt: u32) {
        let (work, context) = (self.results(role), self.path(role, "context.json"));
        std::fs::create_dir_all(&work).expect("results");
        std::fs::write(&context, serde_json::to_vec(&self.context(role, attempt)).expect("json")).expect("context");
        let child = Command::new(crate::PROGRAM)
            .env("MUSTER_SOCKET", self.path(role, "socket"))
            .env("MUSTER_CONTEXT", context)
            .current_dir(&work)
            .stdout(Stdio::null())
            .spawn()
            .expect("start the program");
        self.children[role] = Some(child);
    }

    fn context(&self, role: usize, attempt: u32) -> Context {
        let members = [SERVER, CLIENT].map(|role| ContextMember {
            role: ROLES[role].to_owned(),
            dpid: DPIDS[role].to_owned(),
            machine: MACHINES[role].to_owned(),
        });
        let work = self.results(role).to_string_lossy().into_owned();
        Context {
            run: 7,
            job: 1,
            process: u32::try_from(role).expect("small") + 1,
            dpid: DPIDS[role].to_owned(),
            attempt,
            module: "tcp".into(),
            version: "0.1.0".into(),
            machine: MACHINES[role].to_owned(),
            boot_id: self.boot_ids[role].to_owned(),
            seed: "00000000000000ff".into(),
            parameters: self.parameters.clone(),
            resources: Vec::new(),
            gang: Some(ContextGang { number: 1, role: ROLES[role].to_owned(), members: members.into() }),
            on_error: self.on_error.clone(),
            work: work.clone(),
            state: work.clone(),
            results: work,
            pulses: Vec::new(),
            pulse_page: String::new(),
        }
    }

    pub(crate) fn say(&self, role: usize, message: &AgentMessage) {
        let known = self.shared.known.lock().expect("lock");
        let mut connection = known.connections[role].as_ref().expect("the process is connected");
        connection.write_all(&encode_line(message).expect("a line")).expect("write");
    }

    pub(crate) fn stop(&self, role: usize) {
        self.say(role, &AgentMessage::Stop { grace_ms: 15_000 });
    }

    /// Waits until a process has said what is looked for, and gives it.
    pub(crate) fn wait<T>(&self, role: usize, what: &str, look: impl Fn(&[ModuleMessage]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut known = self.shared.known.lock().expect("lock");
        loop {
            if let Some(found) = look(&known.said[role]) {
                return found;
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            assert!(!rest.is_zero(), "the {} did not say {what}: {:?}", ROLES[role], known.said[role].last());
            known = self.shared.changed.wait_timeout(known, rest).expect("lock").0;
        }
    }

    /// Waits until a counter of a process is above a value; the metric's gauges.
    pub(crate) fn wait_counter(&self, role: usize, name: &str, above: f64) -> BTreeMap<String, f64> {
        self.wait(role, name, |said| {
            said.iter().rev().find_map(|message| match message {
                ModuleMessage::Metric { counters, gauges, .. } if counters[name] > above => Some(gauges.clone()),
                _ => None,
            })
        })
    }

    pub(crate) fn wait_event(&self, role: usize, wanted: &str) -> String {
        self.wait(role, wanted, |said| {
            said.iter().find_map(|message| match message {
                ModuleMessage::Event { name, text } if name == wanted => Some(text.clone()),
                _ => None,
            })
        })
    }

    pub(crate) fn corruption(&self, role: usize) -> Corruption {
        self.wait(role, "corruption", |said| {
            said.iter().find_map(|message| match message {
                ModuleMessage::Corruption(corruption) => Some(corruption.clone()),
                _ => None,
            })
        })
    }

    /// Waits for the end of a process: its last word, and that its exit code goes with it.
    pub(crate) fn done(&mut self, role: usize) -> Done {
        let is_over = |said: &[ModuleMessage]| matches!(said.last(), Some(ModuleMessage::Done { .. }));
        let said = self.wait(role, "done", |said| is_over(said).then(|| said.to_vec()));
        let code = self.children[role].take().expect("it runs").wait().expect("exit").code();
        let done = Done::said(code, said, String::new());
        let expected = match (done.status, done.result) {
            (Status::Complete, Outcome::Fail) => 1,
            (Status::Error, _) => 2,
            _ => 0,
        };
        assert_eq!(done.code, Some(expected), "{done:?}");
        done
    }

    /// Both ends, once they are over. What one sent, the other has received and verified, to the packet.
    pub(crate) fn agreed_ends(&mut self) -> [Done; 2] {
        let ends = [self.done(SERVER), self.done(CLIENT)];
        for (one, other) in [(&ends[0], &ends[1]), (&ends[1], &ends[0])] {
            assert_eq!((one.status, one.result), (Status::Complete, Outcome::Pass), "{one:?}");
            for (sent, received) in [("sent_packets", "received_packets"), ("sent_bytes", "verified_bytes")] {
                assert!((one.totals[sent] - other.totals[received]).abs() < 0.5, "{sent}: {one:?} {other:?}");
            }
        }
        ends
    }

    pub(crate) fn kill_process(&mut self, role: usize) {
        let mut child = self.children[role].take().expect("it runs");
        child.kill().expect("kill");
        child.wait().expect("exit");
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for child in self.children.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Answers one connection of a process, until it ends.
fn serve(shared: &Arc<Shared>, role: usize, stream: UnixStream) {
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        let lines = BufReader::new(stream.try_clone().expect("clone"));
        for line in lines.split(b'\n').map_while(Result::ok) {
            let message: ModuleMessage = decode_line(&line).expect("a message").expect("a known type");
            let mut known = shared.known.lock().expect("lock");
            match &message {
                ModuleMessage::Hello { dpid, .. } => {
                    assert_eq!(dpid, DPIDS[role]);
                    known.connections[role] = Some(stream.try_clone().expect("clone"));
                    answer(&known, role, &AgentMessage::Start);
                }
                ModuleMessage::Peer { to, data } => {
                    assert_eq!(to, ROLES[1 - role]);
                    let data = (shared.rewrite)(data);
                    let words = AgentMessage::Peer { from: ROLES[role].into(), dpid: DPIDS[role].into(), data };
                    answer(&known, 1 - role, &words);
                }
                ModuleMessage::Done { .. } => answer(&known, role, &AgentMessage::Kept),
                _ => {}
            }
            known.said[role].push(message);
            shared.changed.notify_all();
        }
    });
}

/// Words for a process that is not connected are lost.
fn answer(known: &Known, role: usize, message: &AgentMessage) {
    if let Some(mut connection) = known.connections[role].as_ref() {
        let _ = connection.write_all(&encode_line(message).expect("a line"));
    }
}
