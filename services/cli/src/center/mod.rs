//! The command center: `muster` without arguments on a terminal. A prompt over the same commands, and a status line that goes on while
//! one types.
//!
//! Responsible for reading lines, for the status line, and for this center's part in the mastership. What a line does is done by the
//! same code as on the command line, over one connection; what it may do is the services' to say.

mod complete;
mod editor;
mod line;
mod prompt;
mod seat;
mod status;
mod watch;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use reedline::{Reedline, Signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch as channel;

use crate::arguments::{Command, Global};
use crate::client::Client;
use crate::commands::{self, Session};
use crate::exit::Failure;
use line::Line;
use prompt::{CenterPrompt, StatusLine};
pub(crate) use seat::Seat;
use watch::{Shared, Watch};

const GREETING: &str = "muster: the command center; `help` lists the commands, Tab completes, `exit` or Ctrl-D ends it";

/// Runs until the person, or a signal, ends it.
///
/// # Errors
/// When the bus can not be reached at the start, or the terminal is not usable.
pub(crate) async fn run(global: &Global) -> Result<(), Failure> {
    let seat = Arc::new(Seat::new());
    let client = Client::connect(global).await?.seated(seat.clone());
    let shared = Shared { seat, line: StatusLine::default(), names: Arc::default() };
    let mut watch = Watch::new(client.clone(), shared.clone());
    watch.look().await;
    let (ending, ended) = ends()?;
    let mut editor = editor::editor(shared.names.clone(), shared.line.clone(), ending);
    let repaint = editor.repaint_signal();
    let watching = beside(move || watch.run(move || repaint.request_repaint()));
    eprintln!("{GREETING}");
    let center = Center { client, global: global.clone(), ended };
    let result = center.read_lines(editor, &shared.line).await;
    drop(watching);
    shared.leave(&center.client).await;
    result
}

/// Runs work on a thread of its own until what is returned is dropped: it may hold what a task may not.
fn beside<W: Future<Output = ()>>(work: impl FnOnce() -> W + Send + 'static) -> channel::Sender<()> {
    let (running, mut ended) = channel::channel(());
    let runtime = tokio::runtime::Handle::current();
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = work() => {}
                _ = ended.changed() => {}
            }
        });
    });
    running
}

/// SIGTERM and SIGHUP end the center: a flag for the editor, and a channel for what waits.
fn ends() -> Result<(Arc<AtomicBool>, channel::Receiver<bool>), Failure> {
    let listen = |kind| signal(kind).context("listen for signals");
    let (mut terminate, mut hangup) = (listen(SignalKind::terminate())?, listen(SignalKind::hangup())?);
    let flag = Arc::new(AtomicBool::new(false));
    let (end, ended) = channel::channel(false);
    let told = flag.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        told.store(true, Ordering::Relaxed);
        end.send_replace(true);
    });
    Ok((flag, ended))
}

struct Center {
    client: Client,
    global: Global,
    ended: channel::Receiver<bool>,
}

impl Center {
    async fn read_lines(&self, mut editor: Reedline, status: &StatusLine) -> Result<(), Failure> {
        while !*self.ended.borrow() {
            let prompt = CenterPrompt { status: status.clone(), entered: false };
            let reading = tokio::task::spawn_blocking(move || {
                let read = editor.read_line(&prompt);
                (editor, read)
            });
            let (back, read) = reading.await.context("read a line")?;
            editor = back;
            match read.context("read a line from the terminal")? {
                Signal::Success(text) => {
                    if !self.take(&text).await {
                        return Ok(());
                    }
                }
                Signal::CtrlC => {}
                // Ctrl-D, or a signal.
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Does what a line says; false when it says to end.
    async fn take(&self, text: &str) -> bool {
        match line::read(text, &self.global) {
            Ok(Line::Empty) => {}
            Ok(Line::Exit) => return false,
            Ok(Line::Shown(shown)) => drop(shown.print()),
            Ok(Line::Command(command, global)) => self.perform(*command, &global).await,
            Err(failure) => drop(failure.report()),
        }
        true
    }

    /// Runs a command until it has ended, or ctrl-C or the end of the center ends it.
    async fn perform(&self, command: Command, global: &Global) {
        let session = Session::of(self.client.clone().within(global.timeout), global.output);
        let mut ended = self.ended.clone();
        let Ok(mut interrupt) = signal(SignalKind::interrupt()) else {
            eprintln!("muster: failed to listen for ctrl-C; the command was not given");
            return;
        };
        // A mix ends what it started when it is interrupted; a second ctrl-C ends it at once.
        let gentle = matches!(command, Command::Mix(_));
        let mut patience = u32::from(gentle);
        let mut performing = pin!(commands::perform(&session, command));
        let performed = loop {
            tokio::select! {
                performed = &mut performing => break performed,
                _ = interrupt.recv() => match patience {
                    0 => {
                        eprintln!("\nmuster: interrupted; what was asked for already goes on");
                        return;
                    }
                    _ => patience -= 1,
                },
                _ = ended.wait_for(|ended| *ended), if !gentle => return,
            }
        };
        if let Err(failure) = performed {
            failure.report();
        }
    }
}
