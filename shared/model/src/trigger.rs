//! Triggers: what machines do when one fires, and what the policy of a machine permits. Who is armed is the scheduler's to know.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::ids::JobNumber;

/// Number of a trigger; a pool has 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TriggerNumber(pub u8);

impl TriggerNumber {
    /// The number, when it is one of a trigger.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        u8::try_from(number).ok().map(Self)
    }
}

impl fmt::Display for TriggerNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// UUIDv7 of one firing of a trigger: whoever heard of it once does nothing when it hears of it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FiringId(pub [u8; 16]);

impl fmt::Display for FiringId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why a text names no firing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no firing: give the 32 hexadecimal digits that `muster report triggers` shows")]
pub struct FiringIdError(String);

impl FromStr for FiringId {
    type Err = FiringIdError;
    fn from_str(text: &str) -> Result<Self, FiringIdError> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex);
        number.map(|number| Self(number.to_be_bytes())).ok_or_else(|| FiringIdError(text.to_owned()))
    }
}

/// Longest name of a command of a policy, bytes.
const COMMAND_NAME_BYTES_MAX: usize = 32;

/// What a machine does when a trigger fires.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TriggerAction {
    /// The kernel crashes at once, for a dump.
    Crash,
    /// A key of the magic SysRq.
    Sysrq(char),
    /// The command that the machine's policy has under this name.
    Command(String),
    /// Every process of the machine writes the history that it keeps.
    DumpHistory,
    /// A frame that a network analyser recognises.
    Packet,
    /// The machine's processes of this job stop; without one, those of the job that fired.
    StopJob(Option<JobNumber>),
}

/// The words of all actions, with what each takes.
pub const TRIGGER_ACTIONS: &str = "crash, sysrq KEY, command NAME, dump-history, packet or stop-job [JOB]";

/// Why a word and its argument are no action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TriggerActionError {
    /// No action has this name.
    Unknown(String),
    /// The argument is missing, is too much, or is not what the action takes.
    Argument {
        /// The action.
        action: &'static str,
        /// What it takes.
        takes: &'static str,
    },
}

impl fmt::Display for TriggerActionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => write!(f, "`{word}` is no action of a trigger"),
            Self::Argument { action, takes } => write!(f, "the action {action} takes {takes}"),
        }
    }
}

impl std::error::Error for TriggerActionError {}

impl TriggerAction {
    /// The action of a word and its argument, which is empty where there is none.
    ///
    /// # Errors
    /// The word is no action's, or the argument not what it takes.
    pub fn parse(word: &str, argument: &str) -> Result<Self, TriggerActionError> {
        let wrong = |action, takes| TriggerActionError::Argument { action, takes };
        let alone = |action: Self| match argument {
            "" => Ok(action),
            _ => Err(wrong(action.word(), "no argument")),
        };
        match word {
            "crash" => alone(Self::Crash),
            "dump-history" => alone(Self::DumpHistory),
            "packet" => alone(Self::Packet),
            "sysrq" => match argument.as_bytes() {
                [key] if key.is_ascii_lowercase() || key.is_ascii_digit() => Ok(Self::Sysrq(char::from(*key))),
                _ => Err(wrong("sysrq", "one key, a to z or 0 to 9")),
            },
            "command" if is_command_name(argument) => Ok(Self::Command(argument.to_owned())),
            "command" => Err(wrong("command", "the name of a command of the machines' policy files")),
            "stop-job" if argument.is_empty() => Ok(Self::StopJob(None)),
            "stop-job" => match argument.parse() {
                Ok(job) if job > 0 => Ok(Self::StopJob(Some(JobNumber(job)))),
                _ => Err(wrong("stop-job", "the number of a job, or nothing for the job that fires")),
            },
            _ => Err(TriggerActionError::Unknown(word.to_owned())),
        }
    }

    /// The word of the action.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Sysrq(_) => "sysrq",
            Self::Command(_) => "command",
            Self::DumpHistory => "dump-history",
            Self::Packet => "packet",
            Self::StopJob(_) => "stop-job",
        }
    }

    /// Its argument; empty where it has none.
    #[must_use]
    pub fn argument(&self) -> String {
        match self {
            Self::Crash | Self::DumpHistory | Self::Packet | Self::StopJob(None) => String::new(),
            Self::Sysrq(key) => key.to_string(),
            Self::Command(name) => name.clone(),
            Self::StopJob(Some(job)) => job.to_string(),
        }
    }

    /// It crashes the kernel, which may leave a dump.
    #[must_use]
    pub fn crashes(&self) -> bool {
        matches!(self, Self::Crash | Self::Sysrq('c'))
    }

    /// An arm with this action is gone once it acts: what comes back after a crash must not crash again.
    #[must_use]
    pub fn disarms_itself(&self) -> bool {
        // A key may end the machine as surely as a crash does: b reboots, o powers off, c crashes.
        matches!(self, Self::Crash | Self::Sysrq('b' | 'c' | 'o'))
    }
}

impl fmt::Display for TriggerAction {
    /// As it is typed: `sysrq w`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let argument = self.argument();
        f.write_str(self.word())?;
        if argument.is_empty() { Ok(()) } else { write!(f, " {argument}") }
    }
}

fn is_command_name(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=COMMAND_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_word)
}

/// What the policy of a machine permits. Nothing that ends the machine, or runs a program on it, is permitted without.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TriggerPolicy {
    /// A crash.
    pub crash: bool,
    /// Keys of the magic SysRq.
    pub sysrq: BTreeSet<char>,
    /// Names of commands.
    pub commands: BTreeSet<String>,
}

impl TriggerPolicy {
    /// Nothing is permitted beyond what needs no permission.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.crash && self.sysrq.is_empty() && self.commands.is_empty()
    }

    /// It permits an action.
    #[must_use]
    pub fn permits(&self, action: &TriggerAction) -> bool {
        match action {
            TriggerAction::Crash => self.crash,
            // The key c is a crash, by whatever name.
            TriggerAction::Sysrq('c') => self.crash && self.sysrq.contains(&'c'),
            TriggerAction::Sysrq(key) => self.sysrq.contains(key),
            TriggerAction::Command(name) => self.commands.contains(name),
            TriggerAction::DumpHistory | TriggerAction::Packet | TriggerAction::StopJob(_) => true,
        }
    }
}

/// What became of a firing on an armed machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TriggerOutcome {
    /// It acted.
    Acted,
    /// It heard of the firing too late, and did nothing.
    Missed,
    /// Its policy does not permit it.
    Forbidden,
    /// It tried, and could not.
    Failed,
    /// It began, and ended before it said what came of it.
    BrokenOff,
}

impl TriggerOutcome {
    /// All outcomes.
    pub const ALL: [Self; 5] = [Self::Acted, Self::Missed, Self::Forbidden, Self::Failed, Self::BrokenOff];

    /// The word for people and machines alike.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acted => "acted",
            Self::Missed => "missed",
            Self::Forbidden => "forbidden",
            Self::Failed => "failed",
            Self::BrokenOff => "broken-off",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firing_reads_back_as_it_is_printed() {
        let firing = FiringId([0x01, 0x93, 0xab, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff]);
        assert_eq!(firing.to_string().parse(), Ok(firing));
        for wrong in ["", "0193ab", "+193ab000000000000000000000000ff", "0193ab000000000000000000000000fg"] {
            assert!(wrong.parse::<FiringId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn actions_read_back_as_they_are_printed() {
        let all = ["crash", "sysrq w", "command collect", "dump-history", "packet", "stop-job", "stop-job 7"];
        for text in all {
            let (word, argument) = text.split_once(' ').unwrap_or((text, ""));
            assert_eq!(TriggerAction::parse(word, argument).map(|action| action.to_string()), Ok(text.to_owned()));
        }
        for (word, argument) in
            [("crash", "now"), ("sysrq", ""), ("sysrq", "ww"), ("sysrq", "W"), ("command", "a b"), ("stop-job", "0")]
        {
            let error = TriggerAction::parse(word, argument).expect_err(word);
            assert!(error.to_string().starts_with(&format!("the action {word} takes ")), "{error}");
        }
        assert_eq!(TriggerAction::parse("boom", ""), Err(TriggerActionError::Unknown("boom".into())));
        assert_eq!((TriggerNumber::new(255), TriggerNumber::new(256)), (Some(TriggerNumber(255)), None));
    }

    #[test]
    fn what_ends_a_machine_or_runs_a_program_needs_a_permission() {
        let none = TriggerPolicy::default();
        let action = |word, argument| TriggerAction::parse(word, argument).expect("an action");
        for (word, argument) in [("crash", ""), ("sysrq", "w"), ("command", "collect")] {
            assert!(!none.permits(&action(word, argument)), "{word}");
        }
        for word in ["dump-history", "packet", "stop-job"] {
            assert!(none.permits(&action(word, "")), "{word}");
        }
        let keys = TriggerPolicy { sysrq: ['c', 'w'].into(), ..TriggerPolicy::default() };
        assert!(keys.permits(&action("sysrq", "w")) && !keys.permits(&action("sysrq", "c")), "c is a crash");
        assert!(!keys.permits(&TriggerAction::Crash));
        assert!(action("sysrq", "b").disarms_itself() && !action("sysrq", "w").disarms_itself());
    }
}
