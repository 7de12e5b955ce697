//! Parameters that change while a test runs (`muster set`): those that its manifest calls live.

use std::ops::Deref;
use std::time::Duration;

use crate::error::ParameterError;
use crate::parameters::Parameters;
use crate::session::Session;

/// Reads what is live of all parameters.
pub type Read<T> = fn(Parameters<'_>) -> Result<T, ParameterError>;

/// What was read of live parameters, as they were said last.
#[derive(Debug)]
pub struct Live<T> {
    value: T,
    read: Read<T>,
    /// Changes that are in the value.
    seen: u64,
}

impl<T> Live<T> {
    /// Reads them as they are now.
    ///
    /// # Errors
    /// One can not be read.
    pub fn new(session: &Session, read: Read<T>) -> Result<Self, ParameterError> {
        let (seen, parameters) = session.parameters_now();
        Ok(Self { value: read(Parameters::new(&parameters))?, read, seen })
    }

    /// Takes what has changed; true where something has. Cheap where nothing has, so that it can be asked before each iteration.
    /// The scheduler has checked what it is told: what can not be read all the same is left as it was, and said so.
    pub fn follow(&mut self, session: &Session) -> bool {
        if session.parameter_changes() == self.seen {
            return false;
        }
        let (seen, parameters) = session.parameters_now();
        self.seen = seen;
        match (self.read)(Parameters::new(&parameters)) {
            Ok(value) => self.value = value,
            Err(error) => session.event("not_taken", &error.to_string()),
        }
        true
    }

    /// Pauses, and returns early where a parameter changes, or, with true, where a stop is asked for.
    #[must_use]
    pub fn wait(&self, session: &Session, pause: Duration) -> bool {
        session.wait_for_change(pause, self.seen)
    }
}

impl<T> Deref for Live<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
