//! Kills a program right before one of its effects on what is outside of it, so that this one is not done and all before it are.
//!
//! The kernel holds the calls up until they are answered, one at a time and over all threads: that gives effects one order. Counting is
//! what strace can not do: its `when=` counts each thread and each kind of call by itself. Whoever is killed is started again without
//! being watched; its children, which outlive it, are watched on and never held up for long.

mod call;
mod filter;
mod listener;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use libc::seccomp_notif;
use rustix::process::{Pid, Signal, kill_process};

pub use call::Effects;

/// Where a program is killed.
#[derive(Debug, Clone)]
pub struct CrashPoint {
    /// File name of the program: the one that is started, or one that it starts. The first process of it is meant.
    pub program: String,
    /// Which effects are counted.
    pub effects: Effects,
    /// The effect that is not done any more; none kills it never.
    pub before: Option<Before>,
}

/// An effect of a program.
#[derive(Debug, Clone)]
pub enum Before {
    /// By its number, from 1.
    Effect(usize),
    /// The first whose words contain this: `create /a/path`.
    Naming(String),
}

/// What is seen of a program that is to be killed.
#[derive(Debug, Clone)]
pub struct Watch(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    process: Option<u32>,
    effects: usize,
    killed_before: Option<String>,
    /// It is not to be killed any more.
    spared: bool,
}

impl Watch {
    /// Prepares the start of a program, which is begun with [`Watch::begin`], by what this returns.
    pub(crate) fn prepare(command: &mut Command) -> anyhow::Result<UnixStream> {
        listener::hold_up(command).context("make a pair of sockets")
    }

    /// Watches a program whose start was prepared.
    pub(crate) fn begin(prepared: &UnixStream, point: CrashPoint) -> anyhow::Result<Self> {
        let listener = listener::of_child(prepared)?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let watched = Arc::clone(&seen);
        let watching = std::thread::Builder::new().name("crash-point".into());
        watching.spawn(move || watch(&listener, &point, &watched)).context("start a thread")?;
        Ok(Self(seen))
    }

    /// Effects by now.
    #[must_use]
    pub fn effects(&self) -> usize {
        self.0.lock().expect("who watches does not panic").effects
    }

    /// Kills it no more; the effect that it was killed before, if it was.
    #[must_use]
    pub fn spare(&self) -> Option<String> {
        let mut seen = self.0.lock().expect("who watches does not panic");
        seen.spared = true;
        seen.killed_before.clone()
    }

    /// The effect that was not done any more, in words; none while it lives.
    #[must_use]
    pub fn killed_before(&self) -> Option<String> {
        self.0.lock().expect("who watches does not panic").killed_before.clone()
    }
}

/// Answers until nobody is left who is held up.
fn watch(listener: &OwnedFd, point: &CrashPoint, seen: &Mutex<Seen>) {
    while let Some(call) = listener::next(listener) {
        if !ends_here(&call, point, seen) {
            listener::allow(listener, &call);
        }
    }
}

/// Counts a call; true when it was the one too many, and its process is killed.
fn ends_here(call: &seccomp_notif, point: &CrashPoint, seen: &Mutex<Seen>) -> bool {
    let mut seen = seen.lock().expect("who asks does not panic");
    if seen.spared || seen.killed_before.is_some() || !is_of(call.pid, &point.program) {
        return false;
    }
    let Some(process) = process_of(call.pid) else { return false };
    if *seen.process.get_or_insert(process) != process {
        return false;
    }
    let Some(what) = call::describe(call, point.effects) else { return false };
    seen.effects += 1;
    let is_it = match &point.before {
        None => false,
        Some(Before::Effect(number)) => seen.effects == *number,
        Some(Before::Naming(words)) => what.contains(words),
    };
    if !is_it {
        return false;
    }
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    let killed = pid.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok());
    if killed {
        seen.killed_before = Some(what);
    }
    killed
}

/// The thread runs this program.
fn is_of(thread: u32, program: &str) -> bool {
    let link = std::fs::read_link(format!("/proc/{thread}/exe"));
    link.is_ok_and(|path| path.file_name().is_some_and(|name| name.to_string_lossy() == program))
}

/// The process that a thread is of.
fn process_of(thread: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
