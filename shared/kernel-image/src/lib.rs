//! What a kernel image says of itself before it is ever booted: architecture, release and GNU build id.
//!
//! Responsible for the x86 boot protocol's `bzImage` and for a plain ELF `vmlinux`, and for the notes that a running kernel shows in
//! `/sys/kernel/notes`. Not for where images are kept, nor for whether a machine can boot one. No I/O.

#[cfg(feature = "payload")]
mod bzimage;
#[cfg(feature = "payload")]
mod elf;
#[cfg(feature = "payload")]
mod error;
pub mod notes;
#[cfg(feature = "payload")]
mod payload;

#[cfg(feature = "payload")]
pub use error::ImageError;

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelImage {
    /// Architecture, as uname(2) names it: `x86_64`.
    pub architecture: &'static str,
    /// Release, as uname(2) will tell it: `6.1.0-18-amd64`.
    pub release: String,
    /// GNU build id, lower-case hex; none where it was built without one.
    pub build_id: Option<String>,
}

/// An image is not larger than this, and neither is what it unpacks to: a debug `vmlinux` has some hundred MiB.
#[cfg(feature = "payload")]
pub const IMAGE_BYTES_MAX: u64 = 2 << 30;

/// Reads an image.
///
/// # Errors
/// When it is none, or one of a kind that is not read here.
#[cfg(feature = "payload")]
pub fn read(image: &[u8]) -> Result<KernelImage, ImageError> {
    if elf::is_elf(image) {
        return elf::read(image, None);
    }
    if bzimage::is_bzimage(image) {
        return bzimage::read(image);
    }
    Err(error::unknown(image))
}
