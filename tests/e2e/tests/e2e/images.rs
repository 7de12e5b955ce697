//! `muster reserve --image`: machines are taken back to a snapshot before they are ready, and those that can not be are replaced.

use std::fs;

use muster_e2e::{SETTLE_LIMIT, options};
use muster_testkit::lab::Lab;
use muster_testkit::{kernel, wait_until};
use serde_json::Value;

const KERNEL: &str = "6.9.0-image";

fn lab() -> (Lab, tempfile::TempDir) {
    let (mut options, scratch) = options(0, 1).expect("a folder is made");
    options.simulated = 4;
    let lab = Lab::up(options, &|_| ()).expect("the lab comes up");
    fs::create_dir_all(lab.power_folder()).expect("a folder is made");
    for name in ["sim-1", "sim-2", "sim-3"] {
        let taken = lab.power_folder().join(format!("{name}.snapshots"));
        fs::write(taken, "fresh\n").expect("its snapshot is written");
    }
    let folder = lab.power_folder().display().to_string();
    let snapshot = format!("snapshot=simulated directory={folder} name=fresh");
    lab.muster_ok(&["machine", "set", "sim-1,sim-2,sim-3", &snapshot]).expect("settings are taken");
    lab.muster_ok(&["machine", "set", "*", "boot=simulated", "boot-within=20s", "drain=5s"]).expect("they are taken");
    (lab, scratch)
}

fn reserve(lab: &Lab, arguments: &[&str]) -> Value {
    let wait = ["--for", "10m", "--wait", "--within", "80s"];
    let reserved = lab.muster_json(&[&["reserve"], arguments, &wait[..]].concat());
    reserved.unwrap_or_else(|error| panic!("{error:#}\n{}", lab.tails()))[0].clone()
}

fn machine(lab: &Lab, name: &str) -> Value {
    lab.muster_json(&["machine", "show", name]).map_or(Value::Null, |shown| shown[0].clone())
}

/// How often a machine was taken back.
fn reverts(lab: &Lab, name: &str) -> usize {
    let effects = fs::read_to_string(lab.power_folder().join(format!("{name}.effects"))).unwrap_or_default();
    effects.lines().filter(|line| *line == "revert").count()
}

#[test]
fn machines_are_taken_back_to_their_image_and_then_booted_where_a_kernel_is_wanted() {
    let (lab, scratch) = lab();
    let unknown = lab.muster(&["reserve", "--image", "frehs"]).expect("it runs");
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(unknown.status.code() == Some(4) && said.contains("there are fresh"), "{said}");

    // The first one says no, and another takes its place.
    fs::write(lab.power_folder().join("sim-1.faults"), "fail\n").expect("the fault is written");
    let before = machine(&lab, "sim-2")["incarnation"].as_u64();
    let reserved = reserve(&lab, &["--image", "fresh"]);
    assert_eq!(
        (&reserved["machines"], &reserved["image"]),
        (&serde_json::json!(["sim-2"]), &"fresh".into()),
        "{reserved}"
    );
    assert_eq!((reverts(&lab, "sim-1"), reverts(&lab, "sim-2"), reverts(&lab, "sim-3")), (0, 1, 0));
    assert!(machine(&lab, "sim-2")["incarnation"].as_u64() > before, "its agent came back: {}", machine(&lab, "sim-2"));
    let number = reserved["reservation"].as_u64().expect("a number").to_string();
    let shown = lab.muster_json(&["reservation", "show", &number]).expect("it is shown");
    assert_eq!(shown[0]["image"], "fresh", "{shown}");

    let file = scratch.path().join("vmlinuz");
    let built = kernel::bzimage(KERNEL, &kernel::vmlinux(KERNEL, 62, Some(&[0x5a; 20])));
    fs::write(&file, built).expect("the kernel is written");
    lab.muster_ok(&["kernel", "add", &file.display().to_string()]).expect("the kernel is added");
    let both = reserve(&lab, &["sim-3", "--image", "fresh", "--kernel", KERNEL]);
    assert_eq!((&both["machines"], reverts(&lab, "sim-3")), (&serde_json::json!(["sim-3"]), 1), "{both}");
    assert_eq!(machine(&lab, "sim-3")["kernel_release"], KERNEL, "the kernel comes after the image");

    let waits = lab.muster_json(&["reserve", "--image", "fresh"]).expect("it waits")[0]["reservation"].to_string();
    let why = lab.muster_ok(&["why", &format!("reservation:{waits}")]).expect("it is explained");
    assert!(why.contains("1 without the image: sim-4"), "{why}");
    for held in [number, both["reservation"].to_string()] {
        lab.muster_ok(&["checkin", &held]).expect("it is given back");
    }
    wait_until("the one that waited is ready", SETTLE_LIMIT, || {
        lab.muster_json(&["reservation", "show", &waits]).is_ok_and(|shown| shown[0]["state"] == "ready")
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", lab.muster_ok(&["reservation", "list"]), lab.tails()));
    lab.down().expect("nothing is left running");
}
