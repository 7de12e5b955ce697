//! What was asked for, read once and checked.

use std::time::Duration;

use muster_sdk::{ParameterError, Session};

use crate::format::{Format, Warnings};
use crate::words::split;

/// Settings of one process.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    /// The exit code that is a pass.
    pub(crate) expect_exit: i32,
    /// The longest that it may run.
    pub(crate) timeout: Option<Duration>,
    /// What it prints.
    pub(crate) format: Format,
    /// What its warnings are.
    pub(crate) warnings: Warnings,
}

const WARNINGS: &[(&str, Warnings)] = &[("fail", Warnings::Fail), ("pass", Warnings::Pass)];

impl Settings {
    pub(crate) fn read(session: &Session) -> Result<Self, ParameterError> {
        let parameters = session.parameters();
        let program = parameters.text("program")?;
        if program.is_empty() {
            return Err(ParameterError::Missing("program".into()));
        }
        let mut words = Vec::new();
        for name in ["prefix", "arguments"] {
            let text = parameters.text(name)?;
            let split = split(text).map_err(|error| ParameterError::invalid(name, text, error.to_string()))?;
            words.extend(split);
        }
        let arguments = words.into_iter().map(|word| fill_in(session, word)).collect::<Result<_, _>>()?;
        let expected = parameters.integer("expect_exit")?;
        let timeout = parameters.duration("timeout")?;
        Ok(Self {
            program: program.to_owned(),
            arguments,
            expect_exit: u8::try_from(expected).map(i32::from).map_err(|_| {
                ParameterError::invalid("expect_exit", expected.to_string(), "an exit code is from 0 to 255")
            })?,
            timeout: (!timeout.is_zero()).then_some(timeout),
            format: parameters.choice("format", &Format::ALL)?,
            warnings: parameters.choice("warnings", WARNINGS)?,
        })
    }
}

/// Puts what this process was given where a word names it in braces.
fn fill_in(session: &Session, word: String) -> Result<String, ParameterError> {
    if !word.contains('{') {
        return Ok(word);
    }
    let context = session.context();
    let word = word.replace("{work}", &context.work).replace("{results}", &context.results);
    let word = word.replace("{seed}", &context.seed).replace("{dpid}", &context.dpid);
    if !word.contains("{disk}") {
        return Ok(word);
    }
    let disk = session.resources("disk").next().ok_or_else(|| {
        ParameterError::invalid(
            "arguments",
            word.clone(),
            "it names {disk}, and no disk was given (by hand: --disk PATH)",
        )
    })?;
    Ok(word.replace("{disk}", &disk.path))
}
