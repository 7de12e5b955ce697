//! QEMU starts the ordered kernel from outside, once; the guest's agent is not asked, and the next start is the guest's own.

use muster_testkit::qemu::Firmware;

use super::{GuestLab, KERNEL};

#[test]
fn qemu_starts_the_ordered_kernel_once_and_the_guests_own_one_otherwise() {
    let mut guest = GuestLab::up(Firmware::Bios, 256, "qemu-direct");
    let kernels = guest.scratch.path().join("kernels");
    let keys = format!("kernel-folder={} command-line='console=ttyS0 quiet panic=1'", kernels.display());
    guest.muster_ok(&["machine", "set", "guest-1", &format!("{} {keys}", guest.guest.power_setting())]);
    let booted = guest.boot(&["--kernel", KERNEL]);
    assert_eq!((&booted["verdict"], &booted["attempt"]), (&"verified".into(), &1.into()), "{}", guest.told());
    assert_eq!(guest.row()["kernel_release"], guest.images.other.release.as_str());
    assert!(!guest.guest.is_on(), "another QEMU runs it now");
    let kept = std::fs::read_dir(kernels.join("guest-1")).expect("a folder for the machine").count();
    assert_eq!(kept, 2, "an image and its initial RAM disk");

    let back = guest.boot(&["--stock"]);
    assert_eq!((&back["kernel"], &back["verdict"]), (&"stock".into(), &"verified".into()), "{}", guest.told());
    assert_eq!(guest.row()["kernel_release"], guest.images.stock.release.as_str());
    let log = guest.muster_ok(&["events", "--log", "machines"]).to_lowercase();
    assert_eq!(log.lines().filter(|line| line.contains("power_begun")).count(), 2, "one start for each boot: {log}");
    guest.lab.down().expect("nothing is left running");
}
