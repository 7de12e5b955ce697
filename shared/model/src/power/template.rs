//! Texts that stand for one thing on each machine, command lines made of them, and where a secret is to be found.

use std::fmt;

use super::words::{self, WordsError};
use crate::MachineId;

/// What stands for the machine's name: the only placeholder.
pub const PLACEHOLDER: &str = "{machine}";

/// A text in which `{machine}` stands for the machine's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Template(String);

impl Template {
    /// Reads a template; braces around anything but a lower-case word are ordinary.
    ///
    /// # Errors
    /// The placeholder that is none.
    pub fn new(text: &str) -> Result<Self, String> {
        for (at, _) in text.match_indices('{') {
            let rest = &text[at + 1..];
            let name = rest.split('}').next().filter(|name| name.len() < rest.len()).unwrap_or_default();
            let is_word = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            if is_word && name != "machine" {
                return Err(format!("{{{name}}}"));
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The text for a machine.
    #[must_use]
    pub fn fill(&self, machine: &MachineId) -> String {
        self.0.replace(PLACEHOLDER, machine.as_str())
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A program and its arguments. No shell reads it: a machine's name never becomes more than a part of one argument.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandLine {
    program: Template,
    arguments: Vec<Template>,
}

impl CommandLine {
    /// Reads a command line; none where it is empty.
    pub(super) fn new(text: &str) -> Result<Option<Self>, CommandLineError> {
        let words = words::split(text).map_err(CommandLineError::Words)?;
        let mut templates = Vec::new();
        for word in &words {
            templates.push(Template::new(word).map_err(CommandLineError::Placeholder)?);
        }
        let mut templates = templates.into_iter();
        let program = templates.next().filter(|program| !program.0.is_empty());
        Ok(program.map(|program| Self { program, arguments: templates.collect() }))
    }

    /// Program and arguments for a machine.
    #[must_use]
    pub fn fill(&self, machine: &MachineId) -> (String, Vec<String>) {
        let arguments = self.arguments.iter().map(|argument| argument.fill(machine)).collect();
        (self.program.fill(machine), arguments)
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = std::iter::once(&self.program).chain(&self.arguments);
        f.write_str(&words::join(all.map(Template::as_str)))
    }
}

/// Why a text is no command line.
pub(super) enum CommandLineError {
    Words(WordsError),
    Placeholder(String),
}

/// Where a password is to be found: never in the setting itself, which everybody reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Secret {
    /// The first line of a file, on the machine that drives.
    File(Template),
    /// A variable of the environment of the service that drives.
    Environment(String),
}
