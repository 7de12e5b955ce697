//! Recursive descent over the tokens of a selector. `not` binds most, then `and`, then `or`.

use super::lexer::{self, Kind, Token};
use super::{Expression, Key, Operator, SelectorError, Subject, glob};
use crate::{ResourceKind, quantity};

/// Parentheses and `not` may nest so deep: the parser and all walks over an expression are recursive.
const DEPTH_MAX: usize = 32;
/// A selector is at most so long.
const LENGTH_MAX_BYTES: usize = 8192;

/// Reads an expression; an empty text is everything.
pub(super) fn parse(text: &str, subject: Subject) -> Result<Expression, SelectorError> {
    if text.len() > LENGTH_MAX_BYTES {
        let hint = format!("a selector has at most {LENGTH_MAX_BYTES} bytes: use globs or tags");
        return Err(lexer::error("", 0, 0, &format!("it has {} bytes", text.len()), &hint));
    }
    let tokens = lexer::tokens(text)?;
    if tokens.is_empty() {
        return Ok(Expression::Names(vec!["*".into()]));
    }
    let mut parser = Parser { text, subject, tokens, at: 0, depth: 0 };
    let expression = parser.either()?;
    match parser.peek() {
        None => Ok(expression),
        Some(token) if token.kind == Kind::Close => {
            Err(parser.wrong_here("there is no `(` for this `)`", "remove it, or open one before"))
        }
        Some(_) => Err(parser.wrong_here("two terms are not joined", "write `and`, `or` or a comma between them")),
    }
}

struct Parser<'a> {
    text: &'a str,
    subject: Subject,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn either(&mut self) -> Result<Expression, SelectorError> {
        let mut parts = vec![self.both()?];
        while self.take_word("or") {
            parts.push(self.both()?);
        }
        Ok(joined(parts, Expression::Or, |part| match part {
            Expression::Or(inner) => Ok(inner),
            other => Err(other),
        }))
    }

    fn both(&mut self) -> Result<Expression, SelectorError> {
        let mut parts = vec![self.term()?];
        while self.take_word("and") {
            parts.push(self.term()?);
        }
        Ok(joined(parts, Expression::And, |part| match part {
            Expression::And(inner) => Ok(inner),
            other => Err(other),
        }))
    }

    fn term(&mut self) -> Result<Expression, SelectorError> {
        if self.depth == DEPTH_MAX {
            return Err(self.wrong_here("it is nested too deep", "use fewer parentheses"));
        }
        self.depth += 1;
        let term = self.term_inside();
        self.depth -= 1;
        term
    }

    fn term_inside(&mut self) -> Result<Expression, SelectorError> {
        if self.take_word("not") {
            return Ok(Expression::Not(Box::new(self.term()?)));
        }
        if self.take(&Kind::Open) {
            let inner = self.either()?;
            if !self.take(&Kind::Close) {
                return Err(self.wrong_here("`)` is missing", "close the parenthesis"));
            }
            return Ok(inner);
        }
        let Some(Token { kind: Kind::Word(word), .. }) = self.peek().cloned() else {
            let hint = match self.subject {
                Subject::Machines => "write a machine's name, a glob, or a comparison like `cpus>=4`",
                Subject::Resources => "write a resource's name, a glob, or a comparison like `kind=disk`",
            };
            return Err(self.wrong_here("a term is missing", hint));
        };
        if matches!(word.as_str(), "and" | "or") {
            return Err(self.wrong_here(
                &format!("a term is missing before `{word}`"),
                "write a name or a comparison on both sides",
            ));
        }
        match self.tokens.get(self.at + 1).map(|token| &token.kind) {
            Some(Kind::Operator(operator)) => self.comparison(&word, *operator),
            _ => self.names(),
        }
    }

    fn comparison(&mut self, word: &str, operator: Operator) -> Result<Expression, SelectorError> {
        let Some(key) = Key::parse(word, self.subject) else {
            return Err(self.wrong_here(&format!("`{word}` is not a key"), &key_hint(word, self.subject)));
        };
        self.at += 2;
        let mut values = vec![self.value(key)?];
        while self.peek().is_some_and(|token| token.kind == Kind::Comma) {
            if !matches!(operator, Operator::Equal | Operator::Unequal) {
                let hint = "a list goes with `=` (any of them) and `!=` (none of them)";
                return Err(self.wrong_here(&format!("`{}` compares with one value", operator.as_str()), hint));
            }
            self.at += 1;
            values.push(self.value(key)?);
        }
        Ok(Expression::Compare { key, operator, values })
    }

    fn value(&mut self, key: Key) -> Result<String, SelectorError> {
        let value = match self.peek().map(|token| token.kind.clone()) {
            Some(Kind::Word(word)) if !matches!(word.as_str(), "and" | "or" | "not") => word,
            Some(Kind::Quoted(text)) => text,
            _ => {
                return Err(
                    self.wrong_here("a value is missing", &format!("write what `{}` is compared with", key.as_str()))
                );
            }
        };
        if key.counts()
            && let Err(error) = quantity::parse_size(&value)
        {
            let message = format!("`{}` is compared with a number or a size", key.as_str());
            return Err(self.wrong_here(&message, &error.reason));
        }
        if key == Key::Kind && !glob::is_glob(&value) && ResourceKind::from_word(&value).is_none() {
            let kinds = format!("kinds are {}", ResourceKind::words());
            return Err(self.wrong_here(&format!("`{value}` is not a kind of resource"), &kinds));
        }
        self.at += 1;
        Ok(value)
    }

    fn names(&mut self) -> Result<Expression, SelectorError> {
        let mut names = vec![self.name()?];
        while self.take(&Kind::Comma) {
            names.push(self.name()?);
        }
        Ok(Expression::Names(names))
    }

    fn name(&mut self) -> Result<String, SelectorError> {
        let noun = self.subject.noun();
        let Some(Token { kind: Kind::Word(word), .. }) = self.peek().cloned() else {
            return Err(self.wrong_here("a name is missing", &format!("write a {noun}'s name or a glob")));
        };
        if matches!(word.as_str(), "AND" | "OR" | "NOT") {
            let lower = word.to_ascii_lowercase();
            return Err(self.wrong_here(&format!("`{word}` is not a {noun}'s name"), &format!("write `{lower}`")));
        }
        if matches!(word.as_str(), "and" | "or" | "not") || !word.chars().all(|c| self.subject.takes(c)) {
            let hint = match self.subject {
                Subject::Machines => {
                    "names have a-z, 0-9, `-` and `_`, in globs `*` and `?`; other things are compared, as in `tag=X`"
                }
                Subject::Resources => {
                    "names are like `disk-sda` or `node-1/disk-sda`, in globs `*` and `?`; other things are compared, as in \
                     `kind=disk`"
                }
            };
            return Err(self.wrong_here(&format!("`{word}` is not a {noun}'s name"), hint));
        }
        self.at += 1;
        Ok(word)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take(&mut self, kind: &Kind) -> bool {
        let found = self.peek().is_some_and(|token| token.kind == *kind);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|token| matches!(&token.kind, Kind::Word(found) if found == word));
        self.at += usize::from(found);
        found
    }

    /// An error at the token that is next, or at the end.
    fn wrong_here(&self, message: &str, hint: &str) -> SelectorError {
        let end = self.text.len();
        let (from, to) = self.peek().map_or((end, end), |token| (token.from, token.to));
        lexer::error(self.text, from, to, message, hint)
    }
}

/// Joins parts, flat: what nests in its own kind is spliced in. A single part is itself.
fn joined(
    mut parts: Vec<Expression>,
    join: fn(Vec<Expression>) -> Expression,
    same: fn(Expression) -> Result<Vec<Expression>, Expression>,
) -> Expression {
    if parts.len() == 1
        && let Some(only) = parts.pop()
    {
        return only;
    }
    join(parts.into_iter().flat_map(|part| same(part).unwrap_or_else(|other| vec![other])).collect())
}

/// The known keys, and the nearest one first when one is near.
fn key_hint(word: &str, subject: Subject) -> String {
    let keys: Vec<&str> = subject.keys().iter().map(|key| key.as_str()).collect();
    let known = format!("keys are {}", keys.join(", "));
    let nearest = keys.into_iter().map(|key| (distance(word, key), key)).min();
    match nearest {
        Some((edits, key)) if edits <= 2 && edits < key.len() => format!("did you mean `{key}`? {known}"),
        _ => known,
    }
}

/// Levenshtein distance; words longer than any key are simply far.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 16 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
