//! What can go wrong with PostgreSQL, by what the caller can do about it.

use std::time::Duration;

use tokio_postgres::error::SqlState;

/// What a function of the store gives.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PostgreSQL is away, stopping, full, or a transaction met another: try again later. What was being committed may have been.
    #[error("{what}: {why}; {next}")]
    Unavailable {
        /// What was being done.
        what: String,
        /// Why it did not work.
        why: String,
        /// What to do.
        next: String,
    },
    /// The statement took longer than it may: ask for less.
    #[error("{what}: took longer than it may")]
    TimedOut {
        /// What was being done.
        what: String,
    },
    /// PostgreSQL refused these rows, and will refuse them again: leave them out.
    #[error("{what}: {why}")]
    Unfit {
        /// What was being done.
        what: String,
        /// What is wrong with them.
        why: String,
    },
    /// Nothing helps but a person: a wrong URL, a missing permission, another schema.
    #[error("{what}: {why}; {next}")]
    Broken {
        /// What was being done.
        what: String,
        /// Why it did not work.
        why: String,
        /// What to do.
        next: String,
    },
}

impl Error {
    /// Trying again later can help.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// A failure that only a person can help with.
    #[must_use]
    pub fn broken(what: impl Into<String>, why: impl std::fmt::Display, next: impl Into<String>) -> Self {
        Self::Broken { what: what.into(), why: why.to_string(), next: next.into() }
    }

    /// No answer within `waited`: whether it happened is unknown.
    #[must_use]
    pub fn silent(what: &str, waited: Duration) -> Self {
        Self::Unavailable {
            what: what.into(),
            why: format!("PostgreSQL gave no answer within {waited:?}"),
            next: "see its log".into(),
        }
    }

    /// For `map_err`: what was being done when PostgreSQL failed.
    pub fn doing(what: &str) -> impl Fn(tokio_postgres::Error) -> Self + use<'_> {
        move |error| Self::judge(what, &error)
    }

    pub(crate) fn judge(what: &str, error: &tokio_postgres::Error) -> Self {
        let what = what.to_owned();
        let Some(state) = error.code() else {
            return Self::without_state(what, error);
        };
        let why = error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_owned());
        if *state == SqlState::QUERY_CANCELED {
            return Self::TimedOut { what };
        }
        match &state.code()[..2] {
            // Connection, a server that only reads now, resources, intervention of an operator, transaction and lock conflicts.
            "08" | "25" | "53" | "57" | "58" | "40" | "55" => {
                Self::Unavailable { what, why, next: "it is tried again; see the log of PostgreSQL".into() }
            }
            // Data, constraints, and limits such as the size of an index row.
            "22" | "23" | "54" => Self::Unfit { what, why },
            "28" | "3D" => Self::Broken { what, why, next: "check the user and database in MUSTER_POSTGRES".into() },
            // Undefined table, column or function.
            "42" if state.code() != SqlState::INSUFFICIENT_PRIVILEGE.code() => {
                Self::Broken { what, why, next: "run `muster-telemetry-logger migrate` of the same version".into() }
            }
            _ => Self::Broken { what, why, next: "see the log of PostgreSQL".into() },
        }
    }

    /// The client itself failed: nearly always because the connection went away.
    fn without_state(what: String, error: &tokio_postgres::Error) -> Self {
        let mut why = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            why = format!("{why}: {inner}");
            source = inner.source();
        }
        // The text is the only sign that a value did not fit its column: tokio-postgres keeps its kinds to itself.
        if why.contains("serializing parameter") || why.contains("deserializing column") {
            return Self::Broken { what, why, next: "this is a defect of Muster: please report it".into() };
        }
        Self::Unavailable { what, why, next: "is PostgreSQL running there, and is MUSTER_POSTGRES right?".into() }
    }
}
