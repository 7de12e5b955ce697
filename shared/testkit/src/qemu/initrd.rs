//! The initial RAM disk of guests: busybox as the init, a kernel's modules for the disk and the network, and the way to the disk, where
//! the rest is.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::archive::Archive;
use super::kernels::GuestKernel;
use crate::tools;

/// Modules in the order in which they are loaded; a kernel that has one built in has no file of it.
const MODULES: [&str; 23] = [
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
    "drivers/block/virtio_blk",
    "lib/crc16",
    "crypto/crc32c_generic",
    "lib/libcrc32c",
    "fs/mbcache",
    "fs/jbd2/jbd2",
    "fs/ext4/ext4",
    "fs/nls/nls_cp437",
    "fs/nls/nls_ascii",
    "fs/fat/fat",
    "fs/fat/vfat",
    "lib/reed_solomon/reed_solomon",
    "fs/pstore/ramoops",
    "fs/efivarfs/efivarfs",
    "drivers/firmware/efi/efi-pstore",
];

/// What the init does. On Ctrl-Alt-Del it ends everything, unmounts and reboots.
const INITTAB: &str = "::sysinit:/etc/start
::respawn:/boot/system/agent
::ctrlaltdel:/bin/busybox reboot
::shutdown:/bin/busybox umount -a -r
";

/// The first program: QEMU's network inside of user mode has fixed addresses.
const START: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
# insmod does not read the command line, as modprobe does.
parameters() {
    for word in $(cat /proc/cmdline); do case $word in $1.*) echo "${word#$1.}" ;; esac; done
}
for module in $(cat /modules/order); do insmod /modules/$module.ko $(parameters $module) 2>/dev/null; done
mount -t pstore pstore /sys/fs/pstore
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
mount /dev/vda1 /boot
if [ -d /sys/firmware/efi ]; then
    mount -t efivarfs efivarfs /sys/firmware/efi/efivars
    mount /dev/vda2 /esp
fi
echo 1 > /proc/sys/kernel/sysrq
"#;

/// Makes the initial RAM disk of a kernel.
pub(super) fn make(kernel: &GuestKernel) -> anyhow::Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["bin", "etc", "modules", "dev", "proc", "sys", "tmp", "run", "boot", "esp"] {
        archive.folder(folder);
    }
    archive.file("bin/busybox", &read(&busybox()?)?);
    archive.link("init", "bin/busybox");
    // Libraries of the agent, where its dynamic linker looks for them.
    archive.link("lib", "boot/system/lib");
    archive.link("lib64", "boot/system/lib");
    archive.file("etc/inittab", INITTAB.as_bytes());
    archive.file("etc/start", START.as_bytes());
    let mut order = String::new();
    for module in MODULES {
        let file = kernel.modules.join(format!("{module}.ko"));
        if file.is_file() {
            let name = module.rsplit('/').next().unwrap_or(module);
            archive.file(&format!("modules/{name}.ko"), &read(&file)?);
            order.push_str(&format!("{name}\n"));
        }
    }
    archive.file("modules/order", order.as_bytes());
    archive.compressed()
}

fn busybox() -> anyhow::Result<PathBuf> {
    let package = tools::unpacked("busybox-static")?;
    let found = [package.join("bin/busybox"), package.join("usr/bin/busybox")].into_iter().find(|file| file.is_file());
    found.context("find busybox in the package busybox-static")
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("read {}", path.display()))
}
