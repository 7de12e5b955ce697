//! Disks as test areas, on loop devices: formatted, mounted, used, dismounted; and left alone where they are not to be touched.

use std::path::PathBuf;

use muster_e2e::{SETTLE_LIMIT, options, start, wait_state};
use muster_testkit::lab::{Lab, LabOptions};
use muster_testkit::{LoopDevice, wait_until};
use serde_json::Value;

const SIZE_BYTES: u64 = 128 << 20;

/// A lab whose first machine has two loop devices. What is named first is dropped first: the lab, then the devices, then the folder.
struct Stand {
    lab: Lab,
    devices: [LoopDevice; 2],
    _scratch: tempfile::TempDir,
}

impl Stand {
    fn up() -> Self {
        let (options, scratch) = options(1, 1).expect("a folder for the lab");
        let device = |name: &str| LoopDevice::new(scratch.path().join(name), SIZE_BYTES).expect("a loop device");
        let devices = [device("image-1"), device("image-2")];
        let paths: Vec<PathBuf> = devices.iter().map(|device| device.path.clone()).collect();
        let lab = Lab::up(LabOptions { disks: 1, devices: paths, ..options }, &|_| ()).expect("the lab comes up");
        Self { lab, devices, _scratch: scratch }
    }

    /// The row of a resource in `muster resource list`.
    fn row(&self, resource: &str) -> Value {
        let rows = self.lab.muster_json(&["resource", "list", "node-1"]).expect("resources are listed");
        let found = rows.as_array().and_then(|rows| rows.iter().find(|row| row["resource"] == resource)).cloned();
        found.unwrap_or_else(|| panic!("{resource} is not in {rows}"))
    }

    fn prepare(&self, task: &str, resource: &str, more: &[&str]) -> String {
        let mut words = vec!["resource", task, "node-1", resource, "--wait"];
        words.extend(more);
        self.lab.muster_ok(&words).unwrap_or_else(|error| panic!("{error}\n{}", self.lab.tails()))
    }

    /// Exit code and what is said of a command that does not do it.
    fn refused(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = self.lab.muster(words).expect("muster runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn processes(&self, job: u64) -> Vec<Value> {
        let rows = self.lab.muster_json(&["ps", "--all", "--job", &job.to_string()]).expect("processes are listed");
        rows.as_array().cloned().unwrap_or_default()
    }
}

#[test]
fn a_disk_becomes_an_area_that_tests_work_in_and_a_device_again() {
    let mut stand = Stand::up();
    let (resource, device) = (stand.devices[0].resource(), stand.devices[0].path.to_string_lossy().into_owned());
    let (code, said) = stand.refused(&["resource", "format", "node-1", &resource]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("--yes") && said.contains(&device) && said.contains("128.0 MiB"), "{said}");
    assert!(stand.devices[0].bytes().expect("it is read").iter().all(|byte| *byte == 0), "nothing was done");

    let said = stand.prepare("format", &resource, &["--yes"]);
    assert!(said.contains("has a new ext4"), "{said}");
    assert_eq!(stand.row(&resource)["protected"], false, "what people formatted is the tests'");
    stand.prepare("mount", &resource, &[]);
    let row = stand.row(&resource);
    let place = PathBuf::from(row["path"].as_str().expect("a path"));
    assert_eq!(
        (&row["area"], &row["area_device"], &row["area_by"]),
        (&"ext4".into(), &device.into(), &"user:lab".into())
    );
    assert_eq!(stand.devices[0].mounted_at(), std::slice::from_ref(&place));
    let (code, said) = stand.refused(&["resource", "format", "node-1", &resource, "--yes"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("mounted as a test area"), "{said}");

    let only = format!("--resources={resource}");
    let more = [only.as_str(), "--param", "file_size=1MiB", "--param", "iops_max=50"];
    let job = start(&stand.lab, "high-io", 2, &more).expect("high-io runs on it");
    wait_state(&stand.lab, job, "running", 2).expect("both run");
    let names = |place: &PathBuf| {
        let entries = std::fs::read_dir(place).expect("the area is read").flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name != "lost+found")
            .count()
    };
    wait_until("they work in the area", SETTLE_LIMIT, || names(&place) == 2).expect("their files are there");

    // An agent's kill between the order and its end changes nothing.
    stand.lab.muster_ok(&["resource", "dismount", "node-1", &resource]).expect("it is ordered");
    let agent = stand.lab.agent("node-1").expect("the agent");
    agent.kill9();
    agent.restart().expect("it starts again");
    wait_state(&stand.lab, job, "finished", 2).expect("what ran there was stopped first");
    let reasons = stand.processes(job).iter().map(|row| row["reason"].to_string()).collect::<Vec<_>>();
    assert!(reasons.iter().all(|reason| reason.contains("prepared")), "{reasons:?}");
    wait_until("it is a device again", SETTLE_LIMIT, || stand.row(&resource)["area"].is_null())
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", stand.row(&resource), stand.lab.tails()));
    assert!(stand.devices[0].mounted_at().is_empty());
    let events = stand.lab.muster_ok(&["events", "--log", "machines"]).expect("events are told");
    let count = |kind: &str| events.lines().filter(|line| line.contains(&format!("\"kind\":\"{kind}\""))).count();
    assert_eq!((count("storage_ordered"), count("storage_ended")), (3, 3), "each order ended once");
    stand.lab.muster_ok(&["stop", "--all", "--yes", "--wait"]).expect("the rest stops");
}

#[test]
fn a_disk_that_is_protected_or_cannot_be_prepared_is_left_as_it_is() {
    let stand = Stand::up();
    let [first, second] = [0, 1].map(|number: usize| stand.devices[number].resource());
    stand.lab.muster_ok(&["resource", "protect", "node-1", &first, "--yes"]).expect("it is protected");
    let before = stand.devices[0].bytes().expect("it is read");
    for words in [vec!["format", "node-1", &first, "--yes"], vec!["mount", "node-1", &first]] {
        let (code, said) = stand.refused(&[&["resource"][..], &words].concat());
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("protected") && said.contains("muster resource release"), "{said}");
    }
    assert_eq!(stand.devices[0].bytes().expect("it is read"), before);
    let (code, said) = stand.refused(&["resource", "mount", "node-1", "disk-disk1"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("directory"), "{said}");
    let (code, said) = stand.refused(&["resource", "mount", "node-1", &second, "--wait"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no file system") && said.contains("format it first"), "{said}");
    assert!(stand.row(&second)["area"].is_null(), "a failed order leaves the disk as it was");
}
