//! The trivial module: it says hello, answers pings, and ends when it is told to. Nothing else, at the least cost that a process
//! can have on Linux: no C library, no dynamic loader, no memory of its own but one page. `cargo xtask bench start` starts
//! thousands of them, so that what is measured is Muster and not the test.
//!
//! Nothing here may panic or ask for memory: the standard library is linked beside it, for a stable compiler asks for it, but is
//! never entered, and the loader that it needs does not run.

#![no_main]

mod system;
mod text;

use system::{Descriptor, Strings};
use text::{Text, number_after, starts_with_type};

/// Like the manifest in `module.toml`.
const DESCRIPTION: &[u8] = concat!(
    r#"{"name":"trivial","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#"","description":"answers pings and does nothing else, with the least that a start can cost: for `cargo xtask bench start`","#,
    r#""artifacts":[{"architecture":"x86_64","path":"muster-trivial"}],"stop_grace":"5s"}"#,
    "\n"
)
.as_bytes();
/// How often a new agent is looked for, and how long apart: two minutes.
const CONNECTS_MAX: u32 = 6_000;
const CONNECT_PAUSE_MS: u32 = 20;
/// Longer lines are passed over: none that matters here is.
const LINE_BYTES_MAX: usize = 2_048;

const STDOUT: Descriptor = 1;
const STDERR: Descriptor = 2;

/// Who this process is, as its agent said.
struct Identity {
    socket: &'static [u8],
    run: &'static [u8],
    dpid: &'static [u8],
    attempt: &'static [u8],
}

/// What outlives a connection.
struct Progress {
    pongs: u64,
    done: bool,
}

enum Talk {
    /// The connection ended: look for the agent again.
    Again,
    /// Exit with this.
    Exit(u8),
}

/// The program; gives its exit code.
fn run(mut arguments: Strings, environment: Strings) -> u8 {
    if arguments.nth(1).is_some_and(|argument| argument == b"describe") {
        return if system::write(STDOUT, DESCRIPTION) { 0 } else { 1 };
    }
    let identity = identity(environment);
    if identity.socket.is_empty() {
        system::write(STDERR, b"muster: trivial runs under an agent only; see `muster start trivial`\n");
        return 2;
    }
    let mut progress = Progress { pongs: 0, done: false };
    for _ in 0..CONNECTS_MAX {
        if let Some(socket) = system::connect(identity.socket) {
            let talk = talk(socket, &identity, &mut progress);
            system::close(socket);
            if let Talk::Exit(code) = talk {
                return code;
            }
        }
        system::sleep_ms(CONNECT_PAUSE_MS);
    }
    1
}

fn identity(environment: Strings) -> Identity {
    let mut identity = Identity { socket: b"", run: b"0", dpid: b"", attempt: b"0" };
    for variable in environment {
        for (name, value) in [
            (&b"MUSTER_SOCKET="[..], &mut identity.socket),
            (b"MUSTER_RUN=", &mut identity.run),
            (b"MUSTER_DPID=", &mut identity.dpid),
            (b"MUSTER_ATTEMPT=", &mut identity.attempt),
        ] {
            if let Some(rest) = variable.strip_prefix(name) {
                *value = rest;
            }
        }
    }
    identity
}

/// Talks on one connection until it ends.
fn talk(socket: Descriptor, identity: &Identity, progress: &mut Progress) -> Talk {
    let mut hello = Text::new();
    hello.add(br#"{"type":"hello","protocol":1,"run":"#).add(identity.run).add(br#","dpid":""#).add(identity.dpid);
    hello.add(br#"","attempt":"#).add(identity.attempt).add(br#","pid":"#).number(system::own_pid()).add(b"}\n");
    if !system::write(socket, hello.bytes()) || (progress.done && !say_done(socket)) {
        return Talk::Again;
    }
    let mut lines = Lines { buffer: [0; LINE_BYTES_MAX], filled: 0, passing_over: false };
    loop {
        let Some(place) = lines.buffer.get_mut(lines.filled..) else { return Talk::Again };
        let Some(size) = system::read(socket, place) else { return Talk::Again };
        lines.filled = lines.filled.wrapping_add(size);
        while let Some(end) = lines.line_end() {
            let line = lines.buffer.get(..end).unwrap_or_default();
            let line = if lines.passing_over { b"" } else { line };
            if let Some(talk) = take(line, socket, progress) {
                return talk;
            }
            lines.remove(end.wrapping_add(1));
        }
        lines.pass_over_if_full();
    }
}

/// Takes one message; gives what ends the talk.
fn take(line: &[u8], socket: Descriptor, progress: &mut Progress) -> Option<Talk> {
    let said = if starts_with_type(line, b"ping") {
        let first = progress.pongs == 0;
        progress.pongs = progress.pongs.wrapping_add(1);
        let mut pong = Text::new();
        pong.add(br#"{"type":"pong","n":"#).number(number_after(line, b"\"n\":"));
        pong.add(br#","iterations":"#).number(progress.pongs).add(b"}\n");
        // Before it is said: nothing that follows from it can be earlier.
        let time = system::wall_time_ns();
        let said = system::write(socket, pong.bytes());
        if first {
            let mut note = Text::new();
            note.add(b"first pong at ").number(time).add(b"\n");
            system::write(STDOUT, note.bytes());
        }
        said
    } else if starts_with_type(line, b"stop") {
        progress.done = true;
        say_done(socket)
    } else if starts_with_type(line, b"kept") {
        return Some(Talk::Exit(0));
    } else if starts_with_type(line, b"abort") {
        return Some(Talk::Exit(1));
    } else {
        true
    };
    if said { None } else { Some(Talk::Again) }
}

fn say_done(socket: Descriptor) -> bool {
    system::write(socket, b"{\"type\":\"done\",\"status\":\"complete\",\"result\":\"pass\"}\n")
}

/// What was read and is not taken yet.
struct Lines {
    buffer: [u8; LINE_BYTES_MAX],
    filled: usize,
    /// The line that is being read did not fit.
    passing_over: bool,
}

impl Lines {
    fn line_end(&self) -> Option<usize> {
        self.buffer.iter().take(self.filled).position(|byte| *byte == b'\n')
    }

    /// Removes a line from the beginning.
    fn remove(&mut self, size: usize) {
        self.passing_over = false;
        self.filled = self.filled.wrapping_sub(size);
        let mut place = 0;
        while place < self.filled {
            let from = self.buffer.get(place.wrapping_add(size)).copied().unwrap_or_default();
            if let Some(to) = self.buffer.get_mut(place) {
                *to = from;
            }
            place = place.wrapping_add(1);
        }
    }

    fn pass_over_if_full(&mut self) {
        if self.filled >= LINE_BYTES_MAX {
            (self.filled, self.passing_over) = (0, true);
        }
    }
}
