//! The benchmark `high-io`: the disk test beside fio, both on the same file system, in turn, with the same sizes, depth and
//! interface.
//!
//! What both do: one process, one file of the same size, whose space is taken before the clock runs; passes over it in which each
//! block comes once, with direct I/O, at the same depth through io_uring (fio, too, with a registered file and registered buffers).
//! high-io always fills with its pattern and verifies every byte that it reads. fio with `verify=crc32c` does the like (it fills
//! with random data and a CRC); without verification it writes the same buffers again and looks at nothing, but writes and reads
//! in the same order: all that is written is read at once, while the disk may yet be busy with it. CPU time is that of the
//! whole program from getrusage. high-io's buffers begin at pages here, as fio's do (`shift_percent=0`).

mod child;
mod work;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use self::work::{Done, Verification, Work, fio, high_io};
use super::{Row, Target};
use crate::build;

/// A directory of memory.
const TMPFS: &str = "/dev/shm";
/// Large transfers, one after the other.
const LARGE: Work = Work {
    file_mebibytes: 256,
    block_kibibytes: 1024,
    depth: 8,
    passes: 4,
    is_random: false,
    uses_ring: true,
    in_memory: false,
};
/// In memory, on one core.
const IN_MEMORY: Work = Work { in_memory: true, ..LARGE };
/// The same without io_uring.
const IN_MEMORY_PLAIN: Work = Work { uses_ring: false, ..IN_MEMORY };
/// Small transfers anywhere.
const SMALL: Work = Work { file_mebibytes: 64, block_kibibytes: 4, depth: 32, passes: 6, is_random: true, ..LARGE };

pub(crate) fn run(round: usize) -> anyhow::Result<Vec<Row>> {
    ensure!(
        Command::new("fio").arg("--version").output().is_ok_and(|output| output.status.success()),
        "fio is not installed, and is the reference: `apt-get install fio` (Debian, Ubuntu) or `dnf install fio` (Fedora, RHEL)"
    );
    let bench = Bench { program: build::shipped_module("muster-high-io")?, is_ours_first: round.is_multiple_of(2) };
    let mut rows = bench.in_memory("tmpfs, io_uring", &IN_MEMORY, Some(Target::RatioAtLeast(1.5)))?;
    rows.extend(bench.in_memory("tmpfs, pread", &IN_MEMORY_PLAIN, Some(Target::RatioAtLeast(1.5)))?);
    rows.extend(bench.large()?);
    rows.extend(bench.small()?);
    Ok(rows)
}

struct Bench {
    program: PathBuf,
    /// The order of the two changes with the round.
    is_ours_first: bool,
}

impl Bench {
    /// Both, in a directory of their own that is removed with all that is in it: high-io's and fio's.
    fn both(&self, below: &Path, work: &Work, verification: Verification) -> anyhow::Result<(Done, Done)> {
        let directory = tempfile::Builder::new().prefix("muster-bench-").tempdir_in(below);
        let directory = directory.with_context(|| format!("make a directory below {}", below.display()))?;
        if self.is_ours_first {
            let ours = high_io(&self.program, directory.path(), work)?;
            return Ok((ours, fio(directory.path(), work, verification)?));
        }
        let fios = fio(directory.path(), work, verification)?;
        Ok((high_io(&self.program, directory.path(), work)?, fios))
    }

    fn in_memory(&self, name: &str, work: &Work, target: Option<Target>) -> anyhow::Result<Vec<Row>> {
        let (ours, fios) = self.both(Path::new(TMPFS), work, Verification::Crc32c)?;
        let row = |what: &str, unit, of: &dyn Fn(&Done) -> f64, target| Row {
            name: format!("{name}, {what}"),
            value: of(&ours),
            unit,
            reference: Some(of(&fios)),
            reference_name: "fio crc32c",
            target,
        };
        Ok(vec![
            row("pass of writing and verifying", "GB/s", &Done::rate, target),
            row("its writing", "GB/s", &|done| done.written.rate(), None),
            row("its verifying", "GB/s", &|done| done.read.rate(), None),
            row("CPU", "s/GiB", &Done::cpu_per_gibibyte, None),
        ])
    }

    fn large(&self) -> anyhow::Result<Vec<Row>> {
        let (ours, fios) = self.both(&build::target(), &LARGE, Verification::None)?;
        let (again, crc) = self.both(&build::target(), &LARGE, Verification::Crc32c)?;
        let row = |name: &str, unit, value, (reference_name, reference), target| Row {
            name: format!("disk, 1 MiB, 8 at once, {name}"),
            value,
            unit,
            reference: Some(reference),
            reference_name,
            target: Some(target),
        };
        let plain = "fio unverified";
        let (writing, reading) = ((plain, fios.written.rate()), (plain, fios.read.rate()));
        let cpu = ("fio crc32c", crc.cpu_per_gibibyte());
        Ok(vec![
            row("writing", "GB/s", ours.written.rate(), writing, Target::RatioAtLeast(0.95)),
            row("reading and verifying", "GB/s", ours.read.rate(), reading, Target::RatioAtLeast(0.95)),
            row("CPU", "s/GiB", again.cpu_per_gibibyte(), cpu, Target::RatioAtMost(0.25)),
        ])
    }

    fn small(&self) -> anyhow::Result<Vec<Row>> {
        let (ours, fios) = self.both(&build::target(), &SMALL, Verification::None)?;
        let row = |name: &str, unit, of: &dyn Fn(&Done) -> f64, target| Row {
            name: format!("disk, 4 KiB anywhere, 32 at once, {name}"),
            value: of(&ours),
            unit,
            reference: Some(of(&fios)),
            reference_name: "fio unverified",
            target,
        };
        let least = Some(Target::RatioAtLeast(0.95));
        Ok(vec![
            row("writing", "1/s", &|done| done.written.transfer_rate(), least),
            row("reading and verifying", "1/s", &|done| done.read.transfer_rate(), least),
            row("CPU", "s/GiB", &Done::cpu_per_gibibyte, None),
        ])
    }
}
