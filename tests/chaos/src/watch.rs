//! The processes of a lab as the operating system has them: test processes, parts, and how large those are.
//!
//! Everything is found by its environment, which it can not lose: nobody is believed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use muster_model::{Attempt, Dpid, ProcessId, RunId};
use muster_module_protocol::environment;
use muster_testkit::resident_bytes;

use crate::facts::{Life, Size, Started};
use crate::history::History;

/// Between two looks at the processes: shorter than any of them lives.
const LOOK: Duration = Duration::from_millis(300);
/// Between two measurements of the parts, in looks.
const MEASURE_EVERY: u32 = 10;
/// Program of keepers.
const KEEPER: &str = "muster-keeper";

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    started: BTreeSet<Started>,
    lives: BTreeMap<(String, u32), Vec<Size>>,
}

/// Looks at a lab's processes until it is ended.
#[derive(Debug)]
pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Begins to look.
    pub(crate) fn begin(directory: &Path, history: Arc<History>) -> Self {
        let (seen, over) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let (shared, ended, directory) = (Arc::clone(&seen), Arc::clone(&over), directory.to_owned());
        let thread = std::thread::spawn(move || look(&directory, &history, &shared, &ended));
        Self { seen, over, thread }
    }

    /// Every test process that was seen, and every life of a part.
    pub(crate) fn end(self) -> (BTreeSet<Started>, Vec<Life>) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("looking does not panic");
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        let lives = seen.lives.into_iter().map(|((part, pid), sizes)| Life { part, pid, sizes });
        (seen.started, lives.collect())
    }
}

fn look(directory: &Path, history: &History, seen: &Mutex<Seen>, over: &AtomicBool) {
    let mut looks = 0_u32;
    while !over.load(Ordering::Relaxed) {
        let members = members(directory);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        for started in members.iter().filter_map(Member::test) {
            if seen.started.insert(started) {
                let Started { id, machine, pid, .. } = started;
                history.note(format!("{id} is seen on node-{machine}, pid {pid}"));
            }
        }
        if looks.is_multiple_of(MEASURE_EVERY) {
            for member in &members {
                let Some((part, size)) = member.part().zip(measure(member.pid, history.now())) else { continue };
                seen.lives.entry((part, member.pid)).or_default().push(size);
            }
        }
        drop(seen);
        looks += 1;
        std::thread::sleep(LOOK);
    }
}

/// Test processes that run now.
pub(crate) fn tests(directory: &Path) -> BTreeSet<Started> {
    members(directory).iter().filter_map(Member::test).collect()
}

/// OS process id of the keeper of a machine.
pub(crate) fn keeper(directory: &Path, machine: &str) -> Option<u32> {
    let named = format!("{KEEPER} {machine}");
    members(directory).iter().find(|member| member.part().as_ref() == Some(&named)).map(|member| member.pid)
}

/// A process of a lab.
struct Member {
    pid: u32,
    ticks: u64,
    environment: BTreeMap<String, String>,
    /// File name of its program.
    program: String,
    arguments: Vec<String>,
}

fn members(directory: &Path) -> Vec<Member> {
    let lab = format!("{}/", directory.display());
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
    pids.filter_map(|pid| member(pid, &lab)).collect()
}

/// A process, where it is one of this lab: its parts have the lab's folder in their environment, nats-server one below it.
fn member(pid: u32, lab: &str) -> Option<Member> {
    let words = |file: &str| {
        let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let words = bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        words.collect::<Vec<String>>()
    };
    let variables = words("environ").into_iter().filter_map(|variable| {
        let (name, value) = variable.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    let environment: BTreeMap<String, String> = variables.collect();
    environment.get("MUSTER_LAB").filter(|named| named.starts_with(lab))?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let (state, ticks) = (*fields.first()?, fields.get(19)?.parse().ok()?);
    let arguments = words("cmdline");
    let program = PathBuf::from(arguments.first()?).file_name()?.to_string_lossy().into_owned();
    (state != "Z").then_some(Member { pid, ticks, environment, program, arguments })
}

impl Member {
    /// The test process that it is, if it is one.
    fn test(&self) -> Option<Started> {
        let value = |name: &str| self.environment.get(name);
        let number = |name: &str| value(name)?.parse::<u32>().ok();
        let dpid: Dpid = value(environment::DPID)?.parse().ok()?;
        let id =
            ProcessId { run: RunId(number(environment::RUN)?), dpid, attempt: Attempt(number(environment::ATTEMPT)?) };
        let machine = machine_number(value(environment::MACHINE)?)?;
        Some(Started { id, machine, pid: self.pid, ticks: self.ticks })
    }

    /// The part that it is, if it is one.
    fn part(&self) -> Option<String> {
        if self.environment.contains_key(environment::DPID) {
            return None;
        }
        let of = self.environment.get("MUSTER_INSTANCE").cloned().or_else(|| self.machine());
        of.map(|of| format!("{} {of}", self.program)).or_else(|| Some(self.program.clone()))
    }

    /// The machine of an agent or a keeper: its state directory is `<lab>/<machine>/state`.
    fn machine(&self) -> Option<String> {
        let state = self.arguments.iter().skip_while(|argument| *argument != "--state").nth(1)?;
        Some(Path::new(state).parent()?.file_name()?.to_string_lossy().into_owned())
    }
}

/// Number of a lab's machine.
pub(crate) fn machine_number(name: &str) -> Option<u32> {
    name.strip_prefix("node-")?.parse().ok()
}

fn measure(pid: u32, at: Duration) -> Option<Size> {
    let resident = resident_bytes(pid)?;
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    Some(Size { at, resident, descriptors })
}
