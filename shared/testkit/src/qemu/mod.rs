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
