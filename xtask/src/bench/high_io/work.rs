//! The same work for both: what fio and high-io are told to do, and what they say they did.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::child;

/// What both do: whole passes over one file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub(super) file_mebibytes: u32,
    pub(super) block_kibibytes: u32,
    pub(super) depth: u32,
    pub(super) passes: u32,
    pub(super) is_random: bool,
    /// io_uring; else pread and pwrite, one at a time.
    pub(super) uses_ring: bool,
    /// In memory, on one core; else on a disk, with direct I/O.
    pub(super) in_memory: bool,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    pub(super) written: Part,
    pub(super) read: Part,
    /// CPU time of the whole program.
    pub(super) cpu: Duration,
}

/// One direction.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part {
    pub(super) bytes: f64,
    pub(super) transfers: f64,
    pub(super) seconds: f64,
}

impl Part {
    /// Gigabytes a second.
    pub(super) fn rate(self) -> f64 {
        self.bytes / self.seconds / 1e9
    }

    /// Transfers a second.
    pub(super) fn transfer_rate(self) -> f64 {
        self.transfers / self.seconds
    }
}

impl Done {
    /// Gigabytes a second of writing and reading one after the other.
    pub(super) fn rate(&self) -> f64 {
        (self.written.bytes + self.read.bytes) / (self.written.seconds + self.read.seconds) / 1e9
    }

    /// CPU seconds for each GiB that was transferred.
    pub(super) fn cpu_per_gibibyte(&self) -> f64 {
        self.cpu.as_secs_f64() / ((self.written.bytes + self.read.bytes) / f64::from(1 << 30))
    }
}

/// Runs high-io: each pass writes the file, then reads and verifies all of it.
pub(super) fn high_io(program: &Path, directory: &Path, work: &Work) -> anyhow::Result<Done> {
    let mut arguments = vec!["--disk".to_owned(), path(directory), "--results".to_owned(), path(directory)];
    for parameter in [
        format!("file_size={}MiB", work.file_mebibytes),
        format!("block_size={}KiB", work.block_kibibytes),
        format!("queue_depth={}", work.depth),
        format!("passes={}", work.passes),
        format!("access={}", if work.is_random { "random" } else { "sequential" }),
        format!("engine={}", if work.uses_ring { "io_uring" } else { "pread" }),
        "shift_percent=0".to_owned(),
    ] {
        arguments.extend(["--param".to_owned(), parameter]);
    }
    let (output, cpu) = child::run(&path(program), &arguments, work.in_memory)?;
    let last = output.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).context("high-io says nothing")?;
    let done: Value = serde_json::from_slice(last).context("read what high-io says")?;
    ensure!(done["result"] == "pass", "high-io did not pass: {}", done["reason"]);
    let total = |name: &str| done["final"][name].as_f64().with_context(|| format!("high-io tells no {name}"));
    let part = |bytes, transfers, seconds| -> anyhow::Result<Part> {
        Ok(Part { bytes: total(bytes)?, transfers: total(transfers)?, seconds: total(seconds)? })
    };
    let written = part("written_bytes", "writes", "write_seconds")?;
    Ok(Done { written, read: part("read_bytes", "reads", "read_seconds")?, cpu })
}

/// Whether and how fio verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verification {
    /// Each pass writes the file, then reads and verifies all of it.
    Crc32c,
    /// Each pass writes the file, then reads all of it.
    None,
}

/// Runs fio: one run, whose passes come in the order in which high-io makes them.
pub(super) fn fio(directory: &Path, work: &Work, verification: Verification) -> anyhow::Result<Done> {
    let mut arguments = common(directory, work);
    let random = if work.is_random { "rand" } else { "" };
    match verification {
        Verification::Crc32c => {
            let verify =
                ["--verify=crc32c", "--do_verify=1", "--verify_state_save=0", "--name=pass"].map(str::to_owned);
            arguments.extend(verify);
            arguments.extend([format!("--rw={random}write"), format!("--loops={}", work.passes)]);
        }
        Verification::None => {
            for _ in 0..work.passes {
                for direction in ["write", "read"] {
                    let job = ["--name=pass".to_owned(), "--stonewall".to_owned(), format!("--rw={random}{direction}")];
                    arguments.extend(job);
                }
            }
        }
    }
    let (output, cpu) = child::run("fio", &arguments, work.in_memory)?;
    let report: Value = serde_json::from_slice(&output).context("read what fio says")?;
    let jobs = report["jobs"].as_array().context("fio tells no jobs")?;
    let part = |direction: &str| -> anyhow::Result<Part> {
        let total = |name: &str| -> anyhow::Result<f64> {
            let told = jobs.iter().map(|job| job[direction][name].as_f64());
            told.sum::<Option<f64>>().with_context(|| format!("fio tells no {name}"))
        };
        Ok(Part { bytes: total("io_bytes")?, transfers: total("total_ios")?, seconds: total("runtime")? / 1e3 })
    };
    Ok(Done { written: part("write")?, read: part("read")?, cpu })
}

/// What holds for all passes of fio.
fn common(directory: &Path, work: &Work) -> Vec<String> {
    let mut arguments = vec![
        format!("--filename={}", path(&directory.join("fio.dat"))),
        format!("--size={}m", work.file_mebibytes),
        format!("--bs={}k", work.block_kibibytes),
        format!("--direct={}", u8::from(!work.in_memory)),
        "--thread".to_owned(),
        "--output-format=json".to_owned(),
    ];
    if work.uses_ring {
        // As high-io does: a registered file and registered buffers.
        let ring = ["--ioengine=io_uring", "--registerfiles=1", "--fixedbufs=1"].map(str::to_owned);
        arguments.extend(ring);
        arguments.push(format!("--iodepth={}", work.depth));
    } else {
        arguments.push("--ioengine=psync".to_owned());
    }
    arguments
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
