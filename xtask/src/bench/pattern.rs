//! The benchmark `pattern`: filling and verifying the data pattern on one core, beside what the C library and a CRC do with the
//! same memory in the same run; once within the caches (1 MiB), once far beyond them (256 MiB). Time is that of the thread on its
//! core, so that other programs count only where they take memory's bandwidth.

use std::hint::black_box;
use std::time::Duration;

use anyhow::ensure;
use muster_pattern::{Expectation, Owner, Stamp, fill, fill_streaming, verify};

use super::{Row, Target, both};

/// How long each work is repeated.
const WORK_TIME: Duration = Duration::from_millis(300);
/// Sizes of the memory that is worked on.
const SIZES: [(usize, &str); 2] = [(1 << 20, "1 MiB"), (256 << 20, "256 MiB")];
/// Checked by a CRC at once, as a disk test does.
const SECTOR_BYTES: usize = 512;

pub(crate) fn run() -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (bytes, size) in SIZES {
        rows.extend(of_size(bytes, size)?);
    }
    Ok(rows)
}

fn of_size(bytes: usize, size: &str) -> anyhow::Result<Vec<Row>> {
    // A page more than needed, so that the memory begins where a transfer's does.
    let (mut memory, copy) = (vec![1_u8; bytes + 4096], vec![1_u8; bytes]);
    let begin = memory.as_ptr().addr().next_multiple_of(4096) - memory.as_ptr().addr();
    let memory = &mut memory[begin..begin + bytes];
    let owner = Owner { run: 1, job: 2, process: 3, attempt: 1 };
    let mut stamp = Stamp { expectation: Expectation { owner, ..Expectation::default() }, time: 7 };

    let set = rate(bytes, || black_box(&mut *memory).fill(black_box(7)));
    let bare = rate(bytes, || store_past_caches(black_box(memory)));
    let copied = rate(bytes, || black_box(&mut *memory).copy_from_slice(black_box(&copy)));
    let mut equal = true;
    let compared = rate(bytes, || equal &= black_box(&*memory) == black_box(&*copy));
    let summed = rate(bytes, || {
        for sector in black_box(&*memory).chunks_exact(SECTOR_BYTES) {
            black_box(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, sector));
        }
    });
    let filled = rate(bytes, || {
        stamp.expectation.sequence += 1;
        fill(black_box(memory), &stamp);
    });
    let streamed = rate(bytes, || {
        stamp.expectation.sequence += 1;
        fill_streaming(black_box(memory), &stamp);
    });
    let mut right = true;
    let verified = rate(bytes, || right &= verify(black_box(memory), &stamp.expectation).is_ok());
    ensure!(equal && right, "what was written is not what was read");

    let row = |name: &str, value, (reference_name, reference), target| Row {
        name: format!("{name}, {size}"),
        value,
        unit: "GB/s",
        reference: Some(reference),
        reference_name,
        target,
    };
    let is_large = bytes > SIZES[0].0;
    let verify_target = Target::RatioAtLeast(if is_large { 1.5 } else { 1.8 });
    Ok(vec![
        row("fill", filled, ("memset", set), None),
        row("fill past the caches", streamed, ("memset", set), is_large.then_some(Target::RatioAtLeast(1.8))),
        // What memory takes of one core: where memset reaches it, nothing can be faster.
        row("fill past the caches again", streamed, ("bare stores past the caches", bare), None),
        row("verify", verified, ("memcmp of a copy", compared), Some(verify_target)),
        row("verify again", verified, ("crc32c per sector", summed), Some(Target::RatioAtLeast(1.0))),
        row(
            "fill and verify, harmonic",
            both(filled.max(streamed), verified),
            ("memcpy and memcmp", both(copied, compared)),
            None,
        ),
    ])
}

/// Stores past the caches, of which nothing is computed.
#[cfg(target_arch = "x86_64")]
fn store_past_caches(memory: &mut [u8]) {
    use std::arch::x86_64::{__m128i, _mm_set1_epi8, _mm_sfence, _mm_stream_si128};
    // SAFETY: any bytes are a vector.
    let (before, vectors, after) = unsafe { memory.align_to_mut::<__m128i>() };
    assert!(before.is_empty() && after.is_empty(), "the memory begins at a page");
    for vector in vectors {
        // SAFETY: it is aligned, and every x86_64 has this instruction.
        unsafe { _mm_stream_si128(vector, _mm_set1_epi8(7)) };
    }
    // SAFETY: every x86_64 has this instruction.
    unsafe { _mm_sfence() };
}

#[cfg(not(target_arch = "x86_64"))]
fn store_past_caches(memory: &mut [u8]) {
    memory.fill(7);
}

/// Gigabytes a second of a work that is repeated.
fn rate(bytes: usize, mut work: impl FnMut()) -> f64 {
    work();
    let (begin, mut count) = (time_on_core(), 0_u32);
    let mut taken = Duration::ZERO;
    while taken < WORK_TIME {
        work();
        count += 1;
        taken = time_on_core().saturating_sub(begin);
    }
    let bytes = u32::try_from(bytes).map_or(f64::NAN, f64::from);
    f64::from(count) * bytes / taken.as_secs_f64() / 1e9
}

fn time_on_core() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.try_into().expect("a time since the thread's start")
}
