//! One value of a table, and how it is shown to people and to programs.

use std::time::Duration;

use muster_model::PoolTime;
use serde::Serialize;

use crate::exit::one_line;
use crate::times::{self, Viewer};

/// One value of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// Nothing is known.
    None,
    /// Nothing is there, which has a word for people.
    Word(&'static str),
    /// Words.
    Text(String),
    /// A count or an id.
    Integer(u64),
    /// A whole number that may be below zero.
    Signed(i64),
    /// A measured number.
    Number(f64),
    /// Yes or no.
    Flag(bool),
    /// A moment of the pool clock.
    Time(PoolTime),
    /// A length of time; programs see seconds.
    Span(Duration),
    /// A size.
    Bytes(u64),
    /// Several words.
    List(Vec<String>),
}

impl Cell {
    /// Words.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A moment as it travels; 0 is never.
    pub(crate) fn time_ns(ns: i64) -> Self {
        if ns == 0 { Self::None } else { Self::Time(PoolTime(ns)) }
    }

    /// It is set flush right.
    pub(crate) fn is_numeric(&self) -> bool {
        match self {
            Self::Integer(_) | Self::Signed(_) | Self::Number(_) | Self::Span(_) | Self::Bytes(_) => true,
            Self::None | Self::Word(_) | Self::Text(_) | Self::Flag(_) | Self::Time(_) | Self::List(_) => false,
        }
    }

    /// As a person sees it.
    pub(crate) fn for_people(&self, viewer: &Viewer) -> String {
        match self {
            Self::None => "-".into(),
            Self::Word(word) => (*word).to_owned(),
            Self::Text(text) if text.is_empty() => "-".into(),
            Self::Text(text) => one_line(text),
            Self::Integer(number) => number.to_string(),
            Self::Signed(number) => number.to_string(),
            Self::Number(number) => number_for_people(*number),
            Self::Flag(flag) => if *flag { "yes" } else { "no" }.into(),
            Self::Time(time) => viewer.time(*time),
            Self::Span(span) => times::short(*span),
            Self::Bytes(bytes) => times::size(*bytes),
            Self::List(words) if words.is_empty() => "-".into(),
            Self::List(words) => one_line(&words.join(",")),
        }
    }

    /// As a field of a line of CSV.
    pub(crate) fn for_csv(&self) -> String {
        match self {
            Self::None | Self::Word(_) => String::new(),
            Self::Text(text) => text.clone(),
            Self::Integer(number) | Self::Bytes(number) => number.to_string(),
            Self::Signed(number) => number.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Time(time) => times::rfc3339(*time).unwrap_or_default(),
            Self::Span(span) => span.as_secs_f64().to_string(),
            Self::List(words) => words.join(","),
        }
    }
}

impl Serialize for Cell {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None | Self::Word(_) => serializer.serialize_none(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Integer(number) | Self::Bytes(number) => serializer.serialize_u64(*number),
            Self::Signed(number) => serializer.serialize_i64(*number),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Time(time) => times::rfc3339(*time).serialize(serializer),
            Self::Span(span) => serializer.serialize_f64(span.as_secs_f64()),
            Self::List(words) => words.serialize(serializer),
        }
    }
}

/// Four digits or so: enough to compare, short enough to read.
fn number_for_people(number: f64) -> String {
    match number.abs() {
        _ if !number.is_finite() => "-".into(),
        magnitude if magnitude >= 1000.0 || number == number.trunc() => format!("{number:.0}"),
        magnitude if magnitude >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.4}"),
    }
}
