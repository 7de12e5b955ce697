//! One typed line: split into words, and read by the same command line as everywhere.

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches};

use crate::arguments::{Cli, Command, Global};
use crate::exit::Failure;

/// What a line asks for.
#[derive(Debug)]
pub(crate) enum Line {
    /// Nothing.
    Empty,
    /// To end the center.
    Exit,
    /// A command, with what it takes from the line and else from the center.
    Command(Box<Command>, Global),
    /// Something to be shown: help, or what is wrong with the line.
    Shown(clap::Error),
}

/// Reads a line.
///
/// # Errors
/// Says why it is none for a command center.
pub(crate) fn read(text: &str, center: &Global) -> Result<Line, Failure> {
    let words = words(text)?;
    let words = if words.first().is_some_and(|word| word == "muster") { &words[1..] } else { &words[..] };
    match words {
        [] => return Ok(Line::Empty),
        [only] if matches!(only.as_str(), "exit" | "quit") => return Ok(Line::Exit),
        _ => {}
    }
    let matches =
        match Cli::command().try_get_matches_from(std::iter::once("muster").chain(words.iter().map(String::as_str))) {
            Ok(matches) => matches,
            Err(error) => return Ok(Line::Shown(error)),
        };
    let said = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
    if ["nats", "user", "credentials", "insecure_local"].into_iter().any(said) {
        let why = "a command center has one connection and one user; end it with `exit` and start `muster --nats URL --user NAME`";
        return Err(Failure::Usage(why.into()));
    }
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return Ok(Line::Shown(error)),
    };
    let mut global = center.clone();
    if said("output") {
        global.output = cli.global.output;
    }
    if said("timeout") {
        global.timeout = cli.global.timeout;
    }
    match cli.command {
        None => Ok(Line::Empty),
        Some(Command::Decode) => Err(Failure::Usage(
            "decode: it reads a message from stdin; use it in a shell: `muster decode < FILE`".into(),
        )),
        Some(command) => Ok(Line::Command(Box::new(command), global)),
    }
}

/// Words as a shell splits them, without anything else that a shell does.
fn words(text: &str) -> Result<Vec<String>, Failure> {
    shlex::split(text)
        .ok_or_else(|| Failure::Usage("a quotation mark, or a backslash at the end, is not closed".into()))
}

/// Words before the one that is being typed, and how long that is, bytes. An open quotation mark belongs to the last word.
pub(crate) fn typed(text: &str) -> (Vec<String>, String) {
    let start =
        text.rfind(char::is_whitespace).map_or(0, |at| at + text[at..].chars().next().map_or(0, char::len_utf8));
    let before = shlex::split(&text[..start]).unwrap_or_default();
    let before = if before.first().is_some_and(|word| word == "muster") { before[1..].to_vec() } else { before };
    (before, text[start..].to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::output::Format;

    fn global() -> Global {
        Cli::parse_from(["muster", "--output", "csv", "--timeout", "4s", "--nats", "nats://other:1", "clock"]).global
    }

    #[test]
    fn what_the_line_does_not_say_is_the_centers() {
        let Ok(Line::Command(command, global)) = read("muster ps --job 3 --output json", &global()) else {
            panic!("a command")
        };
        assert!(matches!(*command, Command::Ps(arguments) if arguments.job == 3));
        assert_eq!(
            (global.output, global.timeout.as_secs(), global.nats.as_str()),
            (Format::Json, 4, "nats://other:1")
        );
    }

    #[test]
    fn words_in_quotation_marks_stay_together() {
        let Ok(Line::Command(command, _)) = read("start high-io -n 2 --on 'cpus>=4 and tag=a'", &global()) else {
            panic!("a command")
        };
        assert!(matches!(*command, Command::Start(arguments) if arguments.on == "cpus>=4 and tag=a"));
        assert!(matches!(read("ps 'open", &global()), Err(Failure::Usage(_))));
    }

    #[test]
    fn the_centers_own_words_and_wrong_lines() {
        assert!(matches!(read("  ", &global()), Ok(Line::Empty)));
        assert!(matches!(read("muster", &global()), Ok(Line::Empty)));
        assert!(matches!(read("exit", &global()), Ok(Line::Exit)));
        assert!(matches!(read("help start", &global()), Ok(Line::Shown(error)) if error.exit_code() == 0));
        assert!(matches!(read("nonsense", &global()), Ok(Line::Shown(error)) if error.exit_code() == 2));
        assert!(matches!(read("ps --nats nats://x:1", &global()), Err(Failure::Usage(_))));
        assert!(matches!(read("decode", &global()), Err(Failure::Usage(_))));
    }

    #[test]
    fn the_word_being_typed_is_the_last_one() {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(typed("start hi"), (words(&["start"]), "hi".into()));
        assert_eq!(typed("muster start "), (words(&["start"]), String::new()));
        assert_eq!(typed("st"), (Vec::new(), "st".into()));
    }
}
