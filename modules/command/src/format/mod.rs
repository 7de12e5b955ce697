//! What the output and the exit code of a known kind of program say: verdict, totals, and samples while it runs. Pure: one line
//! after the other goes in, and each parser keeps a bounded part of it.

mod fio;
mod iperf3;
mod json;
mod ltp;
mod memtester;
mod nagios;
mod names;
mod stress_ng;
mod tap;
#[cfg(test)]
mod tests;

/// Most bytes of a line that is looked at.
pub(crate) const LINE_BYTES_MAX: usize = 16 << 10;
/// Most reasons that are told.
const REASONS_MAX: usize = 5;

/// Kinds of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Only the exit code counts.
    Exit,
    Tap,
    Ktap,
    Nagios,
    Fio,
    StressNg,
    Iperf3,
    Memtester,
    Ltp,
}

impl Format {
    /// All of them, by name.
    pub(crate) const ALL: [(&'static str, Self); 9] = [
        ("exit", Self::Exit),
        ("tap", Self::Tap),
        ("ktap", Self::Ktap),
        ("nagios", Self::Nagios),
        ("fio", Self::Fio),
        ("stress-ng", Self::StressNg),
        ("iperf3", Self::Iperf3),
        ("memtester", Self::Memtester),
        ("ltp", Self::Ltp),
    ];

    /// What reads it; none where only the exit code counts.
    pub(crate) fn parser(self, warnings: Warnings) -> Option<Box<dyn Parser>> {
        Some(match self {
            Self::Exit => return None,
            Self::Tap => Box::new(tap::Tap::new(tap::Dialect::Tap)),
            Self::Ktap => Box::new(tap::Tap::new(tap::Dialect::Ktap)),
            Self::Nagios => Box::new(nagios::Nagios::new(warnings)),
            Self::Fio => Box::<fio::Fio>::default(),
            Self::StressNg => Box::<stress_ng::StressNg>::default(),
            Self::Iperf3 => Box::<iperf3::Iperf3>::default(),
            Self::Memtester => Box::<memtester::Memtester>::default(),
            Self::Ltp => Box::new(ltp::Ltp::new(warnings)),
        })
    }
}

/// What a warning of the program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Warnings {
    Fail,
    Pass,
}

/// Reads what a program prints.
pub(crate) trait Parser {
    /// The next line, without its end; measured values where it completes some.
    fn line(&mut self, line: &str) -> Option<Sample>;

    /// After the last line: by its exit code, none where a signal ended it.
    fn finish(&mut self, code: Option<i32>) -> Verdict;
}

/// Measured values: names and numbers.
pub(crate) type Values = Vec<(String, f64)>;

/// Values at a time.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Sample {
    /// Totals, which only rise.
    pub(crate) counters: Values,
    /// Levels.
    pub(crate) gauges: Values,
}

/// What it says of the product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Pass,
    /// The product failed.
    Fail(String),
    /// It could not be tested.
    Error(String),
    /// It does not apply here.
    Skip(String),
}

/// The end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) said: Said,
    pub(crate) totals: Values,
    /// A line for people; may be empty.
    pub(crate) text: String,
}

/// Reasons for people: the first few, and how many more there were.
#[derive(Debug, Default)]
struct Reasons {
    first: Vec<String>,
    more: usize,
}

impl Reasons {
    fn add(&mut self, reason: &str) {
        if self.first.len() < REASONS_MAX {
            self.first.push(reason.chars().take(200).collect());
        } else {
            self.more += 1;
        }
    }

    fn text(&self) -> String {
        let text = self.first.join("; ");
        if self.more == 0 { text } else { format!("{text}; and {} more", self.more) }
    }
}

/// The exit code for people.
fn ended_by(code: Option<i32>) -> String {
    code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"))
}
