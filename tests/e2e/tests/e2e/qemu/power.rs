//! Power and snapshots of a real machine, as Muster sees them: a cut is another boot, and what comes back to life is of the same boot but
//! of an incarnation of its own.

use muster_e2e::wait_state;
use muster_testkit::qemu::{Firmware, Guest};
use muster_testkit::wait_until;
use serde_json::json;

use super::{BOOT_LIMIT, GuestLab, KERNEL};

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

    guest.muster_ok(&["machine", "set", "guest-1", &guest.guest.snapshot_setting()]);
    let reverted = guest.lab.muster_json(&["machine", "revert", "guest-1", "--yes", "--wait", "--within", "120s"]);
    let reverted = reverted.unwrap_or_else(|error| panic!("{error:#}\n{}", guest.told()));
    assert_eq!((&reverted[0]["task"], &reverted[0]["stands"]), (&"revert".into(), &"done".into()), "{reverted}");
    let incarnation = |row: &serde_json::Value| row["incarnation"].as_u64();
    guest.wait("it said hello again", |row| row["phase"] == "ready" && incarnation(row) > incarnation(&cut));
    assert_eq!(guest.row()["boot_id"], before["boot_id"], "nothing was booted");

    guest.guest.reset().expect("its button is pressed");
    guest.wait("it is back", |row| row["health"] == "up" && row["boot_id"] != before["boot_id"]);
    guest.lab.down().expect("nothing is left running");
}

/// A guest that hangs on its way into a kernel says nothing, and does not take the button: its power is taken away and given again.
#[test]
fn a_guest_that_hangs_is_reset_and_power_cycled_and_then_proven() {
    let mut guest = GuestLab::up(Firmware::Bios, 256, "grub");
    guest.muster_ok(&["machine", "set", "guest-1", &guest.guest.power_setting(), "boot-within=60s", "drain=1s"]);
    guest.muster_ok(&["machine", "boot", "guest-1", "--kernel", KERNEL, "--yes"]);
    guest.wait("it goes down", |row| row["phase"] == "rebooting");
    guest.guest.freeze().expect("nothing of it moves");
    guest.wait("its button is pressed", |row| row["switched"] == "reset");
    guest.wait("its power is to be cycled", |row| row["switched"] == "cycle");
    guest.wait("its power is cycled", |row| row["switched"] == "cycle" && row["switched_stands"] == "done");
    guest.wait("the cycle took it into its own kernel", |row| row["boot_attempt"].as_u64() >= Some(2));
    guest.wait("it is proven", |row| row["phase"] == "ready" && row["boot_verdict"] == "verified");
    assert!(!guest.guest.is_on(), "another QEMU runs it now");
    let log = guest.muster_ok(&["events", "--log", "machines"]).to_lowercase();
    let begun: Vec<_> = log.lines().filter(|line| line.contains("power_begun")).take(2).collect();
    assert!(begun[0].contains("\"task\":\"reset\"") && begun[1].contains("\"task\":\"cycle\""), "{begun:?}");
    guest.lab.down().expect("nothing is left running");
}

/// Four guests, three are enough: one loses its power on the way, and the rollout starts at the end of its countdown.
#[test]
fn a_rollout_of_four_guests_starts_with_three_at_the_end_of_its_countdown() {
    let mut first = GuestLab::up(Firmware::Bios, 224, "grub");
    let mut others: Vec<Guest> = (2..=4).map(|number| first.another(number, 224)).collect();
    first.wait_all("all are up", 4, |row| row["health"] == "up");
    first.lab.let_take_part(4).expect("they take part");
    first.muster_ok(&["machine", "set", "*", "boot=grub", "boot-within=150s", "drain=1s"]);
    let quorum = ["--target", "4", "--minimum", "3", "--countdown", "20s", "--give-up", "10m", "--yes"];
    first.muster_ok(
        &[&["rollout", "start", "--kernel", KERNEL, "--then", "start idle --per-machine 1"], &quorum[..]].concat(),
    );
    first.wait_all("all go down", 4, |row| row["phase"] == "rebooting" || row["phase"] == "verifying");
    others[2].off();
    let state = |state: &str| first.lab.muster_json(&["rollout", "list"]).is_ok_and(|rows| rows[0]["state"] == state);
    wait_until("it is ready", BOOT_LIMIT, || state("ready") || state("active"))
        .unwrap_or_else(|error| panic!("{error}\n{}", first.told()));
    let found = first.lab.muster_json(&["rollout", "list"]).expect("it is listed");
    assert_eq!((&found[0]["ready"], &found[0]["dropped"]), (&3.into(), &json!(["guest-4"])), "{found}");
    wait_state(&first.lab, 1, "running", 3).expect("what follows runs on the three");
    others.iter_mut().for_each(Guest::off);
    first.guest.off();
    first.lab.down().expect("nothing is left running");
}
