//! Text inside of XML and HTML.

/// Text that may stand between tags and in double quotes. What XML 1.0 can not hold becomes a replacement character.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn nothing_can_end_a_tag_or_an_attribute() {
        assert_eq!(escaped("<a b=\"c\">&'\u{1b}[2J\n"), "&lt;a b=&quot;c&quot;&gt;&amp;&#39;\u{fffd}[2J\n");
    }
}
