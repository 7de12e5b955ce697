//! A test on three machines reboots one of them for real, twice, and all three meet in each round.

use muster_e2e::job_number;
use muster_testkit::qemu::Firmware;
use muster_testkit::wait_until;
use serde_json::Value;

use super::{BOOT_LIMIT, GuestLab};

#[test]
fn a_guest_that_its_test_reboots_meets_the_machines_beside_it_again() {
    let guest = GuestLab::beside(2, Firmware::Bios, 256, "grub");
    let before = guest.row();
    let parameters = ["sync=true", "away=reboot", "away_process=1", "rounds=2", "back_within=600s"];
    let mut arguments = vec!["start", "idle", "--per-machine", "1", "--wait", "--timeout", "90s"];
    parameters.iter().for_each(|parameter| arguments.extend(["--param", parameter]));
    let started = guest.lab.muster_json(&arguments).unwrap_or_else(|error| panic!("{error:#}\n{}", guest.told()));
    let job = job_number(&started).expect("it has a number").to_string();
    let processes = || -> Vec<Value> {
        let rows = guest.lab.muster_json(&["ps", "--all", "--job", &job]).unwrap_or_default();
        rows.as_array().cloned().unwrap_or_default()
    };
    let has_ended = |row: &Value| row["state"] == "finished" || row["state"] == "dead" || row["state"] == "lost";
    wait_until("all rounds are over", BOOT_LIMIT * 2, || {
        let rows = processes();
        rows.len() == 3 && rows.iter().all(has_ended)
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", processes(), guest.told()));
    let ended = processes();
    let column = |name: &str| ended.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(column("verdict"), ["pass"; 3], "{ended:?}\n{}", guest.told());
    assert_eq!(
        (column("machine")[0].as_str(), column("attempt")),
        (Some("guest-1"), vec![3.into(), 1.into(), 1.into()])
    );
    let after = guest.row();
    assert!(after["boot_id"] != before["boot_id"] && after["recent_failures"] == before["recent_failures"], "{after}");
    guest.lab.down().expect("nothing is left running");
}
