//! A real QEMU without hardware virtualisation; it runs its firmware, which is enough to have power.

use std::path::{Path, PathBuf};

use muster_drivers::{
    Deadline, DirectBoot, DriverError, Outcome, act_and_read_back, direct_power_driver, restore_and_read_back,
};
use muster_model::{PowerAction, PowerState, SnapshotAction};
use rustix::process::{Pid, Signal, kill_process};

use crate::rude::{self, Rude};
use crate::support::*;

/// What a virtual machine needs, without display, devices and hardware virtualisation.
const QEMU: &str = "qemu-system-x86_64 -accel tcg,tb-size=32 -m 16 -nodefaults -display none";

/// A folder for one machine, whose QEMU is killed with it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        packaged(&["qemu-system-x86_64", "qemu-img"]);
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// `socket=` and `start=` of a setting.
    fn keys(&self, more: &str) -> String {
        let (socket, pid) = (self.text("{machine}.qmp"), self.text("pid"));
        format!("socket={socket} start='{QEMU} -qmp unix:{socket},server=on,wait=off -pidfile {pid} {more}'")
    }

    fn pid(&self) -> i32 {
        pid_in(&self.path("pid")).expect("it runs")
    }

    fn image(&self, name: &str) -> String {
        let image = self.text(name);
        run("qemu-img", &["create", "-q", "-f", "qcow2", &image, "16M"]).expect("the image is made");
        image
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        kill_by_file(&self.path("pid"));
    }
}

#[tokio::test]
async fn a_machine_of_qemu_is_driven() {
    let place = Place::new();
    let setting = format!("qemu {} dump-file={}", place.keys(""), place.text("memory"));
    let driver = power(&setting);
    assert_eq!(state(&*driver, LIMIT).await, Ok(PowerState::Off), "nobody listens");
    confirmed(&*driver, PowerAction::On).await;
    let first = place.pid();
    confirmed(&*driver, PowerAction::On).await;
    assert_eq!(place.pid(), first, "a machine that is on is let run");
    confirmed(&*driver, PowerAction::Reset).await;
    confirmed(&*driver, PowerAction::Dump).await;
    let memory = std::fs::read(place.path("memory")).expect("it was written");
    assert!(memory.starts_with(b"\x7fELF") && memory.len() > 16 << 20, "{} bytes", memory.len());
    confirmed(&*driver, PowerAction::Cycle).await;
    let second = place.pid();
    assert!(second != first && !is_alive(first) && is_alive(second));
    drop(driver);
    assert_eq!(state(&*power(&setting), LIMIT).await, Ok(PowerState::On), "it outlives its driver");
    confirmed(&*power(&setting), PowerAction::Off).await;
    until("the process is gone", || !is_alive(second)).await;
    let error = failed(&*power(&setting), PowerAction::Reset, LIMIT).await;
    assert!(error.to_string().ends_with("QEMU does not run; give it power first"), "{error}");
}

#[tokio::test]
async fn a_machine_in_the_background_is_interrupted_for_a_dump() {
    let place = Place::new();
    let driver = power(&format!("qemu {}", place.keys("-daemonize")));
    confirmed(&*driver, PowerAction::On).await;
    confirmed(&*driver, PowerAction::Dump).await;
    confirmed(&*driver, PowerAction::Off).await;
    confirmed(&*driver, PowerAction::Off).await;
}

#[tokio::test]
async fn a_machine_that_stands_still_is_let_run_by_power() {
    let place = Place::new();
    let driver = power(&format!("qemu {}", place.keys("-S")));
    confirmed(&*driver, PowerAction::On).await;
    confirmed(&*driver, PowerAction::Reset).await;
    let driver = power(&format!("qemu socket={}", place.text("m1.qmp")));
    assert!(!driver.capabilities().contains(&PowerAction::On), "nothing is set that starts it");
    confirmed(&*driver, PowerAction::Off).await;
}

#[tokio::test]
async fn a_kernel_from_outside_is_in_the_words_of_its_own_start_alone() {
    let place = Place::new();
    let (socket, pid, words) = (place.text("m1.qmp"), place.text("pid"), place.path("words"));
    let qemu = format!("exec {QEMU} -qmp unix:{socket},server=on,wait=off -pidfile {pid}");
    let vm = script(place.folder.path(), "vm", &format!("printf '%s\\n' \"$@\" > {}; {qemu}", words.display()));
    let setting = format!("qemu socket={socket} start='{} up' kernel-folder=/k", vm.display());
    let boot = DirectBoot {
        image: "/k/m1/image".into(),
        initrd: Some("/k/m1/initrd".into()),
        command_line: "quiet muster.boot=a.1".into(),
    };
    let direct = direct_power_driver(&setting.parse().expect("a setting"), &machine(), &boot).expect("it can");
    let said = || std::fs::read_to_string(&words).expect("it was started");
    confirmed(&*direct, PowerAction::Cycle).await;
    assert_eq!(said(), "up\n-kernel\n/k/m1/image\n-initrd\n/k/m1/initrd\n-append\nquiet muster.boot=a.1\n");
    confirmed(&*power(&setting), PowerAction::Cycle).await;
    assert_eq!(said(), "up\n");
    let other = format!("qemu socket={socket} start={}", vm.display()).parse().expect("a setting");
    assert!(direct_power_driver(&other, &machine(), &boot).is_none(), "its setting does not provide for it");
}

#[tokio::test]
async fn a_qemu_that_does_not_answer_is_killed() {
    let place = Place::new();
    let driver = power(&format!("qemu {}", place.keys("")));
    confirmed(&*driver, PowerAction::On).await;
    let pid = place.pid();
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::STOP).expect("it stops");
    for _ in 0..4 {
        let error = state(&*driver, SHORT / 7).await.expect_err("it does not answer");
        assert!(matches!(error, DriverError::Unclear(_)), "{error}");
    }
    let acted = act_and_read_back(&*driver, PowerAction::Off, SHORT * 2, &PACE).await;
    assert_eq!((acted.outcome, acted.seen), (Outcome::Confirmed, PowerState::Off), "{acted:?}");
    until("the process is gone", || !is_alive(pid)).await;
}

#[tokio::test]
async fn what_does_not_start_says_why_and_leaves_nothing_behind() {
    let place = Place::new();
    let error = failed(&*power(&format!("qemu {}", place.keys("-cpu none"))), PowerAction::On, LIMIT).await;
    let expected =
        "the program that starts QEMU ended with exit status: 1: qemu-system-x86_64: unable to find CPU model";
    assert!(error.was_begun() && error.to_string().starts_with(expected), "{error}");
    let (socket, pid) = (place.text("m1.qmp"), place.path("other"));
    let hangs = script(place.folder.path(), "hangs", &format!("echo $$ > {}; sleep 600", pid.display()));
    let driver = power(&format!("qemu socket={socket} start={}", hangs.display()));
    let error = failed(&*driver, PowerAction::On, SHORT).await;
    assert_eq!(error, DriverError::Unclear(format!("QEMU does not listen on {socket} {SHORT:?} after its start")));
    let pid = pid_in(&pid).expect("it began");
    until("the program is gone", || !is_alive(pid)).await;
    let error = state(&*power("qemu socket=/nowhere/m1.qmp"), LIMIT).await.expect_err("there is no folder");
    assert!(!error.was_begun(), "a folder that is not there is a wrong setting, not a machine that is off: {error}");
}

#[tokio::test]
async fn rubbish_on_the_socket_is_no_state() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, says) in [
        ("text", "hello\n"),
        ("other", "{\"greeting\": 1}\n"),
        ("no-end", "{\"QMP\": {}}"),
        ("mute", "{\"QMP\": {}}\n"),
    ] {
        let server = Rude::unix(&folder.path().join(name), Some(says));
        let driver = power(&format!("qemu socket={}", server.path.display()));
        let seen = state(&*driver, SHORT / 7).await;
        assert!(matches!(seen, Err(DriverError::Unclear(_))), "{name}: {seen:?}");
    }
}

#[tokio::test]
async fn a_qemu_that_agrees_and_goes_on_is_found_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = rude::agreeing_qemu(&folder.path().join("qmp"));
    let driver = power(&format!("qemu socket={}", socket.display()));
    let acted = act_and_read_back(&*driver, PowerAction::Off, SHORT, &HASTY).await;
    assert_eq!((acted.outcome, acted.seen), (Outcome::Failed, PowerState::On));
    assert!(matches!(acted.complaint, Some(DriverError::Unclear(_))), "{:?}", acted.complaint);
}

#[tokio::test]
async fn memory_and_disk_are_taken_back_to_a_snapshot() {
    let place = Place::new();
    let disk = format!("-drive file={},if=virtio,format=qcow2", place.image("disk"));
    let machine = power(&format!("qemu {}", place.keys(&disk)));
    let driver = snapshot(&format!("qemu socket={}", place.text("m1.qmp")));
    let error = driver.exists(Deadline::within(LIMIT)).await.expect_err("it is off");
    assert!(error.to_string().contains("give it power first"), "{error}");
    confirmed(&*machine, PowerAction::On).await;
    let restored = restore_and_read_back(&*driver, SnapshotAction::Revert, LIMIT).await;
    assert!(restored.complaint.is_some_and(|error| !error.was_begun()), "there is none yet");
    for action in [SnapshotAction::Take, SnapshotAction::Revert, SnapshotAction::Take] {
        let restored = restore_and_read_back(&*driver, action, LIMIT).await;
        assert_eq!((restored.outcome, restored.complaint), (Outcome::Confirmed, None), "{action}");
    }
}

#[tokio::test]
async fn a_machine_without_a_disk_has_no_snapshot_and_says_so() {
    let place = Place::new();
    confirmed(&*power(&format!("qemu {}", place.keys(""))), PowerAction::On).await;
    let driver = snapshot(&format!("qemu socket={}", place.text("m1.qmp")));
    let restored = restore_and_read_back(&*driver, SnapshotAction::Take, LIMIT).await;
    let said = restored.complaint.expect("it says why").to_string();
    assert!(restored.outcome == Outcome::Failed && said.contains("snapshot"), "{said}");
}

/// Whether an image has anything of its own: a snapshot inside of it is such.
fn has_snapshot(image: &Path) -> bool {
    let output = std::process::Command::new("qemu-img").args(["snapshot", "-U", "-l"]).arg(image).output();
    String::from_utf8_lossy(&output.expect("qemu-img runs").stdout).contains("clean")
}

#[tokio::test]
async fn a_cold_boot_from_a_fresh_overlay_forgets_what_was_written() {
    let place = Place::new();
    let (base, overlay) = (place.image("base"), place.text("{machine}.qcow2"));
    let keys = place.keys(&format!("-drive file={overlay},if=virtio,format=qcow2"));
    let driver = snapshot(&format!("qemu-overlay {keys} base={base} overlay={overlay}"));
    let revert = async || {
        let restored = restore_and_read_back(&*driver, SnapshotAction::Revert, LIMIT).await;
        assert_eq!((restored.outcome, restored.complaint), (Outcome::Confirmed, None));
    };
    revert().await;
    let first = place.pid();
    let inside = snapshot(&format!("qemu socket={}", place.text("m1.qmp")));
    let taken = restore_and_read_back(&*inside, SnapshotAction::Take, LIMIT).await;
    assert_eq!((taken.outcome, taken.complaint), (Outcome::Confirmed, None));
    assert!(has_snapshot(&place.path("m1.qcow2")), "something is in the overlay");
    revert().await;
    assert!(place.pid() != first && !has_snapshot(&place.path("m1.qcow2")) && !has_snapshot(Path::new(&base)));
    let missing = snapshot(&format!("qemu-overlay {keys} base=/nowhere overlay={overlay}"));
    let restored = restore_and_read_back(&*missing, SnapshotAction::Revert, LIMIT).await;
    assert!(restored.complaint.is_some_and(|error| !error.was_begun()), "a base that is not there ends no machine");
    assert!(is_alive(place.pid()));
}
