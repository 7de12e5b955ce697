//! A kernel as an ELF file: what a bzImage unpacks to, and a plain `vmlinux`.

use crate::{ImageError, KernelImage, notes};

/// Program header of a segment of notes.
const PT_NOTE: u32 = 4;
/// More program headers no kernel has.
const SEGMENTS_MAX: u16 = 256;
/// How the text begins that `/proc/version` shows.
const BANNER: &[u8] = b"Linux version ";

pub(crate) fn is_elf(image: &[u8]) -> bool {
    image.starts_with(b"\x7fELF")
}

/// Reads an ELF file. The release is the one given, or else that of the banner in it.
pub(crate) fn read(image: &[u8], release: Option<String>) -> Result<KernelImage, ImageError> {
    let architecture = architecture(image)?;
    let release = release.or_else(|| banner_release(image));
    let release = release.ok_or(ImageError::NotAKernel("an ELF file without the text `Linux version`"))?;
    Ok(KernelImage { architecture, release, build_id: build_id(image)? })
}

/// The architecture, as uname(2) names it.
fn architecture(image: &[u8]) -> Result<&'static str, ImageError> {
    match (image.get(4), image.get(5)) {
        (Some(2), Some(1)) => {}
        (Some(1), Some(1)) => return Err(ImageError::Unsupported("a 32-bit kernel")),
        (Some(_), Some(_)) => return Err(ImageError::Unsupported("a big-endian kernel")),
        _ => return Err(damaged("its ELF header is cut off")),
    }
    match u16_at(image, 0x12) {
        Some(62) => Ok("x86_64"),
        Some(183) => Ok("aarch64"),
        Some(243) => Ok("riscv64"),
        Some(21) => Ok("ppc64le"),
        Some(258) => Ok("loongarch64"),
        Some(_) => Err(ImageError::Unsupported("a kernel of an architecture that is not known here")),
        None => Err(damaged("its ELF header is cut off")),
    }
}

fn build_id(image: &[u8]) -> Result<Option<String>, ImageError> {
    let cut_off = || damaged("its program headers are cut off");
    let begin = u64_at(image, 0x20).ok_or_else(cut_off)?;
    let (size, count) = (u16_at(image, 0x36).ok_or_else(cut_off)?, u16_at(image, 0x38).ok_or_else(cut_off)?);
    for number in 0..count.min(SEGMENTS_MAX) {
        let at = usize::try_from(begin).ok().and_then(|at| at.checked_add(usize::from(number) * usize::from(size)));
        let header = at.and_then(|at| image.get(at..)).ok_or_else(cut_off)?;
        if u32_at(header, 0).ok_or_else(cut_off)? != PT_NOTE {
            continue;
        }
        let (offset, length) = (u64_at(header, 8).ok_or_else(cut_off)?, u64_at(header, 32).ok_or_else(cut_off)?);
        let segment = slice(image, offset, length).ok_or_else(|| damaged("its notes are cut off"))?;
        if let Some(found) = notes::build_id(segment) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The release in the banner: the word after `Linux version`.
fn banner_release(image: &[u8]) -> Option<String> {
    let at = image.windows(BANNER.len()).position(|window| window == BANNER)? + BANNER.len();
    first_word(&image[at..])
}

/// The first word of a text that ends with a zero, as a release is: not empty, at most 64 characters, as uname(2) holds.
pub(crate) fn first_word(text: &[u8]) -> Option<String> {
    let word: Vec<u8> = text.iter().copied().take(65).take_while(|byte| byte.is_ascii_graphic()).collect();
    let fits = (1..=64).contains(&word.len());
    fits.then(|| String::from_utf8(word).ok()).flatten()
}

fn slice(image: &[u8], offset: u64, length: u64) -> Option<&[u8]> {
    let begin = usize::try_from(offset).ok()?;
    image.get(begin..begin.checked_add(usize::try_from(length).ok()?)?)
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

pub(crate) fn damaged(what: &str) -> ImageError {
    ImageError::Damaged(what.to_owned())
}
