//! The terminal: an alternate screen without a cursor and without echo, and everything as it was when it is dropped.

use std::fmt::Write;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::exit::Failure;
use crate::output;

/// Alternate screen, no cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// Cursor, and the screen that was.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// Size of a terminal that does not tell its own.
const SIZE_DEFAULT: (usize, usize) = (80, 24);

/// The terminal while we draw on it.
pub(crate) struct Screen {
    /// How the keyboard was set; none where stdin is no terminal.
    keyboard: Option<Termios>,
}

impl Screen {
    /// Takes the terminal: keys are neither shown nor kept for the shell. Ctrl-C stays a signal.
    pub(crate) fn enter() -> Self {
        let keyboard = tcgetattr(stdin()).ok();
        if let Some(before) = &keyboard {
            let mut quiet = before.clone();
            quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
            let _ = tcsetattr(stdin(), OptionalActions::Now, &quiet);
        }
        let _ = output::write(ENTER);
        Self { keyboard }
    }

    /// Columns and rows of the terminal.
    pub(crate) fn size() -> (usize, usize) {
        let known = |size: &rustix::termios::Winsize| size.ws_col > 0 && size.ws_row > 0;
        let size = tcgetwinsize(stdout()).ok().filter(known);
        size.map_or(SIZE_DEFAULT, |size| (size.ws_col.into(), size.ws_row.into()))
    }

    /// Draws over what is there, cut to the terminal.
    pub(crate) fn draw(&mut self, text: &str, columns: usize, rows: usize) -> Result<(), Failure> {
        output::write(&frame(text, columns, rows))
    }

    /// A `q` was typed since the last look.
    pub(crate) fn quit_typed(&mut self) -> bool {
        if self.keyboard.is_none() {
            return false;
        }
        let keys: BorrowedFd<'_> = stdin();
        let mut typed = [0; 64];
        let waits = poll(&mut [PollFd::new(&keys, PollFlags::IN)], Some(&Timespec::default())).unwrap_or(0) > 0;
        let count = if waits { rustix::io::read(keys, &mut typed).unwrap_or(0) } else { 0 };
        typed[..count].contains(&b'q')
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = output::write(LEAVE);
        if let Some(before) = &self.keyboard {
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
        }
    }
}

/// One picture: from the top, each line cut and its rest wiped, and everything below wiped.
fn frame(text: &str, columns: usize, rows: usize) -> String {
    let mut frame = String::from("\x1b[H");
    for (row, line) in text.lines().take(rows).enumerate() {
        let cut: String = line.chars().take(columns).collect();
        let end = if row + 1 == rows { "" } else { "\r\n" };
        let _ = write!(frame, "{cut}\x1b[K{end}");
    }
    frame.push_str("\x1b[J");
    frame
}

#[cfg(test)]
mod tests {
    use super::frame;

    #[test]
    fn a_picture_never_scrolls_and_never_wraps() {
        assert_eq!(frame("abcdef\nx\ny\n", 4, 2), "\x1b[Habcd\x1b[K\r\nx\x1b[K\x1b[J");
        assert_eq!(frame("a\n", 4, 3), "\x1b[Ha\x1b[K\r\n\x1b[J");
    }
}
