//! systemd-boot under OVMF boots an ordered kernel once, by an entry and a variable of the firmware.

use muster_testkit::qemu::Firmware;

use super::{GuestLab, KERNEL};

#[test]
fn an_entry_is_booted_once_by_a_variable_of_the_firmware() {
    let guest = GuestLab::up(Firmware::Efi, 256, "systemd-boot");
    let booted = guest.boot(&["--kernel", KERNEL]);
    assert_eq!((&booted["verdict"], &booted["attempt"]), (&"verified".into(), &1.into()), "{}", guest.told());
    assert_eq!(guest.row()["kernel_release"], guest.images.other.release.as_str());
    guest.boot(&["--stock"]);
    assert_eq!(guest.row()["kernel_release"], guest.images.stock.release.as_str());
    guest.lab.down().expect("nothing is left running");
}
