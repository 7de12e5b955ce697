//! The rules of events of tests: what one may be called, and how much it may say.

/// Longest name, bytes.
const NAME_BYTES_MAX: usize = 64;
/// Longest data, bytes.
pub const TEST_EVENT_DATA_BYTES_MAX: usize = 4_096;

/// Why something is no event of a test, for people.
///
/// # Errors
/// Says which rule it breaks.
pub fn check_test_event(name: &str, data: &str) -> Result<(), String> {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
    let is_name = name.len() <= NAME_BYTES_MAX && name.starts_with(|first: char| first.is_ascii_lowercase());
    if !is_name || !name.bytes().all(is_part) {
        let rule = "1 to 64 of a-z, 0-9, `_`, `-` and `.`, beginning with a letter";
        return Err(format!("`{}` is no name of an event: {rule}", crate::text::cut(name, NAME_BYTES_MAX)));
    }
    if data.len() > TEST_EVENT_DATA_BYTES_MAX {
        return Err(format!("its data have {} bytes, and {TEST_EVENT_DATA_BYTES_MAX} is the limit", data.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_a_plain_name_and_bounded_data() {
        for name in ["a", "load.begun", "phase-2_done", &"a".repeat(64)] {
            assert_eq!(check_test_event(name, ""), Ok(()));
        }
        for name in ["", "1a", "-a", "A", "a b", "ä", "a/b", &"a".repeat(65)] {
            assert!(check_test_event(name, "").is_err(), "{name}");
        }
        assert_eq!(check_test_event("a", &"x".repeat(TEST_EVENT_DATA_BYTES_MAX)), Ok(()));
        assert!(check_test_event("a", &"x".repeat(TEST_EVENT_DATA_BYTES_MAX + 1)).is_err());
    }
}
