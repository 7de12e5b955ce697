//! Ways to carry transfers out: a queue of them through io_uring, or one at a time through pread and pwrite where that is not
//! allowed or not there. What a transfer means, and going on with short ones, is the queue's matter (`queue`).

mod plain;
mod uring;

use std::io;
use std::time::Duration;

use crate::target::Target;
pub(crate) use plain::Plain;
pub(crate) use uring::Uring;

/// Which way a transfer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// From the disk.
    Read,
    /// To the disk.
    Write,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// How long to wait for a transfer that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// At most so long.
    AtMost(Duration),
    /// Until one has ended.
    One,
}

/// What is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// io_uring where it can be used.
    Auto,
    /// io_uring and nothing else.
    Uring,
    /// pread and pwrite.
    Plain,
}

/// What is used.
#[derive(Debug)]
pub(crate) enum Engine {
    Uring(Box<Uring>),
    Plain(Plain),
}

impl Engine {
    /// The engine of a choice, for transfers of a target to and from `memory`, and why it is another one than wished for.
    ///
    /// # Safety
    /// The memory stays where it is for as long as the engine lives.
    pub(crate) unsafe fn new(
        choice: Choice,
        depth: usize,
        target: &Target,
        memory: &mut [u8],
    ) -> io::Result<(Self, Option<String>)> {
        if choice == Choice::Plain {
            return Ok((Self::Plain(Plain::default()), None));
        }
        // SAFETY: what the caller promises.
        match unsafe { Uring::new(depth, target, memory) } {
            Ok(uring) => Ok((Self::Uring(Box::new(uring)), None)),
            Err(error) if choice == Choice::Auto => Ok((Self::Plain(Plain::default()), Some(error.to_string()))),
            Err(error) => Err(error),
        }
    }

    /// Its name in reports.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Uring(_) => "io_uring",
            Self::Plain(_) => "pread/pwrite",
        }
    }
}
