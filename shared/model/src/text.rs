//! Text as it travels: cut to a limit, bytes as digits, numbers as the kernel lists them.

use std::ops::RangeInclusive;

/// As much of the beginning as fits into so many bytes, in whole characters.
#[must_use]
pub fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for half in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(half), 16).unwrap_or('0'));
        }
        text
    })
}

/// `0-3,8` as numbers, as the kernel lists CPUs and NUMA nodes; what is no number is left out.
#[must_use]
pub fn ranges(text: &str) -> Vec<u32> {
    let range = |part: &str| -> Option<RangeInclusive<u32>> {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(from.parse().ok()?..=to.parse().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!((cut("abc", 3), cut("abc", 2), cut("", 2)), ("abc", "ab", ""));
        assert_eq!((cut("aä", 2), cut("aä", 3), cut("ä", 0)), ("a", "aä", ""));
    }

    #[test]
    fn bytes_are_two_digits_each() {
        assert_eq!(hex(&[0, 255, 16]), "00ff10");
    }

    #[test]
    fn lists_of_the_kernel_are_read() {
        assert_eq!((ranges("0-2,5\n"), ranges("0-2,5"), ranges("")), (vec![0, 1, 2, 5], vec![0, 1, 2, 5], vec![]));
    }
}
