//! One guest: its power switch, its monitor, what it says on its console.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::images::Images;
use super::qmp::Qmp;
use crate::tools::{packaged_in, run_in, unpacked};
use crate::{Process, Spawn, wait_until};

/// Its monitor listens within this.
const START_LIMIT: Duration = Duration::from_secs(30);
/// It is off within this after it was told to be.
const OFF_GRACE: Duration = Duration::from_secs(5);

/// What boots a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS, and GRUB behind it.
    Bios,
    /// The same with a GRUB that passes over what is to be booted once.
    BiosWithoutBootOnce,
    /// OVMF, and systemd-boot behind it.
    Efi,
}

/// A guest.
#[derive(Debug, Clone)]
pub struct GuestOptions {
    /// Machine id of its agent.
    pub machine: String,
    /// URL of the bus, as a guest sees it: the host is 10.0.2.2.
    pub nats: String,
    /// Folder for its disk, socket and console; its name is short.
    pub folder: PathBuf,
    /// Folder of the lab that it belongs to, which ends it too.
    pub lab: PathBuf,
    /// Memory, MiB: at least 192.
    pub memory_mib: u32,
    /// What boots it.
    pub firmware: Firmware,
}

/// A guest that is on or off; it ends when dropped.
#[derive(Debug)]
pub struct Guest {
    process: Process,
    command: String,
    folder: PathBuf,
    is_on: bool,
}

impl Guest {
    /// Makes its disk and switches it on.
    ///
    /// # Errors
    /// When QEMU can not be obtained, or does not start.
    pub fn start(images: &Images, options: &GuestOptions) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&options.folder).context("make the folder of a guest")?;
        make_layers(images, options)?;
        let spawn = spawn(options)?;
        let command = format!("{} {}", text(&spawn.program), spawn.arguments.join(" "));
        let mut guest = Self { process: Process::start(spawn)?, command, folder: options.folder.clone(), is_on: true };
        guest.wait_monitor()?;
        Ok(guest)
    }

    /// What QEMU returns to a command of its monitor (QMP).
    ///
    /// # Errors
    /// When it is off, or refuses.
    pub fn qmp(&self, command: &str, arguments: &Value) -> anyhow::Result<Value> {
        Qmp::connect(&self.socket())?.ask(command, arguments)
    }

    /// The setting of its power, for whoever is to switch it: its socket, and what starts it.
    #[must_use]
    pub fn power_setting(&self) -> String {
        format!("power=qemu socket={} start='{}'", self.socket().display(), self.command)
    }

    /// The setting of its snapshot, which [`Guest::save`] keeps as `clean`.
    #[must_use]
    pub fn snapshot_setting(&self) -> String {
        format!("snapshot=qemu socket={}", self.socket().display())
    }

    /// Whether it has power.
    pub fn is_on(&mut self) -> bool {
        self.is_on && self.process.is_running()
    }

    /// Takes its power away.
    pub fn off(&mut self) {
        if self.is_on() {
            // QEMU writes out what the guest's disk took, which is what a disk does too; then it ends.
            let _ = self.qmp("quit", &json!({}));
            let _ = wait_until("QEMU ended", OFF_GRACE, || !self.process.is_running());
        }
        self.process.kill9();
        self.is_on = false;
    }

    /// Gives it power.
    ///
    /// # Errors
    /// When QEMU does not start.
    pub fn on(&mut self) -> anyhow::Result<()> {
        if !self.is_on() {
            self.process.restart()?;
            self.is_on = true;
            self.wait_monitor()?;
        }
        Ok(())
    }

    /// Lets nothing of it move, its monitor included: only who takes its power away gets on.
    ///
    /// # Errors
    /// When it is off.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// Presses its reset button.
    ///
    /// # Errors
    /// When it is off.
    pub fn reset(&self) -> anyhow::Result<()> {
        self.qmp("system_reset", &json!({})).map(drop)
    }

    /// Keeps memory and disk of a running guest under a name. Only without firmware for EFI, whose variables are not kept.
    ///
    /// # Errors
    /// When it is off, or the disk does not take it.
    pub fn save(&self, name: &str) -> anyhow::Result<()> {
        self.monitor(&format!("savevm {name}"))
    }

    /// Goes back to what was kept.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn load(&self, name: &str) -> anyhow::Result<()> {
        self.monitor(&format!("loadvm {name}"))
    }

    /// Commands of people, who are told errors as text.
    fn monitor(&self, line: &str) -> anyhow::Result<()> {
        let said = self.qmp("human-monitor-command", &json!({ "command-line": line }))?;
        let said = said.as_str().unwrap_or_default().trim();
        ensure!(said.is_empty(), "{line}: {said}");
        Ok(())
    }

    /// Everything that it said on its console, in all boots.
    #[must_use]
    pub fn console(&self) -> String {
        let said = std::fs::read(self.folder.join("console")).unwrap_or_default();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// The end of it, for error messages.
    #[must_use]
    pub fn console_tail(&self) -> String {
        let said = self.console();
        let lines: Vec<&str> = said.lines().collect();
        format!("--- console\n{}\n{}", lines[lines.len().saturating_sub(40)..].join("\n"), self.process.log_tail())
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("qmp")
    }

    fn wait_monitor(&mut self) -> anyhow::Result<()> {
        let socket = self.socket();
        wait_until("QEMU's monitor answers", START_LIMIT, || Qmp::connect(&socket).is_ok())
            .with_context(|| format!("start a guest: {}", self.process.log_tail()))
    }
}

/// Layers over what all guests share: its disk, and the variables of its firmware.
fn make_layers(images: &Images, options: &GuestOptions) -> anyhow::Result<()> {
    let disk = match options.firmware {
        Firmware::Bios | Firmware::Efi => images.disk(),
        Firmware::BiosWithoutBootOnce => images.disk_without_boot_once(),
    };
    let program = text(&packaged_in("qemu-img", "qemu-utils")?);
    let arguments = ["create", "-q", "-f", "qcow2", "-b", &text(&disk), "-F", "raw", "disk"];
    run_in(&options.folder, &program, &arguments).context("make the disk of a guest")?;
    if options.firmware == Firmware::Efi {
        let variables = ovmf()?.join("OVMF_VARS_4M.fd");
        std::fs::copy(variables, options.folder.join("variables")).context("make the firmware's variables")?;
    }
    Ok(())
}

fn ovmf() -> anyhow::Result<PathBuf> {
    Ok(unpacked("ovmf")?.join("usr/share/OVMF"))
}

fn spawn(options: &GuestOptions) -> anyhow::Result<Spawn> {
    let folder = text(&options.folder);
    let mut arguments = vec![
        // A device for hardware virtualisation may be there and still boot no kernel.
        "-accel tcg,tb-size=32 -nodefaults -display none -no-user-config".to_owned(),
        format!("-m {} -smbios type=1,serial={},sku={}", options.memory_mib, options.machine, options.nats),
        // What it wrote outlives QEMU in the host's memory, which is all that its power switch needs: nothing waits for the host's disk.
        format!("-drive if=virtio,format=qcow2,cache=unsafe,file={folder}/disk"),
        "-netdev user,id=net -device virtio-net-pci,netdev=net,romfile=".into(),
        format!("-chardev file,id=console,append=on,path={folder}/console -serial chardev:console"),
        format!("-qmp unix:{folder}/qmp,server=on,wait=off"),
    ];
    if options.firmware == Firmware::Efi {
        let code = text(&ovmf()?.join("OVMF_CODE_4M.fd"));
        arguments.push(format!("-drive if=pflash,format=raw,readonly=on,file={code}"));
        arguments.push(format!("-drive if=pflash,format=raw,file={folder}/variables"));
    }
    Ok(Spawn {
        name: options.machine.clone(),
        program: packaged_in("qemu-system-x86_64", "qemu-system-x86")?,
        arguments: arguments.iter().flat_map(|line| line.split(' ')).map(str::to_owned).collect(),
        environment: BTreeMap::from([("MUSTER_LAB".into(), format!("{}/", text(&options.lab)))]),
        log: options.folder.join("qemu.log"),
        user: None,
    })
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
