//! Asking an agent in the name of a process: one question and one answer, on a connection of its own. What is connected is the caller's.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};

use crate::line::{LINE_BYTES_MAX, decode_line, encode_line};
use crate::message::{AgentMessage, ModuleMessage};
use crate::wish::{Client, ClientWish, HolderWish};

/// Who asks: the identity of a process, and its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// RunId.
    pub run: u32,
    /// As printed: `00010064`.
    pub dpid: String,
    /// Attempt.
    pub attempt: u32,
    /// The token of the process.
    pub token: String,
}

impl Asker {
    /// Asks on a fresh connection to the agent, and waits for the answer.
    ///
    /// # Errors
    /// The connection ended or timed out; `PermissionDenied` with the reason where it was refused.
    pub fn ask(&self, stream: impl Read + Write, wish: ClientWish) -> Result<Vec<Client>> {
        let Self { run, dpid, attempt, token } = self.clone();
        answer(stream, &ModuleMessage::Client { run, dpid, attempt, token, wish })
    }
}

/// Asks as the person at this machine, on a fresh connection to its agent.
///
/// # Errors
/// As [`Asker::ask`]; who is not root is refused.
pub fn ask_as_holder(stream: impl Read + Write, wish: HolderWish) -> Result<Vec<Client>> {
    answer(stream, &ModuleMessage::Holder { wish })
}

fn answer(mut stream: impl Read + Write, question: &ModuleMessage) -> Result<Vec<Client>> {
    stream.write_all(&encode_line(question).map_err(Error::other)?)?;
    let mut answers = BufReader::new(stream.take(2 * LINE_BYTES_MAX as u64));
    loop {
        let mut line = Vec::new();
        if answers.read_until(b'\n', &mut line)? == 0 {
            return Err(Error::new(ErrorKind::UnexpectedEof, "the agent ended the connection"));
        }
        match decode_line::<AgentMessage>(&line).map_err(Error::other)? {
            Some(AgentMessage::Clients { clients, refused }) if refused.is_empty() => return Ok(clients),
            Some(AgentMessage::Clients { refused, .. }) => {
                return Err(Error::new(ErrorKind::PermissionDenied, refused));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn asked(answer: &[u8]) -> Result<Vec<Client>> {
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(answer).unwrap();
        let said = std::thread::spawn(move || {
            let mut line = String::new();
            BufReader::new(&mut there).read_line(&mut line).unwrap();
            line
        });
        let asker = Asker { run: 1, dpid: "00010001".into(), attempt: 1, token: "t".into() };
        let answered = asker.ask(here, ClientWish::List);
        assert!(said.join().unwrap().contains(r#""type":"client""#));
        answered
    }

    #[test]
    fn one_question_has_one_answer() {
        let client = r#"{"reservation":4,"state":"ready","count":1,"machines":["m1"],"ready":["m1"]}"#;
        let answer = format!("{{\"type\":\"new\"}}\n{{\"type\":\"clients\",\"clients\":[{client}]}}\n");
        assert_eq!(asked(answer.as_bytes()).unwrap()[0].machines, ["m1"]);
        let refused = asked(b"{\"type\":\"clients\",\"clients\":[],\"refused\":\"no\"}\n").unwrap_err();
        assert_eq!((refused.kind(), refused.to_string().as_str()), (ErrorKind::PermissionDenied, "no"));
    }
}
