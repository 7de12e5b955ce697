//! Destructive commands say what they will touch, and ask.

use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use muster_model::{Refusal, RefusalCode};

use crate::exit::{Failure, one_line};

/// At most so many things are named; the others are counted.
const NAMED_MAX: usize = 20;
/// How often it is looked whether an answer was typed.
const LOOK_INTERVAL: Duration = Duration::from_millis(30);

/// Says what `what` will touch, and asks, unless the user has said yes already.
///
/// # Errors
/// Refused when the answer is not yes, or when nobody can be asked.
pub(crate) async fn confirm(what: &str, touched: &[String], yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        let why = format!("it touches {}, and there is no terminal to ask on", named(touched));
        return Err(Refusal::new(RefusalCode::Refused, what, why, "say --yes to do it").into());
    }
    eprint!("muster: {} will touch {}. Go on? [y/N] ", one_line(what), named(touched));
    match answer().await.context("read an answer from the terminal")?.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Refusal::new(RefusalCode::Refused, what, "it was not confirmed", "nothing was changed").into()),
    }
}

/// One line of the terminal. Waits without holding a thread, so that ctrl-C can end the command.
async fn answer() -> std::io::Result<String> {
    std::io::stderr().flush()?;
    let keyboard = rustix::stdio::stdin();
    while poll(&mut [PollFd::new(&keyboard, PollFlags::IN)], Some(&Timespec::default()))? == 0 {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer)
}

fn named(touched: &[String]) -> String {
    let mut text = touched.iter().take(NAMED_MAX).map(|name| one_line(name)).collect::<Vec<_>>().join(", ");
    if touched.len() > NAMED_MAX {
        text.push_str(&format!(" and {} more", touched.len() - NAMED_MAX));
    }
    if text.is_empty() { "nothing".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_things_are_counted_not_listed() {
        let touched: Vec<String> = (1..=23).map(|number| format!("m{number}")).collect();
        assert!(named(&touched).ends_with("m20 and 3 more"));
        assert_eq!(named(&[]), "nothing");
    }
}
