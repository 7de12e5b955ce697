//! QEMU's monitor: a line of JSON each way, over a socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

/// A command is answered within this; snapshots are written meanwhile.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Lines that are no answer, before one: events.
const EVENTS_MAX: usize = 1_000;

/// A connection to a monitor.
#[derive(Debug)]
pub(super) struct Qmp {
    reader: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects, and leaves the mode in which nothing may be asked.
    pub(super) fn connect(socket: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket).context("connect to QEMU's monitor")?;
        stream.set_read_timeout(Some(ANSWER_LIMIT)).context("limit the time of answers")?;
        let mut qmp = Self { reader: BufReader::new(stream) };
        let greeting = qmp.line()?;
        ensure!(greeting.get("QMP").is_some(), "QEMU's monitor greets with {greeting}");
        qmp.ask("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// What a command returns.
    pub(super) fn ask(&mut self, command: &str, arguments: &Value) -> anyhow::Result<Value> {
        let line = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        self.reader.get_mut().write_all(line.as_bytes()).with_context(|| format!("ask QEMU for {command}"))?;
        for _ in 0..EVENTS_MAX {
            let said = self.line().with_context(|| format!("hear what QEMU says to {command}"))?;
            if let Some(returned) = said.get("return") {
                return Ok(returned.clone());
            }
            if let Some(error) = said.get("error") {
                bail!("QEMU refuses {command}: {}", error["desc"].as_str().unwrap_or("it does not say why"));
            }
        }
        bail!("QEMU does not answer {command}")
    }

    fn line(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        let size = self.reader.read_line(&mut line).context("read from QEMU's monitor")?;
        ensure!(size > 0, "QEMU's monitor ended");
        serde_json::from_str(&line).context("read what QEMU's monitor said")
    }
}
