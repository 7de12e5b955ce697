//! Machines that boot for real, in QEMU: two kernels of the distribution, boot loaders and the node agent as they are.

mod direct;
mod grub;
mod ignored;
mod kexec;
mod power;
mod rejoin;
mod restarts;
mod systemd_boot;

use std::time::Duration;

use muster_e2e::{options, programs};
use muster_testkit::lab::Lab;
use muster_testkit::qemu::{Firmware, Guest, GuestOptions, Images, images};
use muster_testkit::wait_until;
use serde_json::Value;

/// Ten times what one boot takes on an idle machine.
const BOOT_LIMIT: Duration = Duration::from_secs(150);
/// What the ordered kernel is called.
const KERNEL: &str = "other";

/// A lab whose only machine is a guest.
struct GuestLab {
    lab: Lab,
    guest: Guest,
    images: Images,
    scratch: tempfile::TempDir,
}

impl GuestLab {
    /// Brings it up, with the other kernel in the list and the guest booted by `driver` where it is ordered into it.
    fn up(firmware: Firmware, memory_mib: u32, driver: &str) -> Self {
        Self::beside(0, firmware, memory_mib, driver)
    }

    /// The same with so many machines of the lab's own beside the guest.
    fn beside(machines: u32, firmware: Firmware, memory_mib: u32, driver: &str) -> Self {
        let (options, scratch) = options(machines, 1).expect("a folder is made");
        let lab = Lab::up(options, &|_| ()).expect("the lab comes up");
        let images = images(&programs().expect("they are built")).expect("the images are made");
        let guest = start(&lab, &images, "guest-1", memory_mib, firmware);
        let this = Self { lab, guest, images, scratch };
        this.add_kernel(KERNEL, "");
        this.wait("the guest is up", |row| row["health"] == "up");
        this.lab.let_take_part(machines + 1).expect("they take part");
        let boot = format!("boot={driver}");
        this.muster_ok(&["machine", "set", "guest-1", &boot, "attempts=3", "boot-within=150s", "drain=5s"]);
        this
    }

    /// One more guest of the lab.
    fn another(&self, number: u32, memory_mib: u32) -> Guest {
        start(&self.lab, &self.images, &format!("guest-{number}"), memory_mib, Firmware::Bios)
    }

    /// Waits until so many machines are seen so.
    fn wait_all(&self, what: &str, count: usize, holds: impl Fn(&Value) -> bool) {
        let all = || {
            let rows = self.lab.muster_json(&["machine", "list"]).unwrap_or_default();
            rows.as_array().into_iter().flatten().filter(|row| holds(row)).count() >= count
        };
        wait_until(what, BOOT_LIMIT, all).unwrap_or_else(|error| panic!("{error}\n{}", self.told()));
    }

    /// Puts the other kernel into the list, with what it adds to the command line.
    fn add_kernel(&self, name: &str, command_line: &str) {
        let (image, initrd) = (self.images.other.image.display(), self.images.other_initrd());
        let (image, initrd) = (image.to_string(), initrd.display().to_string());
        let command_line = format!("--cmdline={command_line}");
        self.muster_ok(&["kernel", "add", &image, "--initrd", &initrd, "--name", name, &command_line]);
    }

    /// Runs the command line tool, which has to succeed.
    fn muster_ok(&self, arguments: &[&str]) -> String {
        self.lab.muster_ok(arguments).unwrap_or_else(|error| panic!("{error:#}\n{}", self.told()))
    }

    /// Orders a boot and waits for its end.
    fn boot(&self, into: &[&str]) -> Value {
        let order = ["machine", "boot", "guest-1", "--yes", "--wait", "--within", "400s"];
        let booted = self.lab.muster_json(&[&order, into].concat());
        booted.unwrap_or_else(|error| panic!("{error:#}\n{}", self.told()))[0].clone()
    }

    /// The guest as Muster sees it.
    fn row(&self) -> Value {
        self.lab.muster_json(&["machine", "list"]).unwrap_or_default()[0].clone()
    }

    /// Waits until it is seen so.
    fn wait(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        wait_until(what, BOOT_LIMIT, || holds(&self.row())).unwrap_or_else(|error| panic!("{error}\n{}", self.told()));
    }

    /// How often it was judged so, by the log.
    fn judged(&self, verdict: &str) -> usize {
        let log = self.muster_ok(&["events", "--log", "machines"]);
        let fits = |line: &&str| line.contains("boot_judged") && line.to_lowercase().contains(verdict);
        log.lines().filter(fits).count()
    }

    fn told(&self) -> String {
        format!("{}\n{}\n{}", self.row(), self.lab.tails(), self.guest.console_tail())
    }
}

fn start(lab: &Lab, images: &Images, machine: &str, memory_mib: u32, firmware: Firmware) -> Guest {
    let options = GuestOptions {
        machine: machine.into(),
        nats: lab.nats_url().replace("127.0.0.1", "10.0.2.2"),
        folder: lab.directory().join(machine),
        lab: lab.directory().to_owned(),
        memory_mib,
        firmware,
    };
    Guest::start(images, &options).expect("the guest starts")
}
