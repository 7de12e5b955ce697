//! Makes a file system, by the program of its type.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use muster_model::FileSystem;

use super::{check_unused, content};

/// A file system is made within this.
const FORMAT_WITHIN: Duration = Duration::from_secs(900);
/// How often it is looked whether it is made.
const LOOK: Duration = Duration::from_millis(50);
/// A device is busy for so long at most because an earlier life of this agent had it formatted.
const BUSY_MAX: Duration = Duration::from_secs(60);
/// Says whose file system it is.
const LABEL: &str = "muster";
/// Programs for administrators are not on everybody's PATH.
const ADMINISTRATORS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Makes a file system, known by `uuid`; one that is there already is not made again.
pub(super) fn format(device: &Path, file_system: FileSystem, uuid: &str, log: &Path) -> anyhow::Result<()> {
    let is_made = || content::of(device).ok().and_then(|found| found.uuid).as_deref() == Some(uuid);
    if is_made() {
        return Ok(());
    }
    check_unused(device)?;
    wait_for_device(device)?;
    if is_made() {
        return Ok(());
    }
    let program = program(file_system)?;
    tracing::warn!(device = %device.display(), program = %program.display(), "a disk is formatted by order");
    let output = File::create(log).with_context(|| format!("write {}", log.display()))?;
    let errors = output.try_clone().with_context(|| format!("write {}", log.display()))?;
    let mut command = Command::new(&program);
    command.args(arguments(file_system, uuid)).arg(device).stdin(Stdio::null()).stdout(output).stderr(errors);
    let child = command.spawn().with_context(|| format!("run {}", program.display()))?;
    let status = within(child, FORMAT_WITHIN).with_context(|| format!("run {}", program.display()))?;
    ensure!(status.success(), "{} ended with {status}: {}", program.display(), reason(log));
    ensure!(is_made(), "{} ended well, and its file system is not there", program.display());
    Ok(())
}

/// Opens the device alone, and closes it again: the program that formats it does the same.
fn wait_for_device(device: &Path) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        match File::options().read(true).write(true).custom_flags(libc::O_EXCL).open(device) {
            Ok(_) => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && begun.elapsed() < BUSY_MAX => {
                std::thread::sleep(LOOK);
            }
            Err(error) => return Err(error).with_context(|| format!("open {} alone", device.display())),
        }
    }
}

fn arguments(file_system: FileSystem, uuid: &str) -> Vec<String> {
    let by_uuid = format!("uuid={uuid}");
    let words = match file_system {
        FileSystem::Ext4 => ["-q", "-F", "-L", LABEL, "-U", uuid],
        FileSystem::Xfs => ["-q", "-f", "-L", LABEL, "-m", &by_uuid],
        FileSystem::Btrfs => ["-q", "-f", "-L", LABEL, "-U", uuid],
    };
    words.map(str::to_owned).to_vec()
}

fn program(file_system: FileSystem) -> anyhow::Result<PathBuf> {
    let name = format!("mkfs.{file_system}");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(ADMINISTRATORS.map(PathBuf::from));
    let found = folders.map(|folder| folder.join(&name)).find(|file| file.is_file());
    found.with_context(|| format!("find {name}: install it on this machine, or take another type"))
}

fn within(mut child: Child, limit: Duration) -> anyhow::Result<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if let Some(status) = child.try_wait().context("wait for it")? {
            return Ok(status);
        }
        std::thread::sleep(LOOK);
    }
    child.kill().and_then(|()| child.wait()).context("end it")?;
    bail!("it was not done within {limit:?}")
}

/// The line that says what is wrong: what is called an error, else the first. Some tell how they are used after it.
fn reason(log: &Path) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.clone().next().unwrap_or("it said nothing");
    lines.find(|line| line.to_ascii_lowercase().contains("error")).unwrap_or(first).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_takes_too_long_is_ended_and_what_is_wrong_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        for (said, expected) in [
            ("\nFilesystem must be larger than 300MB.\nUsage: mkfs.xfs\n", "Filesystem must be larger than 300MB."),
            ("WARNING: odd\n ERROR: not a block device \n", "ERROR: not a block device"),
            ("", "it said nothing"),
        ] {
            std::fs::write(&log, said).unwrap();
            assert_eq!(reason(&log), expected);
        }
        assert_eq!(reason(Path::new("/no/such/log")), "it said nothing");
        let child = || Command::new("sleep").arg("100").spawn().unwrap();
        let error = within(child(), Duration::from_millis(200)).unwrap_err();
        assert!(error.to_string().contains("200ms"), "{error}");
        assert!(within(Command::new("true").spawn().unwrap(), Duration::from_secs(30)).unwrap().success());
    }
}
