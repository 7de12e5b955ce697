//! The program virsh against a libvirtd of our own with libvirt's test driver: the real protocol, and a guest that is a table entry.

use std::path::Path;
use std::process::{Command, Stdio};

use muster_drivers::{Deadline, DriverError, Outcome, act_and_read_back, restore_and_read_back};
use muster_model::{PowerAction, PowerState, SnapshotAction};

use crate::rude::Rude;
use crate::support::*;

/// A hypervisor with the guest `test`. It forgets everything when the last connection ends, so one is held.
struct Hypervisor {
    _holder: Server,
    _daemon: Server,
    folder: tempfile::TempDir,
}

impl Hypervisor {
    async fn start() -> Self {
        packaged(&["virsh", "libvirtd"]);
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let configuration = format!(
            "unix_sock_dir = \"{}\"\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n",
            folder.path().display()
        );
        std::fs::write(path("configuration"), configuration).expect("it is written");
        let mut daemon = Command::new("libvirtd");
        // Without its other drivers, which would look for bridges and users of this machine.
        daemon.arg("--config").arg(path("configuration")).arg("--pid-file").arg(path("pid"));
        daemon.env("LIBVIRT_DRIVER_DIR", path("no-drivers")).stdin(Stdio::null());
        let daemon = Server::start(&mut daemon, &path("log"));
        until("libvirtd listens", || path("libvirt-sock").exists()).await;
        let mut holder = Command::new("virsh");
        holder.args(["--connect", &uri(&path("libvirt-sock"))]).stdin(Stdio::piped());
        let holder = Server::start(&mut holder, &path("holder"));
        let is_held = || std::fs::read_to_string(path("holder")).is_ok_and(|text| text.contains("Welcome"));
        until("the connection is held", is_held).await;
        Self { _holder: holder, _daemon: daemon, folder }
    }

    fn uri(&self) -> String {
        uri(&self.folder.path().join("libvirt-sock"))
    }
}

fn uri(socket: &Path) -> String {
    format!("test+unix:///default?socket={}", socket.display())
}

#[tokio::test]
async fn a_guest_of_libvirt_is_driven() {
    let hypervisor = Hypervisor::start().await;
    let driver = power(&format!("libvirt uri='{}' guest=test", hypervisor.uri()));
    assert_eq!(state(&*driver, LIMIT).await, Ok(PowerState::On));
    for action in [PowerAction::Off, PowerAction::On, PowerAction::Cycle, PowerAction::Reset, PowerAction::Dump] {
        confirmed(&*driver, action).await;
    }
    let acted = act(&*driver, PowerAction::On).await;
    assert_eq!((acted.outcome, acted.seen), (Outcome::Confirmed, PowerState::On), "it is on already: {acted:?}");
    assert!(acted.complaint.is_some_and(|error| error.was_begun()));
    confirmed(&*driver, PowerAction::Off).await;
    let error = failed(&*driver, PowerAction::Reset, LIMIT).await;
    let said = "error: Failed to reset domain 'test'; error: Requested operation is not valid: domain is not running";
    assert_eq!(error, DriverError::Refused(format!("`virsh` ended with 1: {said}")));
    confirmed(&*driver, PowerAction::On).await;
    let driver = power(&format!("libvirt uri='{}' guest=test dump-file=/dump", hypervisor.uri()));
    let error = failed(&*driver, PowerAction::Dump, LIMIT).await;
    // libvirt's test driver writes no memory, and says so: the request itself has come through.
    assert!(error.to_string().contains("core dump domain 'test' to /dump; error: unsupported flags"), "{error}");
    let driver = power(&format!("libvirt uri='{}' guest={{machine}}", hypervisor.uri()));
    let error = state(&*driver, LIMIT).await.expect_err("there is no such guest");
    assert_eq!(error.to_string(), "`virsh` ended with 1: error: failed to get domain 'm1'");
}

#[tokio::test]
async fn a_guest_of_libvirt_is_taken_back_to_its_snapshot() {
    let hypervisor = Hypervisor::start().await;
    let guest = format!("libvirt uri='{}' guest=test", hypervisor.uri());
    let (driver, machine) = (snapshot(&guest), power(&guest));
    assert_eq!(driver.exists(Deadline::within(LIMIT)).await, Ok(Some(false)));
    let taken = restore_and_read_back(&*driver, SnapshotAction::Take, LIMIT).await;
    assert_eq!((taken.outcome, taken.complaint), (Outcome::Confirmed, None));
    confirmed(&*machine, PowerAction::Off).await;
    let restored = restore_and_read_back(&*driver, SnapshotAction::Revert, LIMIT).await;
    assert_eq!((restored.outcome, restored.complaint), (Outcome::Confirmed, None));
    assert_eq!(state(&*machine, LIMIT).await, Ok(PowerState::On), "it runs as it did when the snapshot was taken");
}

#[tokio::test]
async fn a_hypervisor_that_hangs_or_talks_rubbish_ends_by_the_deadline() {
    packaged(&["virsh"]);
    let folder = tempfile::tempdir().expect("a folder");
    let silent = Rude::unix(&folder.path().join("silent"), None);
    let driver = power(&format!("libvirt uri='{}' guest=test", uri(&silent.path)));
    let error = failed(&*driver, PowerAction::Off, SHORT).await;
    assert_eq!(error, DriverError::Unclear(format!("`virsh` did not end within {SHORT:?} and was killed")));
    let rubbish = Rude::unix(&folder.path().join("rubbish"), Some("HTTP/1.1 200 OK\r\n\r\n"));
    let driver = power(&format!("libvirt uri='{}' guest=test", uri(&rubbish.path)));
    let acted = act_and_read_back(&*driver, PowerAction::Off, LIMIT, &HASTY).await;
    assert_eq!((acted.outcome, acted.seen), (Outcome::Failed, PowerState::Unknown), "{acted:?}");
}
