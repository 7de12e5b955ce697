//! Globs: `*` is any text, `?` is any one character. Nothing else is special.

/// The text matches the glob as a whole.
#[must_use]
pub fn glob_matches(glob: &str, text: &str) -> bool {
    // Characters and bytes are the same in ASCII, which ids are.
    if glob.is_ascii() && text.is_ascii() {
        return matches(glob.as_bytes(), text.as_bytes(), b'*', b'?');
    }
    let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    matches(&glob, &text, '*', '?')
}

fn matches<T: PartialEq>(glob: &[T], text: &[T], many: T, one: T) -> bool {
    let (mut at_glob, mut at_text) = (0, 0);
    // Where to go on when a match fails: after the last `*`, one character further.
    let mut retry: Option<(usize, usize)> = None;
    while at_text < text.len() {
        match glob.get(at_glob) {
            Some(c) if *c == many => {
                retry = Some((at_glob + 1, at_text));
                at_glob += 1;
            }
            Some(c) if *c == one || *c == text[at_text] => {
                at_glob += 1;
                at_text += 1;
            }
            Some(_) | None => {
                let Some((after_star, from)) = retry else { return false };
                retry = Some((after_star, from + 1));
                (at_glob, at_text) = (after_star, from + 1);
            }
        }
    }
    glob[at_glob..].iter().all(|c| *c == many)
}

/// The text is a glob and not only a name.
pub(super) fn is_glob(text: &str) -> bool {
    text.contains(['*', '?'])
}
