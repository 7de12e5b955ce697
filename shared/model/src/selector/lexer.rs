//! Cuts the text of a selector into words and signs, each with its place.

use super::{Operator, SelectorError};

/// What a piece of text is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Word(String),
    Quoted(String),
    Operator(Operator),
    Comma,
    Open,
    Close,
}

/// A piece of text: bytes `from..to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// Cuts the whole text.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, SelectorError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let (kind, to) = next(text, at, c)?;
        tokens.push(Token { kind, from: at, to });
        at = to;
    }
    Ok(tokens)
}

fn next(text: &str, at: usize, c: char) -> Result<(Kind, usize), SelectorError> {
    let two = text.get(at..at + 2);
    let operator = |operator, length| Ok((Kind::Operator(operator), at + length));
    match c {
        '(' => Ok((Kind::Open, at + 1)),
        ')' => Ok((Kind::Close, at + 1)),
        ',' => Ok((Kind::Comma, at + 1)),
        '"' => quoted(text, at),
        '=' if two == Some("==") => Err(error(text, at, at + 2, "`==` is not an operator", "write `=`")),
        '=' => operator(Operator::Equal, 1),
        '!' if two == Some("!=") => operator(Operator::Unequal, 2),
        '!' => Err(error(text, at, at + 1, "`!` is not an operator", "write `not` before a term, or `!=`")),
        '<' if two == Some("<=") => operator(Operator::AtMost, 2),
        '<' => operator(Operator::Less, 1),
        '>' if two == Some(">=") => operator(Operator::AtLeast, 2),
        '>' => operator(Operator::Greater, 1),
        '&' | '|' => {
            let to = at + if two.is_some_and(|two| two == "&&" || two == "||") { 2 } else { 1 };
            Err(error(text, at, to, "signs do not join terms", if c == '&' { "write `and`" } else { "write `or`" }))
        }
        c if is_word(c) => {
            let to = text[at..].find(|c| !is_word(c)).map_or(text.len(), |length| at + length);
            Ok((Kind::Word(text[at..to].to_owned()), to))
        }
        c => {
            let hint = "put a value with other characters into double quotes, as in `type=\"Model 7\"`";
            Err(error(text, at, at + c.len_utf8(), &format!("{c:?} can not stand here"), hint))
        }
    }
}

fn quoted(text: &str, at: usize) -> Result<(Kind, usize), SelectorError> {
    let inside = &text[at + 1..];
    match inside.find('"') {
        Some(length) => Ok((Kind::Quoted(inside[..length].to_owned()), at + length + 2)),
        None => Err(error(text, at, text.len(), "the quote is not closed", "end the value with `\"`")),
    }
}

/// A character that needs no quotes.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "-_.*?:/+@%~#".contains(c)
}

/// A value as it is to be written.
pub(super) fn quoted_if_needed(value: &str) -> String {
    let keyword = matches!(value, "and" | "or" | "not");
    if value.is_empty() || keyword || !value.chars().all(is_word) { format!("\"{value}\"") } else { value.to_owned() }
}

pub(super) fn error(text: &str, from: usize, to: usize, message: &str, hint: &str) -> SelectorError {
    SelectorError { text: text.to_owned(), from, to, message: message.to_owned(), hint: hint.to_owned() }
}
