//! Why an image is not read.

/// Why an image is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// It is something else.
    #[error("it is not a kernel image: {0}")]
    NotAKernel(&'static str),
    /// It is a kernel, of a kind that is not read here.
    #[error("it is {0}, which is not supported; give a bzImage or an ELF vmlinux of a 64-bit kernel")]
    Unsupported(&'static str),
    /// It begins as a kernel and does not go on as one.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

/// Says what a file is that is neither a bzImage nor an ELF file.
pub(crate) fn unknown(image: &[u8]) -> ImageError {
    let at = |place: usize, magic: &[u8]| image.get(place..place + magic.len()) == Some(magic);
    if at(0x38, b"ARM\x64") {
        return ImageError::Unsupported("an arm64 `Image`");
    }
    if at(0x38, b"RSC\x05") {
        return ImageError::Unsupported("a riscv `Image`");
    }
    if at(0, &[0x1f, 0x8b]) {
        return ImageError::NotAKernel(
            "a gzip file; an initramfs or an archive goes to --initrd, or has to be unpacked",
        );
    }
    if at(0, b"070701") || at(0, b"070702") {
        return ImageError::NotAKernel("a cpio archive; an initramfs goes to --initrd");
    }
    if image.is_empty() {
        return ImageError::NotAKernel("it is empty");
    }
    ImageError::NotAKernel("it has neither the setup header of a bzImage nor that of an ELF file")
}
