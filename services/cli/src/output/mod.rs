//! What goes to stdout: one kind of table, laid out for people, as JSON, as CSV, as a page, as a picture, or as a Parquet file.

mod cell;
mod pager;
mod parquet;
mod render;
mod reply;

use std::borrow::Cow;
use std::io::Write;

pub(crate) use self::parquet::parquet;
pub(crate) use cell::Cell;
pub(crate) use pager::write_paged;
pub(crate) use render::{Layout, Record};

use crate::exit::Failure;

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// An array of objects with stable fields.
    Json,
    /// With a header line.
    Csv,
    /// A page with charts that opens without a network.
    Html,
    /// The charts of that page.
    Svg,
    /// An Apache Parquet file.
    Parquet,
}

impl Format {
    /// One that many objects of different kinds can have, one after the other.
    pub(crate) fn is_for_streams(self) -> bool {
        match self {
            Self::Table | Self::Json => true,
            Self::Csv | Self::Html | Self::Svg | Self::Parquet => false,
        }
    }
}

/// Where a column is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Everywhere,
    /// Only to people: a summary of what other columns say.
    People,
    /// Only to people, and only where a row says something in it.
    PeopleIfTold,
    /// Only to programs.
    Programs,
}

/// A column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    name: Cow<'static, str>,
    shown: Shown,
}

impl Column {
    /// A column for everybody.
    pub(crate) fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), shown: Shown::Everywhere }
    }

    /// A column that only people see.
    pub(crate) fn people(name: &'static str) -> Self {
        Self { name: name.into(), shown: Shown::People }
    }

    /// A column that only people see, where any row says something in it.
    pub(crate) fn if_told(name: &'static str) -> Self {
        Self { name: name.into(), shown: Shown::PeopleIfTold }
    }

    /// A column that only programs see.
    pub(crate) fn programs(name: &'static str) -> Self {
        Self { name: name.into(), shown: Shown::Programs }
    }
}

/// A table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    /// People see each row as lines of `name  value`.
    upright: bool,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new(), upright: false }
    }

    /// A table of one row, of named cells; people see it upright.
    pub(crate) fn record(cells: Vec<(&'static str, Cell)>) -> Self {
        let (names, row): (Vec<_>, Vec<_>) = cells.into_iter().unzip();
        let columns = names.into_iter().map(Column::new).collect();
        Self { columns, rows: vec![row], upright: true }
    }

    /// Adds a row with a cell for each column.
    pub(crate) fn push(&mut self, row: Vec<Cell>) {
        assert_eq!(row.len(), self.columns.len(), "a row has a cell for each column");
        self.rows.push(row);
    }

    /// Shows people each row upright, with all of its cells.
    pub(crate) fn upright(mut self) -> Self {
        self.upright = true;
        for column in &mut self.columns {
            if column.shown == Shown::Programs {
                column.shown = Shown::Everywhere;
            }
        }
        self
    }
}

/// Writes to stdout.
///
/// # Errors
/// [`Failure::OutputClosed`] when nobody reads any more.
pub(crate) fn write(text: &str) -> Result<(), Failure> {
    write_bytes(text.as_bytes())
}

/// Writes bytes to stdout.
///
/// # Errors
/// As [`write`].
pub(crate) fn write_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::Other(anyhow::Error::new(error).context("write to stdout")),
    })
}
