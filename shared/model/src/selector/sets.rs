//! Selectors over many things at once: a caller that keeps facts in columns answers each term for all of them, and the selector joins
//! the answers.

use super::{Expression, Facts, Key, Operator, Selector, compare};

/// A term of a selector.
#[derive(Debug, Clone, Copy)]
pub enum SelectorTerm<'a> {
    /// Names and globs: any of them.
    Names(&'a [String]),
    /// A comparison.
    Compare(Comparison<'a>),
}

/// A comparison of one key.
#[derive(Debug, Clone, Copy)]
pub struct Comparison<'a> {
    key: Key,
    operator: Operator,
    values: &'a [String],
}

impl Comparison<'_> {
    /// The key that is compared: one of [`Selector::KEYS`] or [`Selector::RESOURCE_KEYS`].
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.key.as_str()
    }

    /// It holds for these facts.
    #[must_use]
    pub fn holds(&self, facts: &dyn Facts) -> bool {
        compare(self.key, self.operator, self.values, facts)
    }
}

/// What answers terms, and joins the answers.
pub trait Sets {
    /// The things for which something holds.
    type Set;

    /// Those for which a term holds.
    fn term(&self, term: SelectorTerm<'_>) -> Self::Set;

    /// The others.
    fn not(&self, set: Self::Set) -> Self::Set;

    /// Those in both.
    fn and(&self, left: Self::Set, right: Self::Set) -> Self::Set;

    /// Those in either.
    fn or(&self, left: Self::Set, right: Self::Set) -> Self::Set;
}

impl Selector {
    /// All that is selected, by the answers to its terms.
    pub fn select<S: Sets>(&self, sets: &S) -> S::Set {
        self.expression.select(sets)
    }
}

impl Expression {
    fn select<S: Sets>(&self, sets: &S) -> S::Set {
        match self {
            Self::Names(names) => sets.term(SelectorTerm::Names(names)),
            Self::Compare { key, operator, values } => {
                sets.term(SelectorTerm::Compare(Comparison { key: *key, operator: *operator, values }))
            }
            Self::Not(inner) => sets.not(inner.select(sets)),
            Self::And(parts) => joined(parts, sets, |left, right| sets.and(left, right)),
            Self::Or(parts) => joined(parts, sets, |left, right| sets.or(left, right)),
        }
    }
}

/// The parser joins two parts or more.
fn joined<S: Sets>(parts: &[Expression], sets: &S, join: impl Fn(S::Set, S::Set) -> S::Set) -> S::Set {
    let answers = parts.iter().map(|part| part.select(sets));
    answers.reduce(join).unwrap_or_else(|| sets.term(SelectorTerm::Names(&[])))
}
