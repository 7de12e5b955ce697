//! Images that the test makes itself, as the kernel's build lays them out, and what is wrong with others.

use std::io::Write;
use std::num::NonZeroU64;

use muster_kernel_image::{ImageError, KernelImage, read};
use muster_testkit::kernel::{bzimage, vmlinux};
use proptest::prelude::*;

const RELEASE: &str = "6.12.1-muster-test";
const BUILD_ID: [u8; 20] = [0x5a; 20];

/// A way to compress a kernel.
type Pack = fn(&[u8]) -> Vec<u8>;

fn with_length(mut packed: Vec<u8>, kernel: &[u8]) -> Vec<u8> {
    packed.extend((kernel.len() as u32).to_le_bytes());
    packed
}

fn gzip(kernel: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(kernel).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// As the kernel's build calls xz: the filter for x86 code before LZMA2, a CRC32.
fn xz(kernel: &[u8]) -> Vec<u8> {
    let mut options = lzma_rust2::XzOptions::with_preset(1);
    options.set_check_sum_type(lzma_rust2::CheckType::Crc32);
    options.set_block_size(NonZeroU64::new(1 << 30));
    options.prepend_pre_filter(lzma_rust2::FilterType::BcjX86, 0);
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).expect("memory takes it");
    writer.write_all(kernel).expect("memory takes it");
    with_length(writer.finish().expect("memory takes it"), kernel)
}

fn lz4(kernel: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x02, 0x21, 0x4c, 0x18];
    for block in kernel.chunks(8 << 20) {
        let block = lz4_flex::block::compress(block);
        packed.extend((block.len() as u32).to_le_bytes());
        packed.extend(block);
    }
    with_length(packed, kernel)
}

fn zstd_22(kernel: &[u8]) -> Vec<u8> {
    with_length(zstd::encode_all(kernel, 3).expect("memory takes it"), kernel)
}

fn told(build_id: Option<&[u8]>) -> KernelImage {
    let build_id = build_id.map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect());
    KernelImage { architecture: "x86_64", release: RELEASE.into(), build_id }
}

#[test]
fn a_bzimage_tells_release_and_build_id_however_it_is_compressed() {
    let kernel = vmlinux(RELEASE, 62, Some(&BUILD_ID));
    let ways: [(&str, Pack); 5] =
        [("gzip", gzip), ("xz", xz), ("lz4", lz4), ("zstd", zstd_22), ("nothing", <[u8]>::to_vec)];
    for (way, pack) in ways {
        assert_eq!(read(&bzimage(RELEASE, &pack(&kernel))), Ok(told(Some(&BUILD_ID))), "{way}");
    }
}

#[test]
fn a_large_kernel_in_several_blocks_of_lz4_is_read() {
    let mut kernel = vmlinux(RELEASE, 62, Some(&BUILD_ID));
    kernel.resize(20 << 20, 7);
    assert_eq!(read(&bzimage(RELEASE, &lz4(&kernel))), Ok(told(Some(&BUILD_ID))));
}

#[test]
fn a_vmlinux_is_read_as_it_is_with_the_release_of_its_banner() {
    assert_eq!(read(&vmlinux(RELEASE, 62, Some(&BUILD_ID))), Ok(told(Some(&BUILD_ID))));
    assert_eq!(read(&vmlinux(RELEASE, 183, None)).map(|image| image.architecture), Ok("aarch64"));
}

#[test]
fn a_kernel_without_a_build_id_says_so() {
    assert_eq!(read(&bzimage(RELEASE, &gzip(&vmlinux(RELEASE, 62, None)))), Ok(told(None)));
}

#[test]
fn what_is_no_kernel_is_refused_with_what_it_is() {
    let word = |image: &[u8]| read(image).expect_err("no kernel").to_string();
    assert!(word(b"").contains("empty"));
    assert!(word(b"#!/bin/sh\n").contains("neither the setup header"));
    assert!(word(&gzip(b"070701")).contains("--initrd"));
    let mut arm = vec![0; 64];
    arm[0x38..0x3c].copy_from_slice(b"ARM\x64");
    assert!(word(&arm).contains("arm64"));
    let mut program = vmlinux(RELEASE, 62, Some(&BUILD_ID));
    program.truncate(1_000);
    assert!(word(&program).contains("Linux version"));
    assert!(matches!(read(&vmlinux(RELEASE, 40, None)), Err(ImageError::Unsupported(_))), "another architecture");
    let mut old = vmlinux(RELEASE, 62, None);
    old[4] = 1;
    assert!(word(&old).contains("32-bit"));
}

#[test]
fn a_damaged_image_is_told_apart_from_a_kernel_without_a_build_id() {
    let kernel = vmlinux(RELEASE, 62, Some(&BUILD_ID));
    for pack in [gzip as Pack, xz, lz4, zstd_22] {
        let whole = bzimage(RELEASE, &pack(&kernel));
        let cut = &whole[..whole.len() / 2];
        assert!(matches!(read(cut), Err(ImageError::Damaged(_))), "{:?}", read(cut));
        let mut wrong = whole.clone();
        let middle = whole.len() / 2;
        wrong[middle..middle + 64].fill(0xff);
        assert_ne!(read(&wrong), Ok(told(None)), "damage does not read as `no build id`");
    }
    let bzip2 = bzimage(RELEASE, b"BZh91AY&SY....");
    assert!(read(&bzip2).expect_err("not read").to_string().contains("bzip2"));
}

proptest! {
    /// Whatever is given, nothing panics, and nothing is taken for more than it is.
    #[test]
    fn rubbish_never_panics(mut image in proptest::collection::vec(any::<u8>(), 0..4_000), header in any::<bool>()) {
        if header && image.len() > 0x300 {
            image[0x202..0x206].copy_from_slice(b"HdrS");
            image[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
        }
        prop_assert!(read(&image).is_err());
    }

    /// The same with an ELF header in front, whose numbers are rubbish.
    #[test]
    fn rubbish_of_an_elf_file_never_panics(mut image in proptest::collection::vec(any::<u8>(), 64..2_000)) {
        image[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        image[0x12..0x14].copy_from_slice(&62_u16.to_le_bytes());
        image.extend(b"Linux version 6.1.0 ");
        let _ = read(&image);
    }
}

/// An altered image never tells what the whole one does not tell: what is ordered by its digest and proven by its build id is
/// refused, or told as another.
#[test]
fn a_thousand_altered_images_neither_panic_nor_pass_for_the_kernel_that_they_were() {
    let kernel = vmlinux(RELEASE, 62, Some(&BUILD_ID));
    let whole: Vec<Vec<u8>> = [gzip as Pack, xz, lz4, zstd_22]
        .iter()
        .map(|pack| bzimage(RELEASE, &pack(&kernel)))
        .chain([kernel.clone()])
        .collect();
    let (mut refused, mut told_as_another, mut told_alike, mut state) = (0, 0, 0, 0x9E37_79B9_7F4A_7C15_u64);
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below.max(1) as u64).expect("it is below")
    };
    for round in 0..1_000 {
        let original = &whole[round % whole.len()];
        let mut altered = original.clone();
        match round / whole.len() % 4 {
            0 => altered.truncate(random(original.len())),
            1 => (0..1 + random(8)).for_each(|_| altered[random(original.len())] ^= 1 << random(8)),
            2 => {
                let (from, to) = (random(original.len()), random(original.len()));
                altered[from.min(to)..from.max(to)].fill(u8::try_from(random(256)).expect("a byte"));
            }
            _ => {
                let at = random(original.len());
                altered.splice(at..at, (0..1 + random(64)).map(|byte| u8::try_from(byte).expect("a byte")));
            }
        }
        if altered == *original {
            altered.push(0);
        }
        match read(&altered) {
            Err(_) => refused += 1,
            Ok(found) if found != told(Some(&BUILD_ID)) => told_as_another += 1,
            // What the identity is not in was altered: only the digest tells, which is taken of all of it.
            Ok(_) => told_alike += 1,
        }
    }
    println!("1,000 altered images: {refused} refused, {told_as_another} told as another, {told_alike} told alike");
    assert!(refused > 300 && refused + told_as_another + told_alike == 1_000);
}
