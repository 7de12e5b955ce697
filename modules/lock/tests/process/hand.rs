//! Processes of the built program, run by hand: what they say, as they say it.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use muster_model::{Dpid, JobNumber, ProcessNumber};
use muster_module_protocol::{Corruption, ModuleMessage, Outcome, Status, decode_line};
use muster_module_testkit::{Done, by_hand};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at processes that say nothing.
const STEP: Duration = Duration::from_millis(20);
pub(crate) const SERVER: &str = "server";
pub(crate) const CLIENT: &str = "client";

/// Where the processes of a test meet, and what all of them are given.
pub(crate) struct Gang {
    pub(crate) directory: tempfile::TempDir,
    place: String,
    parameters: Vec<String>,
}

#[derive(Default)]
struct Said {
    messages: Mutex<(Vec<ModuleMessage>, bool)>,
    changed: Condvar,
}

/// A process.
pub(crate) struct Process {
    child: Child,
    said: Arc<Said>,
    pub(crate) results: PathBuf,
}

impl Gang {
    pub(crate) fn new(parameters: &[&str]) -> Self {
        // The port is free again by the time that the server opens it.
        let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
        let parameters = parameters.iter().map(|text| (*text).to_owned()).collect();
        Self { directory: tempfile::tempdir().expect("directory"), place: free.to_string(), parameters }
    }

    /// Over fcntl locks of a directory of its own.
    pub(crate) fn by_files(parameters: &[&str]) -> Self {
        let mut gang = Self::new(parameters);
        std::fs::create_dir(gang.shared()).expect("directory");
        gang.parameters.push("over=fcntl".into());
        gang.parameters.push(format!("directory={}", gang.shared().display()));
        gang
    }

    /// The place where the server would listen.
    pub(crate) fn listen(&self) -> UdpSocket {
        let socket = UdpSocket::bind(&self.place).expect("listen");
        socket.set_read_timeout(Some(PATIENCE)).expect("an option");
        socket
    }

    pub(crate) fn shared(&self) -> PathBuf {
        self.directory.path().join("shared")
    }

    pub(crate) fn start(&self, role: &str, more: &[&str]) -> Process {
        let results =
            tempfile::Builder::new().prefix(role).tempdir_in(self.directory.path()).expect("directory").keep();
        let parameters: Vec<&str> = self.parameters.iter().map(String::as_str).collect();
        let mut command = by_hand(env!("CARGO_BIN_EXE_muster-lock"), &parameters);
        command.args(["--role", role, "--peer", &self.place, "--seed", "abc"]);
        command.arg("--results").arg(&results);
        for text in more {
            if text.starts_with("--") {
                command.arg(text)
            } else {
                command.args(["--param", text])
            };
        }
        let mut child = command.current_dir(&results).stdout(Stdio::piped()).spawn().expect("start the program");
        let said = Arc::new(Said::default());
        let (lines, heard) = (BufReader::new(child.stdout.take().expect("stdout")), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let message = decode_line(line.as_bytes()).expect("a message").expect("a known type");
                heard.messages.lock().expect("lock").0.push(message);
                heard.changed.notify_all();
            }
            heard.messages.lock().expect("lock").1 = true;
            heard.changed.notify_all();
        });
        Process { child, said, results }
    }
}

impl Process {
    /// By hand, the process number is its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As people know it.
    pub(crate) fn dpid(&self) -> String {
        dpid(self.child.id())
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill").success());
    }

    /// What it has said, and whether that is all.
    fn heard(&self) -> MutexGuard<'_, (Vec<ModuleMessage>, bool)> {
        self.said.messages.lock().expect("lock")
    }

    /// Stops it, where it has not ended by itself.
    pub(crate) fn end_in_order(&mut self) {
        if self.child.try_wait().expect("a child").is_none() {
            self.signal("TERM");
        }
    }

    /// Waits until it has said what is looked for, or says no more.
    pub(crate) fn wait<T>(&self, what: &str, look: impl Fn(&[ModuleMessage]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut messages = self.heard();
        loop {
            if let Some(found) = look(&messages.0) {
                return found;
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            assert!(!rest.is_zero() && !messages.1, "it did not say {what}: {:?}", messages.0);
            messages = self.said.changed.wait_timeout(messages, rest).expect("lock").0;
        }
    }

    /// Waits until a counter has risen above a value.
    pub(crate) fn wait_counter(&self, name: &str, above: f64) {
        self.wait(name, |said| {
            said.iter().find_map(|message| match message {
                ModuleMessage::Metric { counters, .. } if counters[name] > above => Some(()),
                _ => None,
            })
        });
    }

    /// Waits for an event; its text.
    pub(crate) fn wait_event(&self, wanted: &str) -> String {
        self.wait(wanted, |said| events(said, wanted).into_iter().next())
    }

    /// Waits until it takes locks.
    pub(crate) fn wait_working(&self) {
        self.wait_counter("exclusive_locks", 0.0);
    }

    /// Waits until it takes more locks than it has told of.
    pub(crate) fn wait_going_on(&self) {
        let taken = |said: &[ModuleMessage]| {
            said.iter().rev().find_map(|message| match message {
                ModuleMessage::Metric { counters, .. } => Some(counters["exclusive_locks"]),
                _ => None,
            })
        };
        self.wait_counter("exclusive_locks", self.wait("a metric", taken));
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> Done {
        let deadline = Instant::now() + PATIENCE;
        let mut messages = self.heard();
        while !messages.1 {
            let rest = deadline.saturating_duration_since(Instant::now());
            assert!(!rest.is_zero(), "it does not end: {:?}", messages.0.last());
            messages = self.said.changed.wait_timeout(messages, rest).expect("lock").0;
        }
        let said = messages.0.clone();
        drop(messages);
        Done::said(self.child.wait().expect("exit").code(), said, String::new())
    }

    /// Its end, which is a pass with locks taken, and nothing wrong found.
    pub(crate) fn passed(&mut self) -> Done {
        let done = self.end();
        assert_eq!((done.code, done.status, done.result), (Some(0), Status::Complete, Outcome::Pass), "{done:?}");
        assert!(corruptions(&done.messages).is_empty(), "{done:?}");
        assert!(done.totals["exclusive_locks"] > 0.0 && done.totals["errors"] < 0.5, "{done:?}");
        done
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until one of two has said what is looked for; which of them.
pub(crate) fn first(what: &str, processes: [&Process; 2], look: impl Fn(&[ModuleMessage]) -> bool) -> usize {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Before they are looked at: who has ended by then says no more.
        let over = processes.iter().all(|process| process.heard().1);
        if let Some(found) = processes.iter().position(|process| look(&process.heard().0)) {
            return found;
        }
        let last = || processes.map(|process| process.heard().0.last().cloned());
        assert!(!over && Instant::now() < deadline, "none of them said {what}, but last {:?}", last());
        let wait = processes[0].said.changed.wait_timeout(processes[0].heard(), STEP);
        drop(wait.expect("lock"));
    }
}

pub(crate) fn corruptions(said: &[ModuleMessage]) -> Vec<Corruption> {
    let of = |message: &ModuleMessage| match message {
        ModuleMessage::Corruption(corruption) => Some(corruption.clone()),
        _ => None,
    };
    said.iter().filter_map(of).collect()
}

pub(crate) fn events(said: &[ModuleMessage], wanted: &str) -> Vec<String> {
    let of = |message: &ModuleMessage| match message {
        ModuleMessage::Event { name, text } if name == wanted => Some(text.clone()),
        _ => None,
    };
    said.iter().filter_map(of).collect()
}

/// A process that runs by hand, as people know it.
pub(crate) fn dpid(pid: u32) -> String {
    Dpid { job: JobNumber(0), process: ProcessNumber(pid) }.to_string()
}
