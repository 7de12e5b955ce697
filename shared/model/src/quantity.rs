//! Sizes and durations as people write them: `4KiB`, `1MB`, `512`; `250ms`, `3s`, `2h30m`, `1d`.
//!
//! Printing is exact: what is printed is read back as the same value.

use std::time::Duration;

/// A text that is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{text}` is not valid: {reason}")]
pub struct QuantityError {
    /// What it was to be: `size` or `duration`.
    pub kind: &'static str,
    /// What was given.
    pub text: String,
    /// What is wrong, and what would be right.
    pub reason: String,
}

/// Units of size that are printed, the greatest first of each kind.
const BINARY_UNITS: &[(&str, u64)] =
    &[("PiB", 1 << 50), ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
const DECIMAL_UNITS: &[(&str, u64)] = &[
    ("PB", 1_000_000_000_000_000),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
];
/// Units of time in nanoseconds, the greatest first.
const TIME_UNITS: &[(&str, u64)] = &[
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];
/// The longest duration that is read: it fits a signed count of nanoseconds.
const DURATION_MAX_NS: u64 = i64::MAX as u64;

const SIZE_RULE: &str = "write a whole number and a unit, like `512`, `4KiB` or `1MB`";
const DURATION_RULE: &str = "write whole numbers with units, like `250ms`, `3s`, `2h30m` or `1d`";

/// Reads a size in bytes.
///
/// # Errors
/// Says what is wrong, and what would be right.
pub fn parse_size(text: &str) -> Result<u64, QuantityError> {
    let error = |reason: String| QuantityError { kind: "size", text: text.to_owned(), reason };
    let trimmed = text.trim();
    let (digits, unit) = split_number(trimmed);
    if digits.is_empty() {
        return Err(error(SIZE_RULE.into()));
    }
    let factor = size_unit(unit.trim()).map_err(error)?;
    let too_large = || error("it does not fit 64 bits".into());
    let number: u64 = digits.parse().map_err(|_| too_large())?;
    number.checked_mul(factor).ok_or_else(too_large)
}

/// Prints a size: with the greatest unit that divides it, binary ones first.
#[must_use]
pub fn print_size(bytes: u64) -> String {
    let units = BINARY_UNITS.iter().chain(DECIMAL_UNITS);
    for (name, factor) in units {
        if bytes > 0 && bytes.is_multiple_of(*factor) {
            return format!("{}{name}", bytes / factor);
        }
    }
    bytes.to_string()
}

/// Reads a duration.
///
/// # Errors
/// Says what is wrong, and what would be right.
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    let error = |reason: &str| QuantityError { kind: "duration", text: text.to_owned(), reason: reason.to_owned() };
    let mut rest = text.trim();
    let (mut total_ns, mut last_unit) = (0_u64, u64::MAX);
    if rest.is_empty() {
        return Err(error(DURATION_RULE));
    }
    while !rest.is_empty() {
        let (digits, after) = split_number(rest);
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        if digits.is_empty() || unit.is_empty() {
            return Err(error(DURATION_RULE));
        }
        let factor = time_unit(unit).ok_or_else(|| error("units are d, h, m, s, ms, us and ns"))?;
        if factor >= last_unit {
            return Err(error("each unit comes once, the greatest first"));
        }
        let number: Option<u64> = digits.parse().ok();
        let sum = number.and_then(|number| number.checked_mul(factor)).and_then(|ns| ns.checked_add(total_ns));
        total_ns = sum.filter(|ns| *ns <= DURATION_MAX_NS).ok_or_else(|| error("it is longer than 292 years"))?;
        (rest, last_unit) = (next, factor);
    }
    Ok(Duration::from_nanos(total_ns))
}

/// Prints a duration: `2h30m`, `1s500ms`, `0s`.
#[must_use]
pub fn print_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_nanos()).unwrap_or(DURATION_MAX_NS).min(DURATION_MAX_NS);
    if rest == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    for (name, factor) in TIME_UNITS {
        if rest >= *factor {
            text.push_str(&format!("{}{name}", rest / factor));
            rest %= factor;
        }
    }
    text
}

fn split_number(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn time_unit(unit: &str) -> Option<u64> {
    TIME_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)
}

fn size_unit(unit: &str) -> Result<u64, String> {
    if unit.is_empty() || unit.eq_ignore_ascii_case("b") {
        return Ok(1);
    }
    let known = BINARY_UNITS.iter().chain(DECIMAL_UNITS).find(|(name, _)| name.eq_ignore_ascii_case(unit));
    if let Some((_, factor)) = known {
        return Ok(*factor);
    }
    if unit.len() == 1 && unit.chars().all(|c| "kmgtpKMGTP".contains(c)) {
        let letter = unit.to_ascii_uppercase();
        return Err(format!("`{unit}` may mean two things: write `{letter}iB` (binary) or `{letter}B` (decimal)"));
    }
    if unit.starts_with(['.', ',']) {
        return Err("only whole numbers are read: take a smaller unit, as `1536MiB` for 1.5 GiB".into());
    }
    Err(format!("`{unit}` is not a unit of size: KiB, MiB, GiB, TiB, PiB, KB, MB, GB, TB and PB are"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_read_as_written() {
        for (text, bytes) in [
            ("512", 512),
            ("4KiB", 4096),
            ("1MB", 1_000_000),
            ("0", 0),
            ("16 GiB", 16 << 30),
            ("3b", 3),
            ("4kib", 4096),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn a_wrong_size_says_what_would_be_right() {
        for (text, part) in [
            ("4G", "`GiB`"),
            ("", "whole number"),
            ("1.5GiB", "smaller unit"),
            ("4Q", "not a unit"),
            ("99999999999999999999", "64 bits"),
            ("-1", "whole number"),
            ("20000PiB", "64 bits"),
        ] {
            let message = parse_size(text).expect_err(text).to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn durations_read_as_written() {
        for (text, ms) in [("250ms", 250), ("3s", 3000), ("2h30m", 9_000_000), ("1d", 86_400_000), ("0s", 0)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(print_duration(Duration::from_secs(9000)), "2h30m");
    }

    #[test]
    fn a_wrong_duration_says_what_would_be_right() {
        for (text, part) in [
            ("3", "units"),
            ("", "2h30m"),
            ("3x", "units are"),
            ("1s2h", "greatest first"),
            ("99999999d", "292"),
            ("1s ", ""),
        ] {
            if let Err(error) = parse_duration(text) {
                assert!(error.to_string().contains(part), "{error}");
            } else {
                assert_eq!(text, "1s ");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(bytes in any::<u64>(), unit in 0_u32..50, ns in 0..DURATION_MAX_NS) {
            let round = bytes >> unit << unit;
            prop_assert_eq!(parse_size(&print_size(round)), Ok(round));
            let duration = Duration::from_nanos(ns);
            prop_assert_eq!(parse_duration(&print_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = (parse_size(&text), parse_duration(&text));
        }
    }
}
