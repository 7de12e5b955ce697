//! GRUB boots an ordered kernel once; what crashes comes back in the stock kernel, tells why, and is taken into the ordered one again.

use muster_e2e::{SETTLE_LIMIT, start};
use muster_testkit::qemu::Firmware;
use muster_testkit::wait_until;

use super::{BOOT_LIMIT, GuestLab, KERNEL};
use crate::triggers::arm;

#[test]
fn an_ordered_kernel_is_proven_and_after_its_crash_again_with_the_record_of_it() {
    let guest = GuestLab::up(Firmware::Bios, 256, "grub");
    let booted = guest.boot(&["--kernel", KERNEL]);
    assert_eq!((&booted["verdict"], &booted["attempt"]), (&"verified".into(), &1.into()), "{}", guest.told());
    let row = guest.row();
    let kernels = guest.lab.muster_json(&["kernel", "list"]).expect("kernels are listed");
    assert_eq!(row["kernel_release"], guest.images.other.release.as_str());
    assert_eq!(row["kernel_build_id"], kernels[0]["build_id"], "the build id of the image is that of the kernel");

    assert!(guest.guest.console().contains("the init of this machine is asked to reboot"), "{}", guest.told());

    arm(&guest.lab, &["7", "--on", "guest-1", "--action", "crash"]);
    let fired = guest.lab.muster_json(&["trigger", "fire", "7", "--note", "a real crash", "--yes"]);
    let firing = fired.expect("it fires")[0]["firing"].as_str().expect("a firing").to_owned();
    wait_until("it crashed", BOOT_LIMIT, || guest.judged("crashed_back") == 1)
        .unwrap_or_else(|error| panic!("{error}\n{}", guest.told()));
    guest.wait("it is proven again", |row| {
        row["health"] == "up" && row["boot_verdict"] == "verified" && row["boot_attempt"] == 2
    });
    assert_eq!(guest.row()["kernel_release"], guest.images.other.release.as_str());
    let files = || guest.lab.muster_json(&["artifact", "list", "--firing", &firing]).unwrap_or_default();
    wait_until("the record of the crash is kept", SETTLE_LIMIT, || {
        files().as_array().is_some_and(|rows| !rows.is_empty())
    })
    .unwrap_or_else(|error| {
        let all = guest.lab.muster_json(&["artifact", "list", "--crash-files"]);
        panic!("{error}: {all:?}\n{}", guest.told())
    });
    let to = guest.scratch.path().join("fetched");
    guest.muster_ok(&["artifact", "get", "--firing", &firing, "--to", &to.to_string_lossy()]);
    let mut there = std::fs::read_dir(to.join("guest-1")).expect("a folder for the machine");
    let record = there.next().expect("a file").expect("it can be listed").path();
    let record = String::from_utf8_lossy(&std::fs::read(record).expect("it is read")).into_owned();
    assert!(record.contains("sysrq triggered crash"), "{record}");

    an_announced_crash_is_nobodys_trouble(&guest);

    let back = guest.boot(&["--stock"]);
    assert_eq!((&back["kernel"], &back["verdict"]), (&"stock".into(), &"verified".into()));
    assert_eq!(guest.row()["kernel_release"], guest.images.stock.release.as_str());
    guest.lab.down().expect("nothing is left running");
}

/// A test crashes the kernel that it runs on: it is taken into it again, and the test goes on there with its next attempt.
fn an_announced_crash_is_nobodys_trouble(guest: &GuestLab) {
    let before = guest.row();
    let parameters = ["--param", "away=crash", "--param", "back_within=600s"];
    let job = start(&guest.lab, "idle", 1, &parameters).unwrap_or_else(|error| panic!("{error:#}\n{}", guest.told()));
    let process = || guest.lab.muster_json(&["ps", "--all", "--job", &job.to_string()]).unwrap_or_default()[0].clone();
    wait_until("the test goes on after its crash", BOOT_LIMIT * 2, || process()["state"] == "finished")
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", process(), guest.told()));
    let (ended, after) = (process(), guest.row());
    assert_eq!((&ended["attempt"], &ended["verdict"]), (&2.into(), &"pass".into()), "{ended}");
    assert_eq!(after["recent_failures"], before["recent_failures"], "{}", guest.told());
    assert_eq!((&after["boot_verdict"], &after["kernel_release"]), (&"verified".into(), &before["kernel_release"]));
    assert_eq!(guest.judged("crashed_back"), 1, "what was announced is not judged");
}
