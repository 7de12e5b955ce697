//! Machines that boot for real: QEMU without hardware virtualisation, Debian's kernels, GRUB or systemd-boot, and the node agent that
//! was just built.
//!
//! Responsible for images and for the power switch. Not for what is tested: a guest's agent knows its name and where its bus is, and
//! has leave to boot its machine; everything else is said through Muster.

mod archive;
mod disk;
mod guest;
mod images;
mod initrd;
mod kernels;
mod qmp;

pub use guest::{Firmware, Guest, GuestOptions};
pub use images::{Images, images};
pub use kernels::GuestKernel;

use crate::tools::{packaged_in, unpacked};

/// Programs, and the packages that have them.
const PROGRAMS: [(&str, &str); 6] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("qemu-img", "qemu-utils"),
    ("grub-mkimage", "grub-common"),
    ("mke2fs", "e2fsprogs"),
    ("mcopy", "mtools"),
    ("strip", "binutils"),
];
/// Packages of which only files are needed.
const UNPACKED: [&str; 4] = ["busybox-static", "grub-pc-bin", "systemd-boot-efi", "ovmf"];

/// Obtains everything that guests need and that is not there yet, saying so on stderr.
///
/// # Errors
/// Says what to install by hand.
pub fn obtain() -> anyhow::Result<()> {
    for (program, package) in PROGRAMS {
        packaged_in(program, package)?;
    }
    for package in UNPACKED {
        unpacked(package)?;
    }
    kernels::two().map(drop)
}
