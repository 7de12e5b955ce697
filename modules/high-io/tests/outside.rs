//! Corruption from outside, much of it: files of several running processes are changed behind their backs, and each change is
//! reported exactly once, with its place, its class and its owner, and nothing else is.
//!
//! A process is held (SIGSTOP) while its file is changed, in the middle of writing a pass: what it has written of that pass it
//! reads exactly once later. So nothing is left to chance, and nothing has to be tried again until it is found.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use muster_model::{Dpid, JobNumber, ProcessNumber};
use muster_module_protocol::{ModuleMessage, Outcome, decode_line};
use muster_pattern::{Expectation, SECTOR_BYTES, decode_header, scramble, verify};

const PATIENCE: Duration = Duration::from_secs(60);
const PROCESSES: usize = 4;
const BLOCK_BYTES: usize = 4096;
const BLOCK_SECTORS: usize = BLOCK_BYTES / SECTOR_BYTES;
/// Changes of one file while its process is held.
const CHANGES_AT_ONCE: usize = 8;
/// Changes in all, where the soak does not ask for more.
const CHANGES_DEFAULT: usize = 64;

type Sector = [u8; SECTOR_BYTES];
/// Offset, class, and DPID of the owner where it is another.
type Told = (u64, String, String);

/// What is done to a sector.
#[derive(Debug, Clone, Copy)]
enum Change {
    Bit,
    Zeros,
    OfAnother,
    Older,
    Shifted,
    Torn,
    OfElsewhere,
}

impl Change {
    const ALL: [Self; 7] =
        [Self::Bit, Self::Zeros, Self::OfAnother, Self::Older, Self::Shifted, Self::Torn, Self::OfElsewhere];

    fn class(self) -> &'static str {
        match self {
            Self::Bit => "BITFLIP",
            Self::Zeros => "ZERO",
            Self::OfAnother => "FOREIGN",
            Self::Older => "STALE",
            Self::Shifted => "SHIFTED",
            Self::Torn => "TORN",
            Self::OfElsewhere => "MISDIRECTED",
        }
    }
}

/// A process and its file.
struct Victim {
    child: Child,
    file: File,
    messages: Receiver<ModuleMessage>,
    /// An earlier state of the file, with sound sectors of older passes.
    older: Vec<u8>,
    changed: Vec<Told>,
    told: Vec<Told>,
}

/// What a file holds while its process is held in the middle of writing a pass.
struct Held {
    content: Vec<u8>,
    /// Blocks of the pass that is being written.
    written: Vec<usize>,
}

/// Another process, from whose file sectors are taken.
struct Other {
    content: Vec<u8>,
    process: u32,
    dpid: String,
}

impl Victim {
    fn start(directory: &Path, number: usize) -> Self {
        let (disk, results) = (directory.join(format!("disk-{number}")), directory.join(format!("results-{number}")));
        fs::create_dir_all(&disk).expect("disk");
        fs::create_dir_all(&results).expect("results");
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster-high-io"));
        command.env_remove("MUSTER_SOCKET").arg("--disk").arg(&disk).arg("--results").arg(results);
        let engine = ["engine=pread", "engine=auto"][number % 2];
        let access = ["access=random", "access=sequential"][number / 2 % 2];
        let parameters = ["file_size=1MiB", "block_size=4KiB", "iops_max=4000", engine, access];
        command.args(["--on-error", "continue"]).args(parameters.iter().flat_map(|text| ["--param", text]));
        let mut child = command.stdout(Stdio::piped()).spawn().expect("start");
        let lines = BufReader::new(child.stdout.take().expect("stdout"));
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for line in lines.split(b'\n') {
                let message = decode_line(&line.expect("a line")).expect("a message").expect("a known type");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let ready = messages.recv_timeout(PATIENCE).expect("it is ready");
        assert!(matches!(ready, ModuleMessage::Ready | ModuleMessage::Event { .. }), "{ready:?}");
        let path = only_file(&disk);
        let file = OpenOptions::new().read(true).write(true).open(path).expect("open the file under test");
        Self { child, file, messages, older: Vec::new(), changed: Vec::new(), told: Vec::new() }
    }

    fn dpid(&self) -> String {
        Dpid { job: JobNumber(0), process: ProcessNumber(self.child.id()) }.to_string()
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.expect("kill").success());
    }

    fn is_held(&self) -> bool {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it lives");
        text.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    }

    /// Holds it where it has written a part of a pass.
    fn hold(&mut self) -> Held {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.signal("-STOP");
            while !self.is_held() {
                assert!(Instant::now() < deadline, "it does not stop");
                std::thread::yield_now();
            }
            let content = self.content();
            let held = middle_of_writing(&content);
            // An older state has every sector of the passes before.
            if let Some(written) = held.filter(|_| !self.older.is_empty()) {
                return Held { content, written };
            }
            self.older = content;
            self.signal("-CONT");
            assert!(Instant::now() < deadline, "it is never in the middle of writing");
            self.hear();
        }
    }

    fn content(&self) -> Vec<u8> {
        let mut content = vec![0; 1 << 20];
        self.file.read_exact_at(&mut content, 0).expect("read the file under test");
        content
    }

    /// Changes a sector in each of some blocks that were written and not yet read, each in another way, and lets it go on.
    fn change(&mut self, held: &Held, seed: u64, other: &Other) {
        let blocks = held.written.len();
        for number in 0..CHANGES_AT_ONCE.min(blocks) {
            let random = scramble(seed ^ number as u64);
            let block = held.written[number * blocks / CHANGES_AT_ONCE.min(blocks)];
            let at = block * BLOCK_SECTORS + usize::try_from(random % BLOCK_SECTORS as u64).expect("small");
            let change = Change::ALL[usize::try_from(seed % 7).expect("small").wrapping_add(number) % 7];
            let right = sector(&held.content, at);
            let Some(wrong) = self.changed_sector(change, &right, at, held, random, other) else { continue };
            self.file.write_all_at(&wrong, (at * SECTOR_BYTES) as u64).expect("change");
            let owner = if matches!(change, Change::OfAnother) { other.dpid.clone() } else { String::new() };
            self.changed.push(((at * SECTOR_BYTES) as u64, change.class().to_owned(), owner));
        }
        self.file.sync_data().expect("sync");
        self.older.clone_from(&held.content);
        self.signal("-CONT");
    }

    /// The sector as it is changed; none where there is nothing older of this place.
    fn changed_sector(
        &self,
        change: Change,
        right: &Sector,
        at: usize,
        held: &Held,
        random: u64,
        other: &Other,
    ) -> Option<Sector> {
        let older = || Some(sector(&self.older, at)).filter(|older| is_older(older, right));
        let mut wrong = *right;
        match change {
            Change::Bit => wrong[64 + usize::try_from(random >> 8 & 0xff).ok()?] ^= 1 << (random >> 20 & 7),
            Change::Zeros => wrong = [0; SECTOR_BYTES],
            Change::OfAnother => wrong = sound_sector(other, random)?,
            Change::Older => wrong = older()?,
            Change::Shifted => wrong.rotate_right([8, 24, 40, 5][usize::try_from(random >> 8 & 3).ok()?]),
            Change::Torn => wrong[256..].copy_from_slice(&older()?[256..]),
            Change::OfElsewhere => {
                let place = held.written.iter().rev().find(|block| **block != at / BLOCK_SECTORS)?;
                wrong = sector(&held.content, place * BLOCK_SECTORS);
            }
        }
        Some(wrong)
    }

    /// Takes in what it said; its end, where it said that.
    fn hear(&mut self) -> Option<ModuleMessage> {
        while let Ok(message) = self.messages.try_recv() {
            match message {
                ModuleMessage::Corruption(found) => {
                    assert_eq!(found.persistence, "STORED", "{found:?}");
                    self.told.push((found.offset, found.class, found.owner_dpid));
                }
                ModuleMessage::Done { .. } => return Some(message),
                _ => {}
            }
        }
        None
    }

    /// Waits until everything was told, stops it, and compares.
    fn finish(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.told.len() < self.changed.len() {
            assert!(Instant::now() < deadline, "{} of {} were told", self.told.len(), self.changed.len());
            assert!(self.hear().is_none(), "it ended though it was to continue");
            std::thread::yield_now();
        }
        self.signal("-TERM");
        let done = loop {
            assert!(Instant::now() < deadline, "it does not end");
            if let Some(done) = self.hear() {
                break done;
            }
            std::thread::yield_now();
        };
        self.told.sort();
        self.changed.sort();
        assert_eq!(self.told, self.changed);
        let ModuleMessage::Done { result: Outcome::Fail, reason, r#final: totals, .. } = done else {
            panic!("{done:?}")
        };
        let count = self.changed.len();
        assert!(reason.starts_with(&format!("{count} transfers were corrupt, {count} of them reported")), "{reason}");
        assert!((totals["errors"] - count as f64).abs() < 0.5, "{totals:?}");
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn only_file(directory: &Path) -> PathBuf {
    fs::read_dir(directory).expect("directory").next().expect("a file").expect("entry").path()
}

fn sector(content: &[u8], at: usize) -> Sector {
    *content[at * SECTOR_BYTES..].first_chunk().expect("a sector")
}

fn expectation_of(sector: &Sector) -> Option<Expectation> {
    let said = decode_header(sector)?.1.stamp.expectation;
    verify(sector, &said).is_ok().then_some(said)
}

/// The pass of a block that lies where it belongs, whole.
fn pass_of(content: &[u8], block: usize) -> Option<u64> {
    let bytes = &content[block * BLOCK_BYTES..][..BLOCK_BYTES];
    let first = expectation_of(&sector(bytes, 0))?;
    (first.offset == (block * BLOCK_BYTES) as u64 && verify(bytes, &first).is_ok()).then_some(first.sequence)
}

/// Blocks of the newest pass, where others still hold the one before: so it is being written, and not read yet.
fn middle_of_writing(content: &[u8]) -> Option<Vec<usize>> {
    let passes: Vec<Option<u64>> = (0..content.len() / BLOCK_BYTES).map(|block| pass_of(content, block)).collect();
    let newest = *passes.iter().flatten().max()?;
    let of = |pass: u64| (0..passes.len()).filter(|block| passes[*block] == Some(pass)).collect::<Vec<usize>>();
    let written = of(newest);
    (newest > 1 && !of(newest - 1).is_empty() && written.len() >= CHANGES_AT_ONCE).then_some(written)
}

fn is_older(older: &Sector, right: &Sector) -> bool {
    match (expectation_of(older), expectation_of(right)) {
        (Some(older), Some(right)) => {
            older.sequence < right.sequence && Expectation { sequence: right.sequence, ..older } == right
        }
        _ => false,
    }
}

/// A sector that the other one wrote.
fn sound_sector(other: &Other, random: u64) -> Option<Sector> {
    let count = other.content.len() / SECTOR_BYTES;
    let first = usize::try_from(random % count as u64).ok()?;
    let is_its = |sector: &Sector| expectation_of(sector).is_some_and(|said| said.owner.process == other.process);
    (0..count).map(|step| sector(&other.content, (first + step) % count)).find(is_its)
}

#[test]
fn every_change_from_outside_is_told_once_with_its_place_class_and_owner() {
    let wanted = std::env::var("MUSTER_SOAK_CORRUPTIONS").ok().and_then(|text| text.parse().ok());
    let wanted = wanted.unwrap_or(CHANGES_DEFAULT);
    let directory = tempfile::tempdir().expect("directory");
    let mut victims: Vec<Victim> = (0..PROCESSES).map(|number| Victim::start(directory.path(), number)).collect();
    let (begun, mut round) = (Instant::now(), 0);
    while victims.iter().map(|victim| victim.changed.len()).sum::<usize>() < wanted {
        let number = round % PROCESSES;
        let other = &victims[(number + 1 + round / PROCESSES % (PROCESSES - 1)) % PROCESSES];
        let other = Other { content: other.content(), process: other.child.id(), dpid: other.dpid() };
        let victim = &mut victims[number];
        let held = victim.hold();
        victim.change(&held, scramble(round as u64) >> 8, &other);
        victims.iter_mut().for_each(|victim| assert!(victim.hear().is_none(), "it ended though it was to continue"));
        round += 1;
        assert!(begun.elapsed() < PATIENCE * 10, "{round} rounds are late");
    }
    victims.iter_mut().for_each(Victim::finish);
    let mut classes = BTreeMap::new();
    for (_, class, _) in victims.iter().flat_map(|victim| &victim.told) {
        *classes.entry(class.as_str()).or_insert(0) += 1;
    }
    println!("{wanted} changes wanted, told in {:.1} s: {classes:?}", begun.elapsed().as_secs_f64());
    assert_eq!(classes.len(), Change::ALL.len(), "{classes:?}");
}
