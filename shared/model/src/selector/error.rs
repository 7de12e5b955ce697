//! What is wrong with a selector, where, and what would be right.

use crate::{Place, Refusal, RefusalCode};

/// What is wrong with a selector: bytes `from..to` of its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at byte {from} of `{text}`")]
pub struct SelectorError {
    /// The whole text.
    pub text: String,
    /// First wrong byte.
    pub from: usize,
    /// Byte after the last wrong one.
    pub to: usize,
    /// What is wrong, a lowercase fragment.
    pub message: String,
    /// What would be right.
    pub hint: String,
}

impl SelectorError {
    /// The refusal of what was asked for with this selector: `start high-io`.
    #[must_use]
    pub fn into_refusal(self, what: impl Into<String>) -> Refusal {
        let why = format!("the selector is not valid: {}", self.message);
        let place = Place { text: self.text, from: self.from, to: self.to };
        Refusal::new(RefusalCode::Invalid, what, why, self.hint).at(place)
    }
}
