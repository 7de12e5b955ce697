//! Numbers that look random and come again: where a transfer lies, which bits are spoiled.

/// Another number for each number: the finaliser of splitmix64.
#[must_use]
pub const fn scramble(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_the_numbers_of_splitmix64() {
        assert_eq!([0, 0x9E37_79B9_7F4A_7C15].map(scramble), [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4]);
    }
}
