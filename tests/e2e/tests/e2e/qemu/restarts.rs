//! machine-lifecycle is killed in each phase of a real boot: who leads next goes on where the machine is.

use muster_e2e::SETTLE_LIMIT;
use muster_testkit::qemu::Firmware;
use muster_testkit::wait_until;

use super::{BOOT_LIMIT, GuestLab, KERNEL};

const SERVICE: &str = "machine-lifecycle-a";

#[test]
fn a_boot_is_finished_after_a_kill_in_each_of_its_phases() {
    let mut guest = GuestLab::up(Firmware::Bios, 256, "grub");
    guest.muster_ok(&["machine", "boot", "guest-1", "--yes", "--kernel", KERNEL]);
    for phase in ["installing", "rebooting"] {
        guest.wait(phase, |row| row["phase"] == phase);
        guest.kill_service();
        guest.restart_service();
    }
    // It goes down and comes back while nobody listens: the proof is the first that the next leader hears.
    guest.wait("it goes down", |row| row["health"] != "up");
    guest.kill_service();
    let is_back = format!("kernel {}", guest.images.other.release);
    wait_until("the ordered kernel runs", BOOT_LIMIT, || guest.guest.console().contains(&is_back))
        .unwrap_or_else(|error| panic!("{error}\n{}", guest.told()));
    guest.restart_service();
    guest.wait("it is proven", |row| row["phase"] == "ready" && row["boot_verdict"] == "verified");
    let row = guest.row();
    assert_eq!((&row["boot_attempt"], &row["kernel_release"]), (&1.into(), &guest.images.other.release.clone().into()));
    assert_eq!(guest.judged("verified"), 1, "it is judged once");
    guest.lab.down().expect("nothing is left running");
}

impl GuestLab {
    fn kill_service(&mut self) {
        self.lab.service(SERVICE).expect("it is there").kill9();
    }

    fn restart_service(&mut self) {
        self.lab.service(SERVICE).and_then(|service| service.restart()).expect("it starts again");
        wait_until("it leads", SETTLE_LIMIT, || self.row()["machine"] == "guest-1").expect("it answers");
    }
}
