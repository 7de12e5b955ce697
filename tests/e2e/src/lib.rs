//! What end-to-end tests ask of a lab: jobs, processes as the operating system sees them, and what the streams hold.
//!
//! A lab is real: nats-server, PostgreSQL, services, agents, keepers and test processes of its own, in a folder of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use muster_testkit::lab::{Lab, LabOptions};
use muster_testkit::wait_until;
use serde_json::Value;

pub mod relay;
pub mod release;
pub mod stream;

/// How long anything may take to settle on a machine that is busy with other tests.
pub const SETTLE_LIMIT: Duration = Duration::from_secs(90);

/// Folder with Muster's programs: MUSTER_PROGRAMS, else the one above this test's own.
///
/// # Errors
/// When they were not built.
pub fn programs() -> anyhow::Result<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.parent()?.to_owned());
    let found = std::env::var_os("MUSTER_PROGRAMS").map(PathBuf::from).or_else(beside);
    let found = found.context("find Muster's programs")?;
    ensure!(found.join("muster").exists(), "build Muster's programs first: `cargo build --workspace --bins`");
    Ok(found)
}

/// Options of a lab in a folder of its own, which goes with the returned guard.
///
/// # Errors
/// When no folder can be made.
pub fn options(machines: u32, replicas: u32) -> anyhow::Result<(LabOptions, tempfile::TempDir)> {
    let scratch = tempfile::Builder::new().prefix("muster-e2e-").tempdir().context("make a folder for the lab")?;
    // PostgreSQL runs as another user and has to get through.
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o755)).context("open the folder")?;
    let directory = scratch.path().join("lab");
    Ok((LabOptions { disks: 2, replicas, ..LabOptions::new(directory, programs()?, machines) }, scratch))
}

/// A whole lab.
///
/// # Errors
/// When a part does not come up.
pub fn lab(machines: u32, replicas: u32) -> anyhow::Result<(Lab, tempfile::TempDir)> {
    let (options, scratch) = options(machines, replicas)?;
    Ok((Lab::up(options, &|_| ())?, scratch))
}

/// Starts a job and returns its number.
///
/// # Errors
/// When it is refused, or does not run within [`SETTLE_LIMIT`].
pub fn start(lab: &Lab, module: &str, processes: u32, more: &[&str]) -> anyhow::Result<u64> {
    let processes = processes.to_string();
    let mut arguments = vec!["start", module, "--processes", &processes, "--wait", "--timeout", "90s"];
    arguments.extend(more);
    let started = lab.muster_json(&arguments)?;
    job_number(&started)
}

/// The job number in what a start printed as JSON.
///
/// # Errors
/// When there is none.
pub fn job_number(started: &Value) -> anyhow::Result<u64> {
    let number = started["job"].as_u64().or_else(|| started[0]["job"].as_u64());
    number.with_context(|| format!("read the job number from {started}"))
}

/// Processes of a job by state, as the scheduler says.
///
/// # Errors
/// When it does not answer.
pub fn states(lab: &Lab, job: u64) -> anyhow::Result<BTreeMap<String, usize>> {
    let rows = lab.muster_json(&["ps", "--all", "--job", &job.to_string()])?;
    let mut counts = BTreeMap::new();
    for row in rows.as_array().context("read the processes")? {
        *counts.entry(row["state"].as_str().unwrap_or("?").to_owned()).or_insert(0) += 1;
    }
    Ok(counts)
}

/// Waits until all of a job's `count` processes are in `state`.
///
/// # Errors
/// Says in which states they are instead.
pub fn wait_state(lab: &Lab, job: u64, state: &str, count: usize) -> anyhow::Result<()> {
    let arrived = || states(lab, job).is_ok_and(|found| found.get(state) == Some(&count));
    wait_until(&format!("{count} processes of job {job} {state}"), SETTLE_LIMIT, arrived)
        .with_context(|| format!("{:?}\n{}", states(lab, job), lab.tails()))
}

/// Test processes of a lab as the operating system sees them: DPID -> (pid, start time in clock ticks) of each.
#[must_use]
pub fn test_processes(lab: &Lab) -> BTreeMap<String, Vec<(u32, u64)>> {
    let mut found: BTreeMap<String, Vec<(u32, u64)>> = BTreeMap::new();
    for pid in lab.members() {
        if let Some((dpid, start)) = identity(pid) {
            found.entry(dpid).or_default().push((pid, start));
        }
    }
    found
}

fn identity(pid: u32) -> Option<(String, u64)> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0).filter_map(|line| std::str::from_utf8(line).ok());
    let dpid = variables.find_map(|line| line.strip_prefix("MUSTER_DPID="))?.to_owned();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let start = stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()?;
    Some((dpid, start))
}

/// The one number in a summary report's JSON under `name`.
///
/// # Errors
/// A machine as `muster machine list` shows it; null where it is not known, or nobody answers.
#[must_use]
pub fn machine(lab: &Lab, name: &str) -> Value {
    let rows = lab.muster_json(&["machine", "list"]).unwrap_or_default();
    let found = rows.as_array().and_then(|rows| rows.iter().find(|row| row["machine"] == name).cloned());
    found.unwrap_or_default()
}

/// When it is not there.
pub fn number(report: &Value, name: &str) -> anyhow::Result<u64> {
    let rows = report.as_array().map_or(std::slice::from_ref(report), Vec::as_slice);
    let found = rows.iter().find_map(|row| row[name].as_u64().or_else(|| row[name].as_f64().map(|value| value as u64)));
    found.with_context(|| format!("find {name} in {report}"))
}
