//! Names and numbers that identify things. Each has its own type, so that none can stand in for another.

use std::fmt;
use std::str::FromStr;

/// A name or number that can not be an id of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{text}` is not valid: {rule}")]
pub struct IdError {
    /// What it was to be: `machine id`.
    pub kind: &'static str,
    /// What was given.
    pub text: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

const NAME_RULE: &str = "1 to 32 of a-z, 0-9, `-` and `_`, beginning with a letter or digit";
const KERNEL_RULE: &str = "1 to 64 of a-z, A-Z, 0-9, `.`, `-`, `_`, `+` and `~`, beginning with a letter or digit";
const RESOURCE_RULE: &str = "1 to 64 of a-z, A-Z, 0-9, `-`, `_`, `.` and `:`";

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 32
        && bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

fn is_resource(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
}

fn is_kernel(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'+' | b'~'))
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:path, $rule:expr) => {
        $(#[$doc])*
        ///
        /// Up to 23 bytes are kept in place, so that comparing and cloning it touches no other memory.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(smol_str::SmolStr);

        impl $name {
            /// Parses and checks a name.
            ///
            /// # Errors
            /// Says which rule the text breaks.
            pub fn new(text: &str) -> Result<Self, IdError> {
                if $check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(IdError { kind: $kind, text: text.to_owned(), rule: $rule })
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id! {
    /// A machine of the pool; a token of its subjects.
    MachineId, "machine id", is_name, NAME_RULE
}
text_id! {
    /// A test module of the catalogue.
    ModuleName, "module name", is_name, NAME_RULE
}
text_id! {
    /// A kernel that machines can be booted into; a part of file names on them.
    KernelName, "kernel name", is_kernel, KERNEL_RULE
}
text_id! {
    /// A resource, unique on its machine: `cpu0`, `disk-sda`.
    ResourceId, "resource id", is_resource, RESOURCE_RULE
}
text_id! {
    /// What the power of several machines hangs on together: a PDU, a chassis, a hypervisor.
    PowerDomain, "power domain", is_resource, RESOURCE_RULE
}
text_id! {
    /// A state of a machine that it can be taken back to.
    SnapshotName, "snapshot name", is_kernel, KERNEL_RULE
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl $name {
            /// The one after this.
            ///
            /// # Panics
            /// When the numbers are used up, which no counter of ours reaches in a system's life.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("numbers of this kind are never used up"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id! {
    /// The life of the system between two initialisations; from 1.
    RunId, u32
}
number_id! {
    /// A job of a run; from 1 in every run.
    JobNumber, u32
}
number_id! {
    /// A process of a job; from 1 in every job.
    ProcessNumber, u32
}
number_id! {
    /// An attempt of a process; from 1.
    Attempt, u32
}
number_id! {
    /// A timed claim on machines; from 1.
    ReservationId, u64
}
number_id! {
    /// Fencing token of a machine: rises with every change of its holder. 0 is before the first.
    Epoch, u64
}
number_id! {
    /// One life of an agent, granted by machine-lifecycle at hello. 0 is before the first.
    Incarnation, u64
}
number_id! {
    /// One leadership of a decision log. 0 is before the first.
    Term, u64
}

/// Job number and process number: names a process of a run. Printed in hex, `00010064`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Dpid {
    /// Job number.
    pub job: JobNumber,
    /// Process number.
    pub process: ProcessNumber,
}

impl fmt::Display for Dpid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (job, process) = (self.job.0, self.process.0);
        let text = if job <= 0xFFFF && process <= 0xFFFF {
            format!("{job:04X}{process:04X}")
        } else {
            format!("{job:08X}{process:08X}")
        };
        f.pad(&text)
    }
}

impl FromStr for Dpid {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = || IdError { kind: "DPID", text: text.to_owned(), rule: "8 or 16 hexadecimal digits" };
        if !(text.len() == 8 || text.len() == 16) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(error());
        }
        let (job, process) = text.split_at(text.len() / 2);
        let parse = |half: &str| u32::from_str_radix(half, 16).map_err(|_| error());
        Ok(Self { job: JobNumber(parse(job)?), process: ProcessNumber(parse(process)?) })
    }
}

/// One attempt of one process, across runs: the identity in keys, directories, patterns and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ProcessId {
    /// Run.
    pub run: RunId,
    /// Job and process number.
    pub dpid: Dpid,
    /// Attempt.
    pub attempt: Attempt,
}

impl fmt::Display for ProcessId {
    /// `RUN/DPID`, and `#ATTEMPT` after the first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.run, self.dpid)?;
        if self.attempt.0 > 1 { write!(f, "#{}", self.attempt) } else { Ok(()) }
    }
}

/// UUIDv7 of a command, made by the client and reused on every retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CommandId(pub [u8; 16]);

impl CommandId {
    /// Milliseconds since 1970 in which it was made (RFC 9562, section 5.7).
    #[must_use]
    pub fn made_ms(&self) -> u64 {
        self.0[..6].iter().fold(0, |ms, byte| ms << 8 | u64::from(*byte))
    }
}

/// UUID of a system: the same in all logs of one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SystemId(pub [u8; 16]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dpid_prints_four_and_four_and_reads_back() {
        let dpid = Dpid { job: JobNumber(1), process: ProcessNumber(100) };
        assert_eq!(dpid.to_string(), "00010064");
        assert_eq!("00010064".parse(), Ok(dpid));
        let large = Dpid { job: JobNumber(70_000), process: ProcessNumber(1) };
        assert_eq!(large.to_string().parse(), Ok(large));
        assert!("1".parse::<Dpid>().is_err() && "0001006g".parse::<Dpid>().is_err());
    }

    #[test]
    fn names_follow_their_rule() {
        assert!(MachineId::new("node-01_a").is_ok());
        for bad in ["", "-a", "A", "a.b", "a*", "a>", &"a".repeat(33)] {
            assert!(MachineId::new(bad).is_err(), "{bad}");
        }
    }
}
