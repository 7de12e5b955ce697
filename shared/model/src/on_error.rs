//! What comes first when a process finds wrong data.

use std::fmt;

use crate::trigger::TriggerNumber;

/// Triggers that one job may fire on an error at most.
const TRIGGERS_MAX: usize = 8;
/// The words of all of them, with what each takes.
pub const ON_ERRORS: &str = "report, continue, crash or trigger N[,M...]";

/// What comes first when a process finds wrong data.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OnError {
    /// It is reported, and the process ends.
    #[default]
    Report,
    /// It is reported, and the process goes on; it fails in the end.
    Continue,
    /// The kernel of its machine crashes at once, for a dump: nothing is reported.
    Crash,
    /// These fire; then it is reported, and the process ends.
    Trigger(Vec<TriggerNumber>),
}

impl OnError {
    /// Reads one as it is written, `trigger 3,7`; nothing at all means the first.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (word, argument) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        match (word, argument.trim()) {
            ("" | "report", "") => Ok(Self::Report),
            ("continue", "") => Ok(Self::Continue),
            ("crash", "") => Ok(Self::Crash),
            ("trigger", numbers) => triggers(numbers).map(Self::Trigger),
            ("report" | "continue" | "crash", _) => Err(format!("{word} takes no argument")),
            _ => Err(format!("`{word}` is none of {ON_ERRORS}")),
        }
    }

    /// Triggers that fire.
    #[must_use]
    pub fn triggers(&self) -> &[TriggerNumber] {
        match self {
            Self::Trigger(numbers) => numbers,
            Self::Report | Self::Continue | Self::Crash => &[],
        }
    }
}

/// Sorted, each once.
fn triggers(text: &str) -> Result<Vec<TriggerNumber>, String> {
    let read = |number: &str| number.trim().parse().ok().and_then(TriggerNumber::new);
    let numbers: Option<Vec<TriggerNumber>> = text.split(',').map(read).collect();
    let mut numbers = numbers.ok_or_else(|| "trigger takes numbers from 0 to 255, like 3 or 3,7".to_owned())?;
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.len() > TRIGGERS_MAX {
        return Err(format!("trigger takes at most {TRIGGERS_MAX} numbers"));
    }
    Ok(numbers)
}

impl fmt::Display for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Report => f.write_str("report"),
            Self::Continue => f.write_str("continue"),
            Self::Crash => f.write_str("crash"),
            Self::Trigger(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
                write!(f, "trigger {}", numbers.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_nothing_means_report() {
        let numbers = |numbers: &[u8]| OnError::Trigger(numbers.iter().copied().map(TriggerNumber).collect());
        for one in [OnError::Report, OnError::Continue, OnError::Crash, numbers(&[3]), numbers(&[3, 7, 255])] {
            assert_eq!(OnError::parse(&one.to_string()), Ok(one));
        }
        assert_eq!(OnError::parse(""), Ok(OnError::Report));
        assert_eq!(OnError::parse("trigger 7, 3,7"), Ok(numbers(&[3, 7])));
        assert_eq!(numbers(&[3]).triggers(), [TriggerNumber(3)]);
    }

    #[test]
    fn what_is_none_is_said_so() {
        for (text, why) in [
            ("stop", "`stop` is none of report, continue, crash or trigger"),
            ("trigger", "numbers from 0 to 255"),
            ("trigger 256", "numbers from 0 to 255"),
            ("trigger 3,x", "numbers from 0 to 255"),
            ("trigger 1,2,3,4,5,6,7,8,9", "at most 8"),
            ("crash 3", "crash takes no argument"),
        ] {
            let said = OnError::parse(text).expect_err("it is none");
            assert!(said.contains(why), "{said}");
        }
    }
}
