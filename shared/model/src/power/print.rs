//! A setting as it is typed: the driver, and each key that says something.

use std::fmt::{self, Display, Write};

use super::template::Secret;
use super::words;

/// The words of a setting.
pub(super) struct Line(String);

impl Line {
    /// Begins with the driver.
    pub(super) fn new(driver: &str) -> Self {
        Self(driver.to_owned())
    }

    /// Adds a key with its value.
    pub(super) fn key(mut self, key: &str, value: &impl Display) -> Self {
        // Writing to a String does not fail.
        let _ = write!(self.0, " {key}={}", words::quote(&value.to_string()));
        self
    }

    /// Adds a key where there is a value.
    pub(super) fn maybe(self, key: &str, value: Option<&impl Display>) -> Self {
        match value {
            Some(value) => self.key(key, value),
            None => self,
        }
    }

    /// Adds a key where its value is not the one that it has without.
    pub(super) fn unless<V: Display + PartialEq>(self, key: &str, value: &V, default: &V) -> Self {
        self.maybe(key, Some(value).filter(|value| *value != default))
    }

    /// Adds where the password is.
    pub(super) fn secret(self, secret: &Secret) -> Self {
        match secret {
            Secret::File(file) => self.key("password-file", file),
            Secret::Environment(variable) => self.key("password-env", variable),
        }
    }

    /// Writes it.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
