//! Splits a text into words as a shell does, but expands nothing; or reads a JSON array of texts.

/// A text that can not be split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WordsError {
    /// A quote has no end.
    #[error("the quote {0} is not closed")]
    OpenQuote(char),
    /// Nothing follows a backslash.
    #[error("nothing follows the backslash at the end")]
    OpenEscape,
    /// It begins like JSON but is none.
    #[error("it begins with `[` but is not a JSON array of texts")]
    NotJson,
    /// No program can be given this.
    #[error("an argument can not hold a zero byte")]
    ZeroByte,
}

/// The words of a text.
pub(crate) fn split(text: &str) -> Result<Vec<String>, WordsError> {
    let words = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).map_err(|_| WordsError::NotJson)?
    } else {
        split_words(text)?
    };
    if words.iter().any(|word: &String| word.contains('\0')) { Err(WordsError::ZeroByte) } else { Ok(words) }
}

fn split_words(text: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            _ if character.is_whitespace() => words.extend(word.take()),
            '\'' => single_quoted(&mut characters, word.get_or_insert_default())?,
            '"' => double_quoted(&mut characters, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(characters.next().ok_or(WordsError::OpenEscape)?),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    Ok(words)
}

fn single_quoted(characters: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), WordsError> {
    for character in characters {
        if character == '\'' {
            return Ok(());
        }
        word.push(character);
    }
    Err(WordsError::OpenQuote('\''))
}

/// In double quotes a backslash only escapes what has a meaning there.
fn double_quoted(characters: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), WordsError> {
    while let Some(character) = characters.next() {
        match character {
            '"' => return Ok(()),
            '\\' => match characters.next().ok_or(WordsError::OpenQuote('"'))? {
                escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                other => word.extend(['\\', other]),
            },
            _ => word.push(character),
        }
    }
    Err(WordsError::OpenQuote('"'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_split_as_a_shell_splits_them() {
        let cases: [(&str, &[&str]); 9] = [
            ("", &[]),
            ("  a  b ", &["a", "b"]),
            ("'a b' c", &["a b", "c"]),
            (r#""a 'b' \" \n" c\ d"#, &[r#"a 'b' " \n"#, "c d"]),
            ("''", &[""]),
            ("a''b\"\"", &["ab"]),
            ("$HOME *", &["$HOME", "*"]),
            (r#"["a b", "", "c'"]"#, &["a b", "", "c'"]),
            ("a\nb\tc", &["a", "b", "c"]),
        ];
        for (text, words) in cases {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
    }

    #[test]
    fn what_has_no_end_is_refused() {
        assert_eq!(split("'a"), Err(WordsError::OpenQuote('\'')));
        assert_eq!(split("\"a\\"), Err(WordsError::OpenQuote('"')));
        assert_eq!(split("a\\"), Err(WordsError::OpenEscape));
        assert_eq!(split("[1]"), Err(WordsError::NotJson));
        assert_eq!(split("a\0"), Err(WordsError::ZeroByte));
    }

    proptest! {
        #[test]
        fn quoted_and_json_words_come_back(words in proptest::collection::vec("[^\0]{0,12}", 0..5)) {
            let quoted: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
            prop_assert_eq!(split(&quoted.join(" ")).unwrap(), words.clone());
            prop_assert_eq!(split(&serde_json::to_string(&words).unwrap()).unwrap(), words);
        }

        #[test]
        fn any_text_is_split_or_refused(text in ".{0,40}") {
            let _ = split(&text);
        }
    }
}
