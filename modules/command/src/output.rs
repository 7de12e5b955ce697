//! What the program prints, while its output is read: every byte goes to the log as it comes, and its lines to the reader.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitStatus;
use std::sync::mpsc::SyncSender;

use anyhow::Context as _;

use crate::format::LINE_BYTES_MAX;

/// What happens to a program.
pub(crate) enum News {
    /// It printed a line, of which what is too long was left out.
    Line(String),
    /// It ended.
    Ended(std::io::Result<ExitStatus>),
}

/// Where the log goes.
pub(crate) fn log() -> anyhow::Result<OwnedFd> {
    std::io::stderr().as_fd().try_clone_to_owned().context("share stderr")
}

/// Reads a pipe of the program to its end, in a thread of its own; where there is none, nothing.
pub(crate) fn follow(pipe: Option<impl Read + Send + 'static>, sender: &SyncSender<News>) -> std::io::Result<()> {
    let Some(pipe) = pipe else { return Ok(()) };
    let sender = sender.clone();
    let work = move || read(pipe, &mut std::io::stderr(), |line| sender.send(News::Line(line)).is_ok());
    std::thread::Builder::new().name("output".into()).stack_size(128 * 1024).spawn(work).map(drop)
}

fn read(mut pipe: impl Read, log: &mut impl Write, mut say: impl FnMut(String) -> bool) {
    let mut buffer = vec![0; 16 << 10];
    let mut line = Vec::new();
    loop {
        let count = match pipe.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        // A log that can not be written to ends no test.
        let _ = log.write_all(&buffer[..count]);
        for byte in &buffer[..count] {
            if *byte != b'\n' {
                if line.len() < LINE_BYTES_MAX {
                    line.push(*byte);
                }
            } else if !say(text(&mut line)) {
                return;
            }
        }
    }
    if !line.is_empty() {
        say(text(&mut line));
    }
}

fn text(line: &mut Vec<u8>) -> String {
    let text = String::from_utf8_lossy(line).trim_end_matches('\r').to_owned();
    line.clear();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_to_their_limit_and_every_byte_is_logged() {
        let printed = format!("one\r\n{}\n\nlast", "x".repeat(LINE_BYTES_MAX + 5));
        let (mut log, mut lines) = (Vec::new(), Vec::new());
        read(printed.as_bytes(), &mut log, |line| {
            lines.push(line);
            true
        });
        assert_eq!(log, printed.as_bytes());
        assert_eq!(lines, ["one", &"x".repeat(LINE_BYTES_MAX), "", "last"]);
    }
}
