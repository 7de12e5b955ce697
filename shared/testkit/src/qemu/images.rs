//! The images that all guests share. They are made once for each build of the agent, and never changed: each guest writes into a layer of
//! its own.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;

use super::disk::{self, BootOnce};
use super::initrd;
use super::kernels::{self, GuestKernel};
use crate::tools;

/// Programs that guests run.
const PROGRAMS: [&str; 2] = ["muster-agent", "muster-keeper"];
/// How images are made, which they depend on too.
const SOURCES: [&str; 4] =
    [include_str!("archive.rs"), include_str!("disk.rs"), include_str!("images.rs"), include_str!("initrd.rs")];
/// What guests boot with in any case. A megabyte of their memory is kept out of use for what the kernel says of its crash.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=1 memmap=1M$0xb000000 ramoops.mem_address=0xb000000 ramoops.mem_size=0x100000 \
                            ramoops.record_size=0x20000 ramoops.ecc=1";

/// GRUB's configuration, as far as distributions make it: an entry that is named in the environment is booted once.
const GRUB: &str = r#"set timeout=0
terminal_output console
load_env
if [ "${next_entry}" ]; then
    set default="${next_entry}"
    set next_entry=
    save_env next_entry
else
    set default=stock
fi
menuentry stock --id stock {
    linux /stock/vmlinuz COMMAND_LINE
    initrd /stock/initrd
}
if [ -f ${prefix}/custom.cfg ]; then source ${prefix}/custom.cfg; fi
"#;

/// systemd-boot's entry for the stock kernel.
const STOCK_ENTRY: &str = "title stock\nlinux /stock/vmlinuz\ninitrd /stock/initrd\noptions COMMAND_LINE\n";

/// Starts the agent: the machine's serial number is its name, and its stock-keeping unit is its bus.
const AGENT: &str = r#"#!/bin/busybox sh
printf 'crash = true\n' > /tmp/triggers.toml
printf 'own_users = false\nroot = ["*"]\n' > /tmp/policy.toml
chmod 644 /tmp/*.toml
mkdir -p /tmp/disk
exec > /dev/console 2>&1
echo "kernel $(uname -r)"
export MUSTER_NATS=$(cat /sys/class/dmi/id/product_sku)
export MUSTER_INSECURE_LOCAL=true
exec /boot/system/muster-agent --machine "$(cat /sys/class/dmi/id/product_serial)" --state /boot/state --disk /tmp/disk \
    --policy /tmp/policy.toml --trigger-policy /tmp/triggers.toml --crash-files /sys/fs/pstore --allow-boot grub,kexec,systemd-boot --esp /esp
"#;

/// What guests are made of.
#[derive(Debug, Clone)]
pub struct Images {
    folder: PathBuf,
    /// What guests boot by themselves.
    pub stock: GuestKernel,
    /// Another kernel, to be ordered.
    pub other: GuestKernel,
}

impl Images {
    /// The initial RAM disk of the other kernel.
    #[must_use]
    pub fn other_initrd(&self) -> PathBuf {
        self.folder.join("other-initrd")
    }

    /// The disk under the layers of guests.
    pub(super) fn disk(&self) -> PathBuf {
        self.folder.join("disk.raw")
    }

    /// The same with a GRUB that passes over what is to be booted once.
    pub(super) fn disk_without_boot_once(&self) -> PathBuf {
        self.folder.join("disk-without-boot-once.raw")
    }
}

/// The images for the programs in a folder; makes them where they are not there yet.
///
/// # Errors
/// When something of them can not be obtained or made.
pub fn images(programs: &Path) -> anyhow::Result<Images> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let [stock, other] = kernels::two()?;
    let all = tools::root().join("target/guests");
    let folder = all.join(format!("{:016x}", key(programs, &[&stock, &other])?));
    let images = Images { folder: folder.clone(), stock, other };
    if !folder.is_dir() {
        std::fs::create_dir_all(&all).context("make the folder of guests")?;
        remove_old(&all).context("remove older images of guests")?;
        let scratch = tempfile::tempdir_in(&all).context("make a scratch folder")?;
        make(&images, programs, scratch.path()).context("make the images of guests")?;
        match std::fs::rename(scratch.path().join("done"), &folder) {
            // Another process made them meanwhile.
            Err(_) if folder.is_dir() => {}
            renamed => renamed.context("keep the images of guests")?,
        }
    }
    Ok(images)
}

/// What the images depend on, as a number.
fn key(programs: &Path, kernels: &[&GuestKernel]) -> anyhow::Result<u64> {
    let mut hasher = DefaultHasher::new();
    SOURCES.hash(&mut hasher);
    for kernel in kernels {
        kernel.release.hash(&mut hasher);
    }
    for program in PROGRAMS {
        let path = programs.join(program);
        std::fs::read(&path).with_context(|| format!("read {}", path.display()))?.hash(&mut hasher);
    }
    Ok(hasher.finish())
}

/// Two builds are kept: of this one, and of one that may be in use beside it.
fn remove_old(all: &Path) -> std::io::Result<()> {
    let mut folders: Vec<_> = std::fs::read_dir(all)?.flatten().collect();
    folders.sort_by_key(|folder| folder.metadata().and_then(|meta| meta.modified()).ok());
    folders.reverse();
    folders.iter().skip(1).try_for_each(|folder| std::fs::remove_dir_all(folder.path()))
}

fn make(images: &Images, programs: &Path, scratch: &Path) -> anyhow::Result<()> {
    let (boot, esp, done) = (scratch.join("boot"), scratch.join("esp"), scratch.join("done"));
    let initrd = initrd::make(&images.stock)?;
    for place in [&boot, &esp] {
        write(&place.join("stock/initrd"), &initrd)?;
        copy(&images.stock.image, &place.join("stock/vmlinuz"))?;
    }
    write(&boot.join("grub/grub.cfg"), GRUB.replace("COMMAND_LINE", &COMMAND_LINE.replace('$', "\\$")).as_bytes())?;
    write(&esp.join("loader/loader.conf"), b"timeout 0\ndefault stock.conf\n")?;
    let entry = STOCK_ENTRY.replace("COMMAND_LINE", COMMAND_LINE);
    write(&esp.join("loader/entries/stock.conf"), entry.as_bytes())?;
    let loader = tools::unpacked("systemd-boot-efi")?.join("usr/lib/systemd/boot/efi/systemd-bootx64.efi");
    copy(&loader, &esp.join("EFI/BOOT/BOOTX64.EFI"))?;
    put_agent(programs, &boot.join("system"))?;
    std::fs::create_dir(&done).context("make a folder")?;
    write(&done.join("other-initrd"), &initrd::make(&images.other)?)?;
    let disk = done.join("disk.raw");
    disk::make(&disk, &boot, &esp, scratch)?;
    let without = done.join("disk-without-boot-once.raw");
    tools::run_in(&done, "cp", &["--sparse=always", "disk.raw", &without.to_string_lossy()])?;
    disk::write_grub(&without, scratch, BootOnce::Ignored)
}

/// The agent that was built, with the libraries that it needs: so no second build for guests is necessary.
fn put_agent(programs: &Path, system: &Path) -> anyhow::Result<()> {
    write(&system.join("agent"), AGENT.as_bytes())?;
    let strip = tools::packaged_in("strip", "binutils")?;
    for program in PROGRAMS {
        let (from, to) = (programs.join(program), system.join(program));
        let arguments = ["-o", &to.to_string_lossy(), &from.to_string_lossy()];
        tools::run_in(system, &strip.to_string_lossy(), &arguments)?;
        for library in tools::libraries(&from)? {
            let name = library.file_name().context("a library has a name")?;
            copy(&library, &system.join("lib").join(name))?;
        }
    }
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(system.join("agent"), std::fs::Permissions::from_mode(0o755)).context("make it executable")
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().context("a file is in a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    std::fs::write(path, content).with_context(|| format!("write {}", path.display()))
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let folder = to.parent().context("a file is in a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    std::fs::copy(from, to).map(drop).with_context(|| format!("copy {}", from.display()))
}
