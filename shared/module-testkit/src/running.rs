//! A run by hand that goes on.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use muster_module_protocol::{ModuleMessage, decode_line};

use crate::PATIENCE;

/// A running program and its stdout; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    /// Starts it.
    ///
    /// # Panics
    /// When it can not be run.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("start the program");
        let lines = BufReader::new(child.stdout.take().expect("stdout"));
        Self { child, lines }
    }

    /// Hears it until it says what is wanted.
    ///
    /// # Panics
    /// When it ends before or is late.
    pub fn hear_until(&mut self, wanted: impl Fn(&ModuleMessage) -> bool) -> ModuleMessage {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut line = Vec::new();
            self.lines.read_until(b'\n', &mut line).expect("a line");
            assert!(!line.is_empty() && Instant::now() < deadline, "the process ended or is late");
            let message = decode_line(&line).expect("a message").expect("a known type");
            if wanted(&message) {
                return message;
            }
        }
    }

    /// Sends it a signal, as `kill` names it.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.expect("kill").success());
    }

    /// Waits for its end, and gives its exit code.
    ///
    /// # Panics
    /// When it can not be waited for.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("exit").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
