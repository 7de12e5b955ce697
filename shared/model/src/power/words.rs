//! A line split into words as a shell splits it, and words written so that they are read back: quotes and backslashes, nothing else.

use std::iter::Peekable;
use std::str::Chars;

/// Why a line can not be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// A quote is open at its end.
    #[error("a {0} is never closed; close it, or write it as \\{0}")]
    Unclosed(char),
    /// Nothing follows the last backslash.
    #[error("it ends with a backslash, which takes the next character literally; write two for one")]
    Backslash,
    /// A line break or another character that nobody sees.
    #[error("it has a control character (a line break?); write it on one line")]
    Control,
}

/// The words of a line.
pub(super) fn split(line: &str) -> Result<Vec<String>, WordsError> {
    if line.chars().any(char::is_control) {
        return Err(WordsError::Control);
    }
    let mut words = Vec::new();
    let mut rest = line.chars().peekable();
    loop {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        if rest.peek().is_none() {
            return Ok(words);
        }
        words.push(word(&mut rest)?);
    }
}

/// One word, up to a blank that is not quoted.
fn word(rest: &mut Peekable<Chars<'_>>) -> Result<String, WordsError> {
    let mut word = String::new();
    while let Some(c) = rest.next_if(|c| !c.is_whitespace()) {
        match c {
            '\'' => single_quoted(rest, &mut word)?,
            '"' => double_quoted(rest, &mut word)?,
            '\\' => word.push(rest.next().ok_or(WordsError::Backslash)?),
            other => word.push(other),
        }
    }
    Ok(word)
}

fn single_quoted(rest: &mut Peekable<Chars<'_>>, word: &mut String) -> Result<(), WordsError> {
    loop {
        match rest.next().ok_or(WordsError::Unclosed('\''))? {
            '\'' => return Ok(()),
            other => word.push(other),
        }
    }
}

/// Between double quotes a backslash is one, unless it stands before what it protects there (POSIX, 2.2.3).
fn double_quoted(rest: &mut Peekable<Chars<'_>>, word: &mut String) -> Result<(), WordsError> {
    let unclosed = WordsError::Unclosed('"');
    loop {
        match rest.next().ok_or(unclosed)? {
            '"' => return Ok(()),
            '\\' => match rest.next().ok_or(unclosed)? {
                protected @ ('"' | '\\' | '$' | '`') => word.push(protected),
                other => word.extend(['\\', other]),
            },
            other => word.push(other),
        }
    }
}

/// A word so that it is read back as one.
pub(super) fn quote(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_@%+=:,./{}-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Words as one line.
pub(super) fn join<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_split_as_a_shell_splits_them() {
        let line = r#"a 'b c'  d"e f"g h\ i "q\"\x" '' l=don\'t"#;
        let expected = ["a", "b c", "de fg", "h i", r#"q"\x"#, "", "l=don't"];
        assert_eq!(split(line).expect("it is whole"), expected);
        assert_eq!(split("  "), Ok(vec![]));
        assert_eq!(split("a 'b"), Err(WordsError::Unclosed('\'')));
        assert_eq!(split(r#"a "b\"#), Err(WordsError::Unclosed('"')));
        assert_eq!(split(r"a \"), Err(WordsError::Backslash));
        assert_eq!(split("a\nb"), Err(WordsError::Control));
    }

    proptest! {
        #[test]
        fn joined_words_are_read_back(words in prop::collection::vec("\\PC{0,8}", 0..6)) {
            let line = join(words.iter().map(String::as_str));
            prop_assert_eq!(split(&line), Ok(words));
        }
    }
}
