//! The x86 boot protocol: where in a `bzImage` the release stands, and where the compressed kernel.

use crate::elf::{damaged, first_word, u16_at, u32_at};
use crate::{ImageError, KernelImage, elf, payload};

/// Number of sectors of the setup code; 0 means 4.
const SETUP_SECTORS: usize = 0x1f1;
/// `HdrS`.
const MAGIC: usize = 0x202;
/// Version of the protocol.
const VERSION: usize = 0x206;
/// Where the release stands, less 0x200.
const KERNEL_VERSION: usize = 0x20e;
/// Where the compressed kernel begins, from the end of the setup code.
const PAYLOAD_OFFSET: usize = 0x248;
/// How long it is.
const PAYLOAD_LENGTH: usize = 0x24c;
/// The first version with a payload that can be found.
const VERSION_MIN: u16 = 0x0208;

const SECTOR: usize = 512;

pub(crate) fn is_bzimage(image: &[u8]) -> bool {
    image.get(MAGIC..MAGIC + 4) == Some(b"HdrS")
}

pub(crate) fn read(image: &[u8]) -> Result<KernelImage, ImageError> {
    let cut_off = || damaged("its setup header is cut off");
    if u16_at(image, VERSION).ok_or_else(cut_off)? < VERSION_MIN {
        return Err(ImageError::Unsupported("a bzImage of a boot protocol before 2.08"));
    }
    let release = release(image).ok_or_else(|| damaged("its setup header does not tell its release"))?;
    let sectors = match image[SETUP_SECTORS] {
        0 => 4,
        count => usize::from(count),
    };
    let place = |at| u32_at(image, at).and_then(|number| usize::try_from(number).ok()).ok_or_else(cut_off);
    let (offset, length) = (place(PAYLOAD_OFFSET)?, place(PAYLOAD_LENGTH)?);
    let begin = (sectors + 1) * SECTOR + offset;
    let packed = image.get(begin..begin.saturating_add(length)).filter(|packed| !packed.is_empty());
    let packed = packed.ok_or_else(|| damaged("it ends before its compressed kernel does; is it complete?"))?;
    let kernel = payload::unpack(packed)?;
    if !elf::is_elf(&kernel) {
        return Err(damaged("its compressed part is no ELF file"));
    }
    elf::read(&kernel, Some(release))
}

/// The release is the first word of the text that the header points at.
fn release(image: &[u8]) -> Option<String> {
    let pointer = usize::from(u16_at(image, KERNEL_VERSION)?);
    if pointer == 0 { None } else { first_word(image.get(pointer + 0x200..)?) }
}
