//! Results of a job for programs that know nothing of Muster: JUnit XML, TAP and CTRF.
//!
//! Responsible for what a result is called there, and for the formats. Not for asking: rows of the report service go in.

mod case;
mod ctrf;
mod junit;
mod tap;

use muster_proto::v1::ReportReply;

use self::case::Case;

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// XML of JUnit, with the elements of Maven Surefire for what was tried again.
    Junit,
    /// Test Anything Protocol, version 13.
    Tap,
    /// Common Test Report Format.
    Ctrf,
}

/// The results of one job.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// `job 3 of run 1`.
    pub name: String,
    cases: Vec<Case>,
}

impl Results {
    /// Of all pages of an answer, in their order.
    #[must_use]
    pub fn of(pages: &[ReportReply]) -> Self {
        let name = pages.first().map(|page| page.title.clone()).unwrap_or_default();
        Self { name, cases: case::cases(pages) }
    }

    /// Processes that have not ended.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.cases.iter().filter(|case| case.last().outcome == case::Outcome::Unfinished).count()
    }

    /// In a format; ends with a line feed.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Junit => junit::render(self),
            Format::Tap => tap::render(self),
            Format::Ctrf => ctrf::render(self),
        }
    }
}
