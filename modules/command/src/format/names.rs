//! Names of metrics, made from what programs call them.

/// Most bytes of a name.
const NAME_BYTES_MAX: usize = 64;

/// Lower-case letters, digits and single underscores; `x` where nothing is left.
pub(super) fn metric_name(text: &str) -> String {
    let mut name = String::new();
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            name.push(character.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
        if name.len() == NAME_BYTES_MAX {
            break;
        }
    }
    let name = name.trim_end_matches('_');
    match name.chars().next() {
        None => "x".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("x{name}"),
        Some(_) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_letters_digits_and_single_underscores() {
        let names = ["/var/log", "Load 1-min", "5min", "%%", "a__b_"].map(metric_name);
        assert_eq!(names, ["var_log", "load_1_min", "x5min", "x", "a_b"]);
        assert_eq!(metric_name(&"ab".repeat(100)).len(), NAME_BYTES_MAX);
    }
}
