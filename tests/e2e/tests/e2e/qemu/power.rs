//! Power and snapshots of a real machine, as Muster sees them: a cut is another boot, and what comes back to life is of the same boot but
//! of an incarnation of its own.

use muster_testkit::qemu::Firmware;

use super::GuestLab;

#[test]
fn a_power_cut_is_another_boot_and_a_snapshot_is_the_same_boot_of_another_incarnation() {
    let mut guest = GuestLab::up(Firmware::Bios, 256, "grub");
    let before = guest.row();
    guest.guest.save("clean").expect("it is kept");

    guest.guest.off();
    guest.wait("its silence is noticed", |row| row["health"] != "up");
    guest.guest.on().expect("it has power");
    guest.wait("it is back", |row| row["health"] == "up" && row["boot_id"] != before["boot_id"]);
    let cut = guest.row();
    assert_eq!((&cut["phase"], &cut["kernel_release"]), (&before["phase"], &before["kernel_release"]), "{cut}");

    guest.guest.load("clean").expect("it goes back");
    let incarnation = |row: &serde_json::Value| row["incarnation"].as_u64();
    guest.wait("it said hello again", |row| row["health"] == "up" && incarnation(row) > incarnation(&cut));
    assert_eq!(guest.row()["boot_id"], before["boot_id"], "nothing was booted");

    guest.guest.reset().expect("its button is pressed");
    guest.wait("it is back", |row| row["health"] == "up" && row["boot_id"] != before["boot_id"]);
    guest.lab.down().expect("nothing is left running");
}
