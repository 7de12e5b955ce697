//! Long tables on a terminal go through a pager.

use std::io::{IsTerminal, Write};
use std::process::{Command, Stdio};

use crate::exit::Failure;

/// What shows long tables where `PAGER` names nothing: it ends by itself where they fit, and leaves them on the screen.
const PAGER: &str = "less -FRX";

/// Writes to stdout, through the pager where it is a terminal that has fewer lines.
///
/// # Errors
/// As [`super::write`].
pub(crate) fn write_paged(text: &str) -> Result<(), Failure> {
    match lines_of_terminal() {
        Some(lines) if text.lines().count() >= lines && paged(text) => Ok(()),
        Some(_) | None => super::write(text),
    }
}

/// Lines of the terminal that stdout and stdin are; none where one of them is none.
fn lines_of_terminal() -> Option<usize> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_row)).filter(|lines| *lines > 0)
}

/// Shows a text in the pager. False where there is none, so that nothing was shown.
fn paged(text: &str) -> bool {
    let pager = std::env::var("PAGER").ok().filter(|pager| !pager.trim().is_empty());
    let pager = pager.unwrap_or_else(|| PAGER.to_owned());
    let Some(words) = shlex::split(&pager).filter(|words| !words.is_empty()) else { return false };
    let Ok(mut child) = Command::new(&words[0]).args(&words[1..]).stdin(Stdio::piped()).spawn() else { return false };
    if let Some(mut stdin) = child.stdin.take() {
        // Whoever leaves the pager early has seen enough.
        let _ = stdin.write_all(text.as_bytes());
    }
    child.wait().is_ok()
}
