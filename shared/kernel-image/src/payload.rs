//! Compressed kernels: gzip, xz, lz4 and zstd, which distributions use. What is left of the others is named and refused.

use std::io::Read;

use crate::elf::{damaged, u32_at};
use crate::{IMAGE_BYTES_MAX, ImageError};

/// `lz4 -l`: blocks of this size, each with its length before it.
const LZ4_LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
/// What a block of it unpacks to at most.
const LZ4_BLOCK: usize = 8 << 20;
/// The kernel's build appends the unpacked length to all but gzip, which has it already.
const TRAILER: usize = 4;
/// The window of a kernel compressed with `zstd --ultra -22`.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Unpacks the compressed part of a bzImage.
pub(crate) fn unpack(packed: &[u8]) -> Result<Vec<u8>, ImageError> {
    let body_length = packed.len().saturating_sub(TRAILER);
    let kernel = unpack_body(packed, &packed[..body_length])?;
    let is_whole = u32_at(packed, body_length) == u32::try_from(kernel.len() & 0xffff_ffff).ok();
    // Blocks of lz4 have no checksum: their length is all that tells of damage.
    if !is_whole && !packed.starts_with(b"\x7fELF") {
        return Err(damaged("what it unpacks to has not the length that it should have"));
    }
    Ok(kernel)
}

fn unpack_body(packed: &[u8], body: &[u8]) -> Result<Vec<u8>, ImageError> {
    match packed {
        [0x1f, 0x8b, ..] => all_of(flate2::read::GzDecoder::new(packed), "gzip"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => all_of(lzma_rust2::XzReader::new(body, false), "xz"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder = zstd::Decoder::with_buffer(body).map_err(|error| broken("zstd", &error))?.single_frame();
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|error| broken("zstd", &error))?;
            all_of(decoder, "zstd")
        }
        [a, b, c, d, ..] if [*a, *b, *c, *d] == LZ4_LEGACY => lz4(&body[LZ4_LEGACY.len().min(body.len())..]),
        [b'B', b'Z', b'h', ..] => Err(ImageError::Unsupported("a kernel that is compressed with bzip2")),
        [0x5d, 0, 0, ..] => Err(ImageError::Unsupported("a kernel that is compressed with lzma")),
        [0x89, b'L', b'Z', b'O', ..] => Err(ImageError::Unsupported("a kernel that is compressed with lzo")),
        [0x7f, b'E', b'L', b'F', ..] => Ok(packed.to_vec()),
        _ => Err(damaged("its compressed part is of no kind that is known")),
    }
}

fn all_of(reader: impl Read, kind: &str) -> Result<Vec<u8>, ImageError> {
    let mut kernel = Vec::new();
    let mut limited = reader.take(IMAGE_BYTES_MAX);
    limited.read_to_end(&mut kernel).map_err(|error| broken(kind, &error))?;
    if limited.limit() == 0 {
        return Err(damaged("it unpacks to more than any kernel has"));
    }
    Ok(kernel)
}

fn lz4(mut rest: &[u8]) -> Result<Vec<u8>, ImageError> {
    let mut kernel = Vec::new();
    let mut block = vec![0; LZ4_BLOCK];
    while !rest.is_empty() {
        let length = u32_at(rest, 0).and_then(|length| usize::try_from(length).ok());
        let packed = length.and_then(|length| rest.get(4..length.checked_add(4)?));
        let packed = packed.ok_or_else(|| damaged("a block of its lz4 part is cut off"))?;
        let size = lz4_flex::block::decompress_into(packed, &mut block).map_err(|error| broken("lz4", &error))?;
        kernel.extend_from_slice(&block[..size]);
        rest = &rest[4 + packed.len()..];
        if kernel.len() as u64 > IMAGE_BYTES_MAX {
            return Err(damaged("it unpacks to more than any kernel has"));
        }
    }
    Ok(kernel)
}

fn broken(kind: &str, error: &dyn std::fmt::Display) -> ImageError {
    ImageError::Damaged(format!("its {kind} part can not be unpacked ({error})"))
}
