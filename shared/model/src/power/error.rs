//! What is wrong with a setting, and what would be right.

use super::words::WordsError;

/// Why a text is no setting of power or snapshots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// It names nothing.
    #[error("it is empty; write a driver and its keys: {drivers}")]
    Empty {
        /// The drivers that there are.
        drivers: String,
    },
    /// It is longer than a setting may be.
    #[error("it has {bytes} bytes; write at most {max}, and put the rest into a script")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest.
        max: usize,
    },
    /// It can not be split into words.
    #[error(transparent)]
    Words(#[from] WordsError),
    /// No driver has this name.
    #[error("`{word}` is no driver; write one of {drivers}")]
    UnknownDriver {
        /// The word.
        word: String,
        /// The drivers that there are.
        drivers: String,
    },
    /// A word without a value.
    #[error("`{word}` is no `key=value`; quote a value that has blanks, like on='pdu on 7'")]
    NoValue {
        /// The word.
        word: String,
    },
    /// The driver has no such key.
    #[error("{driver} has no key `{key}`; it takes {known}")]
    UnknownKey {
        /// The driver.
        driver: &'static str,
        /// The key.
        key: String,
        /// The keys that it has.
        known: String,
    },
    /// A key that the driver needs is not there.
    #[error("{driver} needs `{key}=`: {says}")]
    MissingKey {
        /// The driver.
        driver: &'static str,
        /// The key, or several of which one is needed.
        key: String,
        /// What it says.
        says: &'static str,
    },
    /// A key is there twice.
    #[error("`{key}=` is there twice; write it once")]
    Twice {
        /// The key.
        key: String,
    },
    /// Two keys say the same thing in two ways.
    #[error("`{one}=` and `{other}=` are both there; write one of them")]
    Both {
        /// The first.
        one: &'static str,
        /// The second.
        other: &'static str,
    },
    /// A secret stands in the text.
    #[error(
        "`{key}=` has a password in it, which everybody reads who sees the setting; write password-file=FILE or \
         password-env=VARIABLE"
    )]
    Password {
        /// The key that has it.
        key: String,
    },
    /// A placeholder that is none.
    #[error("`{key}=` has the placeholder `{placeholder}`; the only one is {{machine}}")]
    Placeholder {
        /// The key.
        key: &'static str,
        /// What stands there.
        placeholder: String,
    },
    /// A value is not what its key takes.
    #[error("`{key}={value}` is not valid: {rule}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What is wrong, or what would be right.
        rule: String,
    },
}
