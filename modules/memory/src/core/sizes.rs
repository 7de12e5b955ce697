//! Sizes of areas, by the caches of a CPU.

/// Bytes of the smallest area: one sector of the pattern.
pub(crate) const AREA_BYTES_MIN: u64 = 512;

/// Sizes for so many areas, ascending: all areas together fit three quarters of each cache, and at last are as large as they may
/// be, which is to be beyond every cache.
pub(crate) fn mixed_sizes(cache_bytes: &[u64], areas: u64, bytes_max: u64) -> Vec<u64> {
    let greatest = whole_sectors(bytes_max / areas);
    let within = cache_bytes.iter().map(|bytes| whole_sectors(bytes / 4 * 3 / areas));
    let mut sizes: Vec<u64> = within.filter(|size| *size < greatest).chain([greatest]).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

fn whole_sectors(bytes: u64) -> u64 {
    (bytes / AREA_BYTES_MIN * AREA_BYTES_MIN).max(AREA_BYTES_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cache_has_a_size_that_all_areas_fit_in_and_the_greatest_is_what_is_allowed() {
        let sizes = mixed_sizes(&[48 << 10, 1 << 20, 32 << 20], 4, 256 << 20);
        assert_eq!(sizes, [9 << 10, 192 << 10, 6 << 20, 64 << 20]);
    }

    #[test]
    fn little_memory_leaves_out_the_caches_that_are_larger() {
        assert_eq!(mixed_sizes(&[48 << 10, 1 << 20, 32 << 20], 4, 1 << 20), [9 << 10, 192 << 10, 256 << 10]);
        assert_eq!(mixed_sizes(&[], 64, 1), [512]);
        assert_eq!(mixed_sizes(&[1 << 20, 1 << 20], 2, 8 << 20), [384 << 10, 4 << 20]);
    }
}
