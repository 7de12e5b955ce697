//! The rounds of a clean soak: which processes run together, with which parameters, and what they say at their ends.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use muster_testkit::free_port;
use serde_json::Value;

/// Memory that high-io takes for a disk.
const MEMORY: &str = "/dev/shm";
/// What a program that found something said is kept in this file.
const SAID: &str = "said.txt";

/// Where things are put.
#[derive(Debug)]
pub(super) struct Place {
    /// On the disk.
    disk: PathBuf,
    /// In memory; gone with this.
    memory: tempfile::TempDir,
}

impl Place {
    /// A folder on the disk that is made anew, and one in memory.
    pub(super) fn new(disk: &Path) -> anyhow::Result<Self> {
        match std::fs::remove_dir_all(disk) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context("empty the folder");
            }
            _ => {}
        }
        std::fs::create_dir_all(disk).context("make a folder")?;
        let memory =
            tempfile::Builder::new().prefix("muster-soak-").tempdir_in(MEMORY).context("make a folder in memory")?;
        Ok(Self { disk: disk.to_owned(), memory })
    }
}

/// One form of a module.
#[derive(Debug)]
pub(super) struct Round {
    /// Of all processes, as NAME=VALUE.
    pub(super) parameters: Vec<String>,
    /// The roles of its processes; one process without a role where it has none.
    roles: &'static [&'static str],
    /// Its disk.
    disk: Option<PathBuf>,
}

/// The forms that a module takes in turn.
pub(super) fn rounds(module: &str, place: &Place) -> Vec<Round> {
    let memory = place.memory.path();
    let shared = format!("directory={}", memory.display());
    let round = |parameters: &[&str], roles, disk: Option<&Path>| Round {
        parameters: parameters.iter().map(|text| (*text).to_owned()).collect(),
        roles,
        disk: disk.map(Path::to_owned),
    };
    let alone = |parameters: &[&str]| round(parameters, &[""], None);
    let pair = |parameters: &[&str]| round(parameters, &["server", "client"], None);
    let gang = |parameters: &[&str]| round(parameters, &["server", "client", "client"], None);
    match module {
        "high-io" => vec![
            round(&["file_size=256MiB", "block_size=1MiB", "access=sequential"], &[""], Some(memory)),
            round(
                &["file_size=128MiB", "block_size=4KiB", "block_size_max=256KiB", "queue_depth=32"],
                &[""],
                Some(memory),
            ),
            round(&["file_size=512MiB", "block_size=64KiB", "access=alternating", "engine=pread"], &[""], Some(memory)),
            round(&["file_size=64MiB", "read_percent=50", "shift_percent=50"], &["", ""], Some(memory)),
            round(&["file_size=512MiB", "block_size=1MiB", "queue_depth=16"], &[""], Some(&place.disk)),
            round(&["file_size=16MiB", "block_size=512", "block_size_max=64KiB"], &[""], Some(memory)),
        ],
        "memory" => vec![
            alone(&["way=mix"]),
            alone(&["way=copy", "size=1MiB", "areas=8"]),
            alone(&["way=stream", "size=64MiB"]),
            alone(&["way=odd", "size=256KiB", "areas=3"]),
            alone(&["way=bytes", "size=4MiB"]),
        ],
        "tcp" => vec![
            pair(&["packet_size=128KiB"]),
            pair(&["packet_size=4KiB", "streams=4"]),
            pair(&["packet_size=1MiB", "direction=to_server"]),
            pair(&["packet_size=64KiB", "direction=to_client", "streams=2"]),
        ],
        _ => vec![
            gang(&["hold=0s", "record_size=64KiB", "locks=16", "takers=8", "shared_percent=75"]),
            gang(&["hold=0s", "record_size=64KiB", "over=fcntl", &shared, "locks=16", "takers=4"]),
            gang(&["hold=0s", "locks=1", "takers=16"]),
            gang(&["hold=0s", "over=fcntl", &shared, "locks=2", "record_size=4KiB"]),
        ],
    }
}

/// A child that does not outlive a soak that fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Round {
    /// Runs its processes for so long; what they verified together, in bytes.
    ///
    /// # Errors
    /// One reports something, or does not pass: what it said is kept.
    pub(super) fn run(&self, program: &Path, number: u32, duration: Duration, place: &Place) -> anyhow::Result<f64> {
        let meeting = format!("127.0.0.1:{}", free_port()?);
        let results = tempfile::tempdir_in(&place.disk).context("make a folder for results")?;
        let mut running = Vec::new();
        for (nth, role) in self.roles.iter().enumerate() {
            let mut command = Command::new(program);
            let results = results.path().join(nth.to_string());
            std::fs::create_dir(&results).context("make a folder for results")?;
            command.env_remove("MUSTER_SOCKET").current_dir(results);
            command.stdout(Stdio::piped()).stderr(Stdio::null());
            command.args(["--seed", &format!("{:x}", number * 16 + u32::try_from(nth)?)]);
            let seconds = format!("duration={}s", duration.as_secs());
            for text in self.parameters.iter().chain([&seconds]) {
                command.args(["--param", text]);
            }
            if let Some(disk) = &self.disk {
                command.arg("--disk").arg(disk);
            }
            if !role.is_empty() {
                command.args(["--role", role, "--peer", &meeting]);
            }
            running.push(command.spawn().map(Running).with_context(|| format!("start {}", program.display()))?);
        }
        let readers = running.iter_mut().map(|process| {
            let mut output = process.0.stdout.take().context("its output is ours")?;
            Ok(std::thread::spawn(move || {
                let mut text = String::new();
                output.read_to_string(&mut text).map(|_| text)
            }))
        });
        let readers = readers.collect::<anyhow::Result<Vec<_>>>()?;
        let mut verified = 0.0;
        for reader in readers {
            let Ok(text) = reader.join() else { bail!("a reader of an output panicked") };
            verified += self.judge(&text.context("read an output")?, place)?;
        }
        Ok(verified)
    }

    fn judge(&self, said: &str, place: &Place) -> anyhow::Result<f64> {
        let lines = said.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>();
        let lines = lines.context("read what a module says")?;
        let reports = lines.iter().filter(|line| line["type"] == "corruption").count();
        let end = lines.last().context("a module says nothing")?;
        let file = place.disk.join(SAID);
        if reports > 0 || end["result"] != "pass" {
            std::fs::write(&file, said).with_context(|| format!("write {}", file.display()))?;
        }
        let form = self.parameters.join(" ");
        ensure!(reports == 0, "{reports} false reports ({form}): {}", file.display());
        ensure!(end["result"] == "pass", "it did not pass ({form}): {end}, {}", file.display());
        end["final"]["verified_bytes"].as_f64().context("it does not say what it verified")
    }
}
