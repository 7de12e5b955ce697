//! A program on a terminal of its own (a pseudo terminal): what a person would type, and what he would see.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::wait_until;

/// Size of the terminal.
const ROWS: u16 = 50;
const COLUMNS: u16 = 160;
/// What a program asks a terminal for the place of its cursor with, and what ours answers.
const WHERE: &[u8] = b"\x1b[6n";
const HERE: &[u8] = b"\x1b[1;1R";

/// A program on a terminal; killed when dropped.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    seen: usize,
}

impl Terminal {
    /// Starts a program as the leader of a session whose terminal is a new one.
    ///
    /// # Errors
    /// When there is no terminal to be had, or the program can not be run.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let (ours, theirs) = open()?;
        let end = |fd: &OwnedFd| fd.try_clone().map(Stdio::from);
        command.stdin(end(&theirs)?).stdout(end(&theirs)?).stderr(end(&theirs)?).env("TERM", "xterm");
        // SAFETY: between fork and exec only two system calls are made, and both may be made there.
        unsafe {
            command.pre_exec(|| {
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().context("start a program on a terminal")?;
        drop((command, theirs));
        let keyboard = File::from(ours);
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (reading, answering) = (keyboard.try_clone()?, keyboard.try_clone()?);
        let shown = Arc::clone(&screen);
        std::thread::spawn(move || show(reading, answering, &shown));
        Ok(Self { child, keyboard, screen, seen: 0 })
    }

    /// OS process id of the program.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Types.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn type_keys(&mut self, keys: &str) -> anyhow::Result<()> {
        self.seen = self.screen().len();
        self.keyboard.write_all(keys.as_bytes()).context("type on a terminal")
    }

    /// Everything that was shown, without what only moves the cursor or sets colours.
    #[must_use]
    pub fn screen(&self) -> String {
        plain(&self.screen.lock().expect("nobody panics with it"))
    }

    /// What was shown since the last keys.
    #[must_use]
    pub fn answer(&self) -> String {
        self.screen().get(self.seen..).unwrap_or_default().to_owned()
    }

    /// Waits until something was shown since the last keys.
    ///
    /// # Errors
    /// Says what was shown instead.
    pub fn wait_for(&self, text: &str, limit: Duration) -> anyhow::Result<()> {
        wait_until(&format!("`{text}` on the terminal"), limit, || self.answer().contains(text))
            .with_context(|| format!("it shows:\n{}", self.answer()))
    }

    /// Waits until the program has ended.
    ///
    /// # Errors
    /// When it does not.
    pub fn wait_end(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let mut ended = None;
        let waited = wait_until("the end of the program", limit, || {
            ended = self.child.try_wait().ok().flatten();
            ended.is_some()
        });
        waited.with_context(|| format!("it shows:\n{}", self.answer()))?;
        ended.context("take its exit status")
    }

    /// Kills it at once.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// Both ends of a new terminal.
fn open() -> anyhow::Result<(OwnedFd, OwnedFd)> {
    let (mut ours, mut theirs) = (-1, -1);
    let size = libc::winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: it writes the two descriptors and reads the size; the other pointers may be null.
    let opened = unsafe {
        libc::openpty(&raw mut ours, &raw mut theirs, std::ptr::null_mut(), std::ptr::null(), &raw const size)
    };
    ensure!(opened == 0, "open a terminal: {}", std::io::Error::last_os_error());
    // SAFETY: both descriptors are new, and nobody else has them.
    let ends = unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
    for end in [&ends.0, &ends.1] {
        // SAFETY: it sets a flag of a descriptor that we own. Other children of this process do not inherit it.
        unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(ends)
}

/// Keeps what is shown, and answers where the cursor is, until the terminal is closed.
fn show(mut reading: File, mut answering: File, shown: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = reading.read(&mut buffer) {
        let mut shown = shown.lock().expect("nobody panics with it");
        let from = shown.len().saturating_sub(WHERE.len() - 1);
        shown.extend_from_slice(&buffer[..count]);
        let asked = shown[from..].windows(WHERE.len()).filter(|window| *window == WHERE).count();
        drop(shown);
        for _ in 0..asked {
            if answering.write_all(HERE).is_err() {
                return;
            }
        }
    }
}

/// The text without escape sequences and carriage returns.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let (mut plain, mut rest) = (String::with_capacity(text.len()), text.chars().peekable());
    while let Some(character) = rest.next() {
        match (character, rest.peek()) {
            ('\x1b', Some('[')) => {
                rest.next();
                for follows in rest.by_ref() {
                    if ('@'..='~').contains(&follows) {
                        break;
                    }
                }
            }
            ('\x1b', Some(']')) => {
                for follows in rest.by_ref() {
                    if follows == '\x07' || follows == '\\' {
                        break;
                    }
                }
            }
            ('\x1b', _) => drop(rest.next()),
            ('\r', _) => {}
            _ => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_the_cursor_is_left_out() {
        assert_eq!(plain(b"\x1b[1;31mred\x1b[0m\r\n\x1b]0;title\x07x\x1b7y"), "red\nxy");
    }

    #[test]
    fn a_program_has_a_terminal_and_is_heard() {
        let mut command = Command::new("sh");
        command.args(["-c", "test -t 0 && test -t 1 && echo ready && read line && echo got $line && exit 5"]);
        let mut terminal = Terminal::start(command).expect("it starts");
        terminal.wait_for("ready", Duration::from_secs(10)).expect("it has a terminal");
        terminal.type_keys("hello\n").expect("it listens");
        terminal.wait_for("got hello", Duration::from_secs(10)).expect("it answers");
        assert_eq!(terminal.wait_end(Duration::from_secs(10)).expect("it ends").code(), Some(5));
    }
}
