//! A boot loader that passes over what is to be booted once brings the stock kernel back: that is noticed, tried again, and given up.

use muster_testkit::qemu::Firmware;

use super::{GuestLab, KERNEL};

#[test]
fn the_wrong_kernel_is_noticed_tried_again_and_given_up_with_its_reason() {
    let guest = GuestLab::up(Firmware::BiosWithoutBootOnce, 256, "grub");
    guest.muster_ok(&["machine", "set", "guest-1", "attempts=2"]);
    guest.muster_ok(&["machine", "boot", "guest-1", "--yes", "--kernel", KERNEL]);
    guest.wait("it is given up", |row| row["phase"] == "offline" && row["health"] == "up");
    let row = guest.row();
    assert_eq!((&row["boot_verdict"], &row["boot_attempt"]), (&"wrong_kernel".into(), &2.into()), "{row}");
    let reason = row["boot_reason"].as_str().unwrap_or_default();
    assert!(reason.contains(&guest.images.stock.release) && reason.contains("2 of 2 attempts"), "{reason}");
    assert_eq!(guest.judged("wrong_kernel"), 2);
    // The way back is open: nothing is left prepared.
    let back = guest.boot(&["--stock"]);
    assert_eq!(back["verdict"], "verified", "{back}");
    guest.lab.down().expect("nothing is left running");
}
