//! A program that is measured: its output and the CPU time that it took.

use std::io;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, ensure};

/// Runs a program to its end, on one core if asked to. The time is its own, all its threads and the kernel's work for them
/// included; no other child of ours may end meanwhile.
pub(super) fn run(program: &str, arguments: &[String], one_core: bool) -> anyhow::Result<(Vec<u8>, Duration)> {
    let mut command = if one_core { on_one_core(program)? } else { Command::new(program) };
    command.args(arguments).env_remove("MUSTER_SOCKET");
    let before = time_of_children()?;
    let output = command.output().with_context(|| format!("run {program}"))?;
    let taken = time_of_children()?.saturating_sub(before);
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).trim().to_owned();
    ensure!(output.status.success(), "{program} {} failed: {}", arguments.join(" "), said(&output));
    Ok((output.stdout, taken))
}

/// The last of the cores that we may use: the first has most interrupts.
fn on_one_core(program: &str) -> anyhow::Result<Command> {
    let status = std::fs::read_to_string("/proc/self/status").context("read which cores may be used")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default().trim();
    let last = list.rsplit([',', '-']).next().unwrap_or("0");
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", last, program]);
    Ok(command)
}

/// CPU time of all children that have ended.
fn time_of_children() -> anyhow::Result<Duration> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call fills what it is given, which is as large as it expects.
    let result = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) };
    ensure!(result == 0, "read the CPU time of children: {}", io::Error::last_os_error());
    // SAFETY: it was zeroed, which is a value of it, and filled.
    let usage = unsafe { usage.assume_init() };
    let duration = |time: libc::timeval| -> anyhow::Result<Duration> {
        Ok(Duration::from_secs(time.tv_sec.try_into()?) + Duration::from_micros(time.tv_usec.try_into()?))
    };
    Ok(duration(usage.ru_utime)? + duration(usage.ru_stime)?)
}
