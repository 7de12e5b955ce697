//! A Docker engine for a test: in process, mount and network namespaces of its own.
//!
//! Ending the first process of its namespaces ends everything that it ever started, and its mounts, bridges and rules go with them.
//! Control groups and files have to be removed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use muster_testkit::{is_alive, tools, wait_until};

/// It answers after a second or two.
const UP_LIMIT: Duration = Duration::from_secs(60);
/// Processes of a namespace end with its first.
const DOWN_LIMIT: Duration = Duration::from_secs(30);
/// What of its log is told.
const LINES_TOLD: usize = 15;
/// Programs, and the packages of the distribution that have them.
const PROGRAMS: [(&str, &str); 6] = [
    ("dockerd", "docker.io"),
    ("docker", "docker.io"),
    ("docker-compose", "docker-compose"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
];

/// A running engine; ended when dropped.
#[derive(Debug)]
pub(super) struct Engine {
    directory: PathBuf,
    /// Name of the control groups of its containers.
    group: String,
    outer: Child,
    /// Process id, here, of the first process of its namespaces.
    first: u32,
}

impl Engine {
    /// Obtains what is missing, and starts one that keeps everything in `directory`, which is emptied.
    ///
    /// # Errors
    /// Says what does not work here: nothing is skipped.
    pub(super) fn start(directory: &Path) -> anyhow::Result<Self> {
        for (program, package) in PROGRAMS {
            tools::packaged_in(program, package)?;
        }
        ensure!(rustix::process::geteuid().is_root(), "a Docker engine needs root: run this test as root");
        clean(directory)?;
        std::fs::create_dir_all(directory.join("client")).context("make the folder of the engine")?;
        std::fs::write(directory.join("daemon.json"), "{}\n").context("write the engine's configuration")?;
        let group = format!("muster-containers-{}", std::process::id());
        let log = std::fs::File::create(directory.join("dockerd.log")).context("make the engine's log")?;
        let mut outer = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                "unshare",
                "--fork",
                "--kill-child",
                "--pid",
                "--mount-proc",
                "--mount",
                "--net",
            ])
            .args(["sh", "-c", "ip link set lo up && exec dockerd \"$@\"", "dockerd"])
            .args(daemon_arguments(directory, &group))
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the log")?)
            .stderr(log)
            .spawn()
            .context("start unshare (util-linux)")?;
        let first = first_child(&mut outer).with_context(|| does_not_run(directory))?;
        let engine = Self { directory: directory.to_owned(), group, outer, first };
        let answers = || engine.docker(&["version"]).is_ok_and(|output| output.status.success());
        wait_until("the Docker engine answers", UP_LIMIT, answers).with_context(|| does_not_run(directory))?;
        Ok(engine)
    }

    /// Where it keeps everything.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A client of this engine.
    pub(super) fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("DOCKER_HOST", format!("unix://{}", self.directory.join("socket").display()))
            .env("DOCKER_CONFIG", self.directory.join("client"))
            .env("DOCKER_BUILDKIT", "0")
            .current_dir(crate::root())
            .stdin(Stdio::null());
        command
    }

    fn docker(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        self.client("docker").args(arguments).output().context("run docker")
    }

    /// Runs `docker`, and returns what it printed.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub(super) fn docker_ok(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.docker(arguments)?;
        judged(output, &format!("docker {}", arguments.join(" ")))
    }

    /// Arguments of `nsenter` with which a program runs in the network of the engine's host: there published ports are.
    pub(super) fn in_its_network(&self) -> String {
        format!("--net=/proc/{}/ns/net", self.first)
    }

    /// Kills the first process of a container, as if it had died by itself.
    ///
    /// # Errors
    /// When the container does not run.
    pub(super) fn crash(&self, container: &str) -> anyhow::Result<()> {
        let pid = self.docker_ok(&["inspect", "--format", "{{.State.Pid}}", container])?;
        ensure!(pid.trim() != "0", "crash {container}: it does not run");
        let first = self.first.to_string();
        // Process ids are those of the engine's namespace.
        let enter = ["--target", &first, "--pid", "--mount", "kill", "-KILL", pid.trim()];
        tools::run_in(&self.directory, "nsenter", &enter).with_context(|| format!("crash {container}"))
    }

    /// Ends it with everything that it started, and removes what it wrote.
    ///
    /// # Errors
    /// When something is left.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        self.end()?;
        clean(&self.directory)
    }

    fn end(&mut self) -> anyhow::Result<()> {
        let first = i32::try_from(self.first).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(first) = first.filter(|_| matches!(self.outer.try_wait(), Ok(None))) {
            let _ = rustix::process::kill_process(first, rustix::process::Signal::KILL);
        }
        wait_until("the Docker engine is gone", DOWN_LIMIT, || !is_alive(self.first))?;
        self.outer.wait().context("collect unshare")?;
        remove_groups(&self.group)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("xtask: failed to end the Docker engine: {error:#}");
        }
    }
}

/// What a program printed.
///
/// # Errors
/// When it failed, with what it said last.
pub(super) fn judged(output: Output, what: &str) -> anyhow::Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    bail!("`{what}` ended with {}:\n{}", output.status, tail(&said))
}

/// The last lines of a text.
pub(super) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_TOLD)..].join("\n")
}

fn does_not_run(directory: &Path) -> String {
    let log = std::fs::read_to_string(directory.join("dockerd.log")).unwrap_or_default();
    format!(
        "a Docker engine does not run here: it needs root, and leave to make namespaces, mounts and control groups; its log ends with\n{}",
        tail(&log)
    )
}

fn daemon_arguments(directory: &Path, group: &str) -> Vec<String> {
    let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
    let socket = format!("unix://{}", path("socket"));
    let arguments = [
        ("--data-root", path("data")),
        ("--exec-root", path("run")),
        ("--pidfile", path("pid")),
        ("--config-file", path("daemon.json")),
        ("--host", socket),
        ("--bridge", "none".into()),
        ("--cgroup-parent", format!("/{group}")),
    ];
    arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
}

/// The process that unshare forked into the new namespaces.
fn first_child(outer: &mut Child) -> anyhow::Result<u32> {
    let file = format!("/proc/{0}/task/{0}/children", outer.id());
    let mut found = None;
    wait_until("unshare has made namespaces", UP_LIMIT, || {
        let children = std::fs::read_to_string(&file).unwrap_or_default();
        found = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
        found.is_some() || !matches!(outer.try_wait(), Ok(None))
    })?;
    found.context("unshare ended at once")
}

/// Removes what an engine left in its folder.
fn clean(directory: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// Removes control groups by name: below each controller (version 1), or at the top (version 2).
fn remove_groups(name: &str) -> anyhow::Result<()> {
    let top = Path::new("/sys/fs/cgroup");
    let controllers = std::fs::read_dir(top).context("list the control groups")?.flatten().map(|entry| entry.path());
    for group in controllers.chain([top.to_owned()]).map(|folder| folder.join(name)) {
        remove_group(&group).with_context(|| format!("remove {}", group.display()))?;
    }
    Ok(())
}

/// Removes a control group, those below it first; its files go with it.
fn remove_group(group: &Path) -> std::io::Result<()> {
    let Ok(entries) = std::fs::read_dir(group) else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path())?;
        }
    }
    std::fs::remove_dir(group)
}
