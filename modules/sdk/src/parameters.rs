//! Parameters of a start, read by type.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_model::quantity;
use muster_pattern::Class;

use crate::error::ParameterError;

/// Parameters with their defaults filled in.
#[derive(Debug, Clone, Copy)]
pub struct Parameters<'a> {
    values: &'a BTreeMap<String, String>,
}

impl<'a> Parameters<'a> {
    pub(crate) fn new(values: &'a BTreeMap<String, String>) -> Self {
        Self { values }
    }

    /// Text, as it was given.
    ///
    /// # Errors
    /// It is neither given nor defaulted.
    pub fn text(&self, name: &str) -> Result<&'a str, ParameterError> {
        self.values.get(name).map(String::as_str).ok_or_else(|| ParameterError::Missing(name.to_owned()))
    }

    /// A whole number.
    ///
    /// # Errors
    /// It is missing or not a whole number.
    pub fn integer(&self, name: &str) -> Result<i64, ParameterError> {
        self.read(name, |text| text.parse().map_err(|_| "write a whole number, like `42`".to_owned()))
    }

    /// A whole number that is not negative.
    ///
    /// # Errors
    /// It is missing, not a whole number, or negative.
    pub fn count(&self, name: &str) -> Result<u64, ParameterError> {
        self.read(name, |text| text.parse().map_err(|_| "write a whole number from 0".to_owned()))
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// It is missing or neither.
    pub fn boolean(&self, name: &str) -> Result<bool, ParameterError> {
        self.read(name, |text| match text {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err("write `true` or `false`".to_owned()),
        })
    }

    /// One of some values, by its name.
    ///
    /// # Errors
    /// It is missing or none of them.
    pub fn choice<T: Copy>(&self, name: &str, values: &[(&str, T)]) -> Result<T, ParameterError> {
        let names = || values.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        self.read(name, |text| {
            let found = values.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
            found.ok_or_else(|| format!("write one of {}", names()))
        })
    }

    /// Numbers of triggers, with commas; none where the text is empty.
    ///
    /// # Errors
    /// It is missing, or one is no number from 0 to 255.
    pub fn triggers(&self, name: &str) -> Result<Vec<u8>, ParameterError> {
        self.read(name, |text| {
            let numbers = text.split(',').map(str::trim).filter(|number| !number.is_empty()).map(str::parse);
            numbers.collect::<Result<_, _>>().map_err(|_| "write numbers from 0 to 255, like `3` or `3,7`".to_owned())
        })
    }

    /// A class of corruption that is to be made; none where the text is empty.
    ///
    /// # Errors
    /// It is missing or no class.
    pub fn class(&self, name: &str) -> Result<Option<Class>, ParameterError> {
        if self.text(name)?.is_empty() {
            return Ok(None);
        }
        self.choice(name, &Class::ALL.map(|class| (class.as_str(), class))).map(Some)
    }

    /// Bytes.
    ///
    /// # Errors
    /// It is missing or not a size.
    pub fn size(&self, name: &str) -> Result<u64, ParameterError> {
        self.read(name, |text| quantity::parse_size(text).map_err(|error| error.reason))
    }

    /// A length of time.
    ///
    /// # Errors
    /// It is missing or not a duration.
    pub fn duration(&self, name: &str) -> Result<Duration, ParameterError> {
        self.read(name, |text| match text {
            "0" => Ok(Duration::ZERO),
            _ => quantity::parse_duration(text).map_err(|error| error.reason),
        })
    }

    fn read<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, ParameterError> {
        let value = self.text(name)?;
        parse(value).map_err(|reason| ParameterError::invalid(name, value, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_type_and_errors_name_the_parameter() {
        let values: BTreeMap<String, String> =
            [("size", "64KiB"), ("time", "250ms"), ("none", "0"), ("flag", "true"), ("number", "-3"), ("bad", "x")]
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
        let parameters = Parameters::new(&values);
        assert_eq!(parameters.size("size"), Ok(65_536));
        assert_eq!(parameters.duration("time"), Ok(Duration::from_millis(250)));
        assert_eq!(parameters.duration("none"), Ok(Duration::ZERO));
        assert_eq!(parameters.boolean("flag"), Ok(true));
        assert_eq!(parameters.integer("number"), Ok(-3));
        assert!(parameters.count("number").is_err());
        let errors = [
            parameters.size("bad").unwrap_err(),
            parameters.duration("bad").unwrap_err(),
            parameters.boolean("bad").unwrap_err(),
            parameters.integer("bad").unwrap_err(),
        ];
        for error in errors {
            assert!(error.to_string().starts_with("parameter `bad` can not be `x`: "), "{error}");
        }
        assert_eq!(parameters.choice("bad", &[("w", 1), ("x", 2)]), Ok(2));
        let error = parameters.choice("bad", &[("w", 1), ("y", 2)]).unwrap_err().to_string();
        assert_eq!(error, "parameter `bad` can not be `x`: write one of w, y");
        assert!(parameters.class("bad").unwrap_err().to_string().contains("write one of BITFLIP, STALE, "));
        let missing = parameters.text("absent").unwrap_err().to_string();
        assert_eq!(missing, "parameter `absent` is required: give it with --param absent=VALUE");
    }
}
