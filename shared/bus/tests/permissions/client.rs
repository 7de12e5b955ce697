//! A client that speaks the protocol of NATS by hand: it sees each refusal of the server, in order.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;

/// What the server answers within; nothing here waits for anything else.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

pub(crate) struct Client {
    reader: BufReader<TcpStream>,
    next: u64,
}

impl Client {
    /// Connects with the key in a file of credentials.
    pub(crate) fn connect(port: u16, credentials: &Path) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).context("connect")?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_nodelay(true)?;
        let mut client = Self { reader: BufReader::new(stream), next: 0 };
        let text = std::fs::read_to_string(credentials).context("read the credentials")?;
        let seed = text.lines().find(|line| line.starts_with("SU")).context("find the seed")?;
        let key = KeyPair::from_seed(seed)?;
        let line = client.line()?;
        let info: serde_json::Value = serde_json::from_str(line.strip_prefix("INFO ").context("hear INFO")?)?;
        let signature = key.sign(info["nonce"].as_str().context("find the nonce")?.as_bytes())?;
        let connect = serde_json::json!({
            "verbose": false, "pedantic": false, "headers": true, "no_responders": true, "protocol": 1,
            "nkey": key.public_key(), "sig": BASE64_URL_SAFE_NO_PAD.encode(signature),
        });
        client.send(&format!("CONNECT {connect}\r\n"))?;
        let refused = client.settle()?;
        if refused.is_empty() { Ok(client) } else { bail!("the server said {refused:?}") }
    }

    /// Whether the server lets this be published.
    pub(crate) fn may_publish(&mut self, subject: &str) -> anyhow::Result<bool> {
        self.publish(subject, "", "")?;
        self.refused(&format!("Permissions Violation for Publish to \"{subject}\""))
    }

    /// Publishes.
    pub(crate) fn publish(&mut self, subject: &str, reply: &str, payload: &str) -> anyhow::Result<()> {
        self.send(&format!("PUB {subject} {reply} {}\r\n{payload}\r\n", payload.len()))
    }

    /// Whether the server lets this be subscribed to, in a queue group where one is named.
    pub(crate) fn may_subscribe(&mut self, subject: &str, queue: &str) -> anyhow::Result<bool> {
        self.next += 1;
        let id = self.next;
        self.send(&format!("SUB {subject} {queue} {id}\r\n"))?;
        let may = self.refused(&format!("Permissions Violation for Subscription to \"{subject}\""))?;
        self.send(&format!("UNSUB {id}\r\n"))?;
        Ok(may)
    }

    /// Subscribes for good, where the server lets it.
    pub(crate) fn listen(&mut self, subject: &str) -> anyhow::Result<bool> {
        self.next += 1;
        self.send(&format!("SUB {subject} {}\r\n", self.next))?;
        self.refused(&format!("Permissions Violation for Subscription to \"{subject}\""))
    }

    /// What the server has said until now that is no message.
    fn refused(&mut self, expected: &str) -> anyhow::Result<bool> {
        let said = self.settle()?;
        match said.as_slice() {
            [] => Ok(true),
            [one] if one.starts_with(expected) => Ok(false),
            other => bail!("the server said {other:?} instead of {expected}"),
        }
    }

    /// Waits until the server has done everything, and gives its errors.
    fn settle(&mut self) -> anyhow::Result<Vec<String>> {
        self.send("PING\r\n")?;
        let mut errors = Vec::new();
        loop {
            let line = self.line()?;
            match line.split(' ').next().unwrap_or_default() {
                "PONG" => return Ok(errors),
                "PING" => self.send("PONG\r\n")?,
                "-ERR" => errors.push(line["-ERR ".len()..].trim_matches('\'').to_owned()),
                // The payload is on the lines that follow, which begin with nothing of the above.
                _ => {}
            }
        }
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        anyhow::ensure!(self.reader.read_line(&mut line).context("hear the server")? > 0, "the server has hung up");
        Ok(line.trim_end().to_owned())
    }

    fn send(&mut self, text: &str) -> anyhow::Result<()> {
        self.reader.get_mut().write_all(text.as_bytes()).context("speak to the server")
    }
}
