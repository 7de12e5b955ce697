//! Selectors: one grammar that names machines, and resources, everywhere.
//!
//! `cpus>=4 and arch=x86_64 and not tag=slow`, names and globs (`node-*`), lists (`a,b,c` = any of them), parentheses; empty or `*`
//! is every machine. Keys that count (`cpus`, `memory`, `disks`, `nics`) compare as numbers or sizes, the others as text: `=` and
//! `!=` with globs, the order with runs of digits as numbers, so that kernel 6.10 is after 6.9. Of resources the keys are `kind`,
//! `type`, `machine` and `size`, and names are `disk-sda` or `node-1/disk-sda`.

mod error;
mod glob;
mod lexer;
mod parser;
mod sets;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

pub use error::SelectorError;
pub use glob::glob_matches;
pub use sets::{SelectorTerm, Sets};

use crate::quantity;

/// The text of a selector that selects the same but for one machine.
#[must_use]
pub fn others_than(machine: &str, selector: &str) -> String {
    match selector.trim() {
        "" => format!("not {machine}"),
        selector => format!("({selector}) and not {machine}"),
    }
}

/// What a selector looks at.
pub trait Facts {
    /// The machine's, or resource's, name.
    fn name(&self) -> &str;

    /// Values of a key: none when unknown, several for tags.
    fn values(&self, key: &str) -> Vec<Cow<'_, str>>;

    /// A name or glob of a selector means this.
    fn is_named(&self, pattern: &str) -> bool {
        glob_matches(pattern, self.name())
    }
}

/// What a selector selects: which keys it may compare, and what a name looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Machines,
    Resources,
}

/// A parsed selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    expression: Expression,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expression {
    Names(Vec<String>),
    Compare { key: Key, operator: Operator, values: Vec<String> },
    Not(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
}

/// What can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Name,
    Arch,
    Type,
    Kernel,
    Cpus,
    Memory,
    Disks,
    Nics,
    Tag,
    Kind,
    Machine,
    Size,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Selector {
    /// The keys that a selector of machines can compare.
    pub const KEYS: [&'static str; 9] = ["name", "arch", "type", "kernel", "cpus", "memory", "disks", "nics", "tag"];

    /// The keys that a selector of resources can compare.
    pub const RESOURCE_KEYS: [&'static str; 4] = ["kind", "type", "machine", "size"];

    /// Reads a selector of machines.
    ///
    /// # Errors
    /// Marks the wrong place and says what would be right.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        parser::parse(text, Subject::Machines).map(|expression| Self { expression })
    }

    /// Reads a selector of resources.
    ///
    /// # Errors
    /// Marks the wrong place and says what would be right.
    pub fn parse_resources(text: &str) -> Result<Self, SelectorError> {
        parser::parse(text, Subject::Resources).map(|expression| Self { expression })
    }

    /// The selector of everything.
    #[must_use]
    pub fn all() -> Self {
        Self { expression: Expression::Names(vec!["*".into()]) }
    }

    /// It selects everything, whatever its facts are.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::all()
    }

    /// Names that it mentions as they are, without glob: a caller can say which of them do not exist.
    #[must_use]
    pub fn plain_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.expression.collect_names(&mut names);
        names
    }

    /// The terms that all must hold: what `and` joins at the top, or the whole.
    #[must_use]
    pub fn conditions(&self) -> Vec<Self> {
        match &self.expression {
            Expression::And(parts) => parts.iter().map(|part| Self { expression: part.clone() }).collect(),
            whole => vec![Self { expression: whole.clone() }],
        }
    }

    /// What has these facts is selected.
    #[must_use]
    pub fn matches(&self, facts: &dyn Facts) -> bool {
        self.expression.matches(facts)
    }
}

impl Expression {
    fn matches(&self, facts: &dyn Facts) -> bool {
        match self {
            Self::Names(names) => names.iter().any(|name| facts.is_named(name)),
            Self::Compare { key, operator, values } => compare(*key, *operator, values, facts),
            Self::Not(inner) => !inner.matches(facts),
            Self::And(parts) => parts.iter().all(|part| part.matches(facts)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(facts)),
        }
    }

    fn collect_names<'a>(&'a self, found: &mut Vec<&'a str>) {
        match self {
            Self::Names(names) => found.extend(names.iter().map(String::as_str).filter(|name| !glob::is_glob(name))),
            Self::Compare { .. } => {}
            Self::Not(inner) => inner.collect_names(found),
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.collect_names(found)),
        }
    }
}

fn compare(key: Key, operator: Operator, wanted: &[String], facts: &dyn Facts) -> bool {
    let found = if key == Key::Name { vec![Cow::Borrowed(facts.name())] } else { facts.values(key.as_str()) };
    let any = |test: &dyn Fn(&str, &str) -> bool| {
        found.iter().any(|have| wanted.iter().any(|want| test(have.as_ref(), want.as_str())))
    };
    let order =
        |have: &str, want: &str| if key.counts() { numeric_order(have, want) } else { Some(natural_order(have, want)) };
    let equal = |have: &str, want: &str| match key.counts() {
        true => numeric_order(have, want) == Some(Ordering::Equal),
        false => glob_matches(want, have),
    };
    match operator {
        Operator::Equal => any(&equal),
        Operator::Unequal => !any(&equal),
        Operator::Less => any(&|have, want| order(have, want) == Some(Ordering::Less)),
        Operator::AtMost => any(&|have, want| order(have, want).is_some_and(Ordering::is_le)),
        Operator::Greater => any(&|have, want| order(have, want) == Some(Ordering::Greater)),
        Operator::AtLeast => any(&|have, want| order(have, want).is_some_and(Ordering::is_ge)),
    }
}

/// Order of two numbers or sizes; none when either is neither.
fn numeric_order(have: &str, want: &str) -> Option<Ordering> {
    Some(quantity::parse_size(have).ok()?.cmp(&quantity::parse_size(want).ok()?))
}

/// Order of two texts in which runs of digits count as numbers.
fn natural_order(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left, right);
    while !left.is_empty() && !right.is_empty() {
        let ((a, a_rest), (b, b_rest)) = (split_run(left), split_run(right));
        let both_digits = a.starts_with(|c: char| c.is_ascii_digit()) && b.starts_with(|c: char| c.is_ascii_digit());
        let order = if both_digits { digits_order(a, b) } else { a.cmp(b) };
        if order != Ordering::Equal {
            return order;
        }
        (left, right) = (a_rest, b_rest);
    }
    left.len().cmp(&right.len())
}

fn digits_order(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Splits off the first run of digits or of other characters.
fn split_run(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    text.split_at(text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len()))
}

impl Subject {
    fn keys(self) -> &'static [Key] {
        match self {
            Self::Machines => {
                &[Key::Name, Key::Arch, Key::Type, Key::Kernel, Key::Cpus, Key::Memory, Key::Disks, Key::Nics, Key::Tag]
            }
            Self::Resources => &[Key::Kind, Key::Type, Key::Machine, Key::Size],
        }
    }

    /// What a name means, with its article left to the sentence.
    fn noun(self) -> &'static str {
        match self {
            Self::Machines => "machine",
            Self::Resources => "resource",
        }
    }

    /// A character that a name, or a glob of names, may have.
    fn takes(self, c: char) -> bool {
        match self {
            Self::Machines => c.is_ascii_lowercase() || c.is_ascii_digit() || "-_*?".contains(c),
            Self::Resources => c.is_ascii_alphanumeric() || "-_.:/*?".contains(c),
        }
    }
}

impl Key {
    fn parse(text: &str, subject: Subject) -> Option<Self> {
        subject.keys().iter().copied().find(|key| key.as_str() == text)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Arch => "arch",
            Self::Type => "type",
            Self::Kernel => "kernel",
            Self::Cpus => "cpus",
            Self::Memory => "memory",
            Self::Disks => "disks",
            Self::Nics => "nics",
            Self::Tag => "tag",
            Self::Kind => "kind",
            Self::Machine => "machine",
            Self::Size => "size",
        }
    }

    /// It counts: its values are numbers or sizes.
    fn counts(self) -> bool {
        match self {
            Self::Cpus | Self::Memory | Self::Disks | Self::Nics | Self::Size => true,
            Self::Name | Self::Arch | Self::Type | Self::Kernel | Self::Tag | Self::Kind | Self::Machine => false,
        }
    }
}

impl Operator {
    fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }
}

impl fmt::Display for Selector {
    /// Prints a text that is read back as the same selector.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.expression, f)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Names(names) => f.write_str(&names.join(",")),
            Self::Compare { key, operator, values } => {
                let values: Vec<_> = values.iter().map(|value| lexer::quoted_if_needed(value)).collect();
                write!(f, "{}{}{}", key.as_str(), operator.as_str(), values.join(","))
            }
            Self::Not(inner) => {
                f.write_str("not ")?;
                inner.fmt_inside(f)
            }
            Self::And(parts) => fmt_joined(parts, " and ", f),
            Self::Or(parts) => fmt_joined(parts, " or ", f),
        }
    }
}

impl Expression {
    /// In parentheses where it binds less than what is around it.
    fn fmt_inside(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(_) | Self::Or(_) => write!(f, "({self})"),
            Self::Names(_) | Self::Compare { .. } | Self::Not(_) => fmt::Display::fmt(self, f),
        }
    }
}

fn fmt_joined(parts: &[Expression], word: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(word)?;
        }
        part.fmt_inside(f)?;
    }
    Ok(())
}
