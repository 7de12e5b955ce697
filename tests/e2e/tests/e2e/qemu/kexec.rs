//! kexec takes a machine into the ordered kernel without its firmware; the boot after that goes through it, into the stock kernel. So
//! does the end of a kernel that does not come up.

use muster_testkit::qemu::Firmware;

use super::{GuestLab, KERNEL};

#[test]
fn the_running_kernel_starts_the_ordered_one_and_the_next_boot_is_the_stock_kernel() {
    let guest = GuestLab::up(Firmware::Bios, 512, "kexec");
    let booted = guest.boot(&["--kernel", KERNEL]);
    assert_eq!((&booted["verdict"], &booted["attempt"]), (&"verified".into(), &1.into()), "{}", guest.told());
    assert_eq!(guest.row()["kernel_release"], guest.images.other.release.as_str());
    guest.boot(&["--stock"]);
    assert_eq!(guest.row()["kernel_release"], guest.images.stock.release.as_str());

    // The kernel finds nothing to run, panics, and reboots by itself.
    guest.add_kernel("broken", "rdinit=/none init=/none");
    guest.muster_ok(&["machine", "set", "guest-1", "attempts=1"]);
    guest.muster_ok(&["machine", "boot", "guest-1", "--yes", "--kernel", "broken"]);
    guest.wait("it is given up", |row| row["phase"] == "offline" && row["health"] == "up");
    assert_eq!(guest.row()["boot_verdict"], "wrong_kernel", "{}", guest.told());
    assert!(guest.guest.console().contains("Kernel panic"), "{}", guest.told());
    assert_eq!(guest.boot(&["--stock"])["verdict"], "verified");
    guest.lab.down().expect("nothing is left running");
}
