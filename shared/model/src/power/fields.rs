//! The words of a setting as values of keys: what every driver reads its own from.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::error::SpecError;
use super::key::Key;
use super::template::{CommandLine, CommandLineError, Secret, Template};
use super::words;

/// Longest setting, bytes.
const SPEC_BYTES_MAX: usize = 4096;
/// Keys that people would give a password by; no driver has one of them.
const PASSWORD_KEYS: [&str; 4] = ["password", "passwd", "pass", "secret"];
/// What is needed where a driver logs in.
const PASSWORD_KEY: &str = "password-file= or password-env";

/// Driver word and further words of a setting.
pub(super) fn split(text: &str, drivers: &str) -> Result<(String, Vec<String>), SpecError> {
    if text.len() > SPEC_BYTES_MAX {
        return Err(SpecError::TooLong { bytes: text.len(), max: SPEC_BYTES_MAX });
    }
    let mut words = words::split(text)?.into_iter();
    let driver = words.next().ok_or_else(|| SpecError::Empty { drivers: drivers.to_owned() })?;
    Ok((driver, words.collect()))
}

/// The values of a driver's keys.
pub(super) struct Fields {
    driver: &'static str,
    keys: &'static [Key],
    values: BTreeMap<&'static str, String>,
}

impl Fields {
    /// Reads `key=value` words; every key that the driver needs is there afterwards.
    pub(super) fn parse(driver: &'static str, keys: &'static [Key], words: &[String]) -> Result<Self, SpecError> {
        let mut values = BTreeMap::new();
        for word in words {
            let (name, value) = word
                .split_once('=')
                .filter(|(name, value)| !name.is_empty() && !value.is_empty())
                .ok_or_else(|| SpecError::NoValue { word: word.clone() })?;
            if PASSWORD_KEYS.contains(&name) {
                return Err(SpecError::Password { key: name.to_owned() });
            }
            let key = keys.iter().find(|key| key.name == name).ok_or_else(|| unknown(driver, name, keys))?;
            if values.insert(key.name, value.to_owned()).is_some() {
                return Err(SpecError::Twice { key: name.to_owned() });
            }
        }
        match keys.iter().find(|key| key.is_required && !values.contains_key(key.name)) {
            Some(missing) => Err(SpecError::MissingKey { driver, key: missing.name.to_owned(), says: missing.says }),
            None => Ok(Self { driver, keys, values }),
        }
    }

    /// The value of a key.
    pub(super) fn text(&self, key: &'static str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// The value of a key that must be there.
    pub(super) fn needed(&self, key: &'static str) -> Result<&str, SpecError> {
        let says = self.keys.iter().find(|known| known.name == key).map_or("", |known| known.says);
        self.text(key).ok_or_else(|| SpecError::MissingKey { driver: self.driver, key: key.to_owned(), says })
    }

    /// A value that is a template.
    pub(super) fn template(&self, key: &'static str) -> Result<Option<Template>, SpecError> {
        self.text(key).map(|text| template(key, text)).transpose()
    }

    /// A value that is a template and must be there.
    pub(super) fn needed_template(&self, key: &'static str) -> Result<Template, SpecError> {
        template(key, self.needed(key)?)
    }

    /// A value that is an address and must be there: one in which no password stands.
    pub(super) fn needed_address(&self, key: &'static str) -> Result<Template, SpecError> {
        let address = self.needed_template(key)?;
        let authority =
            address.as_str().split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or(rest));
        match authority.rsplit_once('@') {
            Some((login, _)) if login.contains(':') => Err(SpecError::Password { key: key.to_owned() }),
            _ => Ok(address),
        }
    }

    /// A value that is a command line.
    pub(super) fn command(&self, key: &'static str) -> Result<Option<CommandLine>, SpecError> {
        let Some(text) = self.text(key) else { return Ok(None) };
        match CommandLine::new(text) {
            Ok(Some(command)) => Ok(Some(command)),
            Ok(None) => Err(self.invalid(key, "it names no program")),
            Err(CommandLineError::Words(error)) => Err(self.invalid(key, &error.to_string())),
            Err(CommandLineError::Placeholder(placeholder)) => Err(SpecError::Placeholder { key, placeholder }),
        }
    }

    /// A value that is a command line and must be there.
    pub(super) fn needed_command(&self, key: &'static str) -> Result<CommandLine, SpecError> {
        self.needed(key)?;
        self.command(key)?.ok_or_else(|| self.invalid(key, "it names no program"))
    }

    /// A value with a type of its own.
    pub(super) fn parsed<T: FromStr>(
        &self,
        key: &'static str,
        rule: impl Fn(T::Err) -> &'static str,
    ) -> Result<Option<T>, SpecError> {
        let parse = |text: &str| text.parse().map_err(|error| self.invalid(key, rule(error)));
        self.text(key).map(parse).transpose()
    }

    /// Where the password is.
    pub(super) fn secret(&self) -> Result<Secret, SpecError> {
        match (self.template("password-file")?, self.text("password-env")) {
            (Some(_), Some(_)) => Err(SpecError::Both { one: "password-file", other: "password-env" }),
            (Some(file), None) => Ok(Secret::File(file)),
            (None, Some(variable)) if is_variable(variable) => Ok(Secret::Environment(variable.to_owned())),
            (None, Some(_)) => Err(self.invalid("password-env", "write the name of a variable: A-Z, a-z, 0-9 and `_`")),
            (None, None) => Err(SpecError::MissingKey {
                driver: self.driver,
                key: PASSWORD_KEY.to_owned(),
                says: "where the password is found",
            }),
        }
    }

    /// The error that a value is not what its key takes.
    pub(super) fn invalid(&self, key: &'static str, rule: &str) -> SpecError {
        let value = self.text(key).unwrap_or_default().to_owned();
        SpecError::Value { key, value, rule: rule.to_owned() }
    }

    /// The error that one of several keys is needed.
    pub(super) fn missing(&self, key: &str, says: &'static str) -> SpecError {
        SpecError::MissingKey { driver: self.driver, key: key.to_owned(), says }
    }
}

fn template(key: &'static str, text: &str) -> Result<Template, SpecError> {
    Template::new(text).map_err(|placeholder| SpecError::Placeholder { key, placeholder })
}

fn unknown(driver: &'static str, key: &str, keys: &[Key]) -> SpecError {
    let known: Vec<&str> = keys.iter().map(|key| key.name).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    SpecError::UnknownKey { driver, key: key.to_owned(), known }
}

fn is_variable(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
