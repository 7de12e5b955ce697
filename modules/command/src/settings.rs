//! What was asked for, read once and checked.

use std::time::Duration;

use muster_sdk::{ParameterError, Session};

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
}

impl Settings {
    pub(crate) fn read(session: &Session) -> Result<Self, ParameterError> {
        let parameters = session.parameters();
        let program = parameters.text("program")?;
        if program.is_empty() {
            return Err(ParameterError::Missing("program".into()));
        }
        let arguments = parameters.text("arguments")?;
        let split =
            split(arguments).map_err(|error| ParameterError::invalid("arguments", arguments, error.to_string()));
        let expected = parameters.integer("expect_exit")?;
        let timeout = parameters.duration("timeout")?;
        Ok(Self {
            program: program.to_owned(),
            arguments: split?,
            expect_exit: u8::try_from(expected).map(i32::from).map_err(|_| {
                ParameterError::invalid("expect_exit", expected.to_string(), "an exit code is from 0 to 255")
            })?,
            timeout: (!timeout.is_zero()).then_some(timeout),
        })
    }
}
